# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from awkward_network import awkward_network, random_codes
from branching_networks import (
    dense_network,
    picture_network,
    residual_network,
    separable_network,
    signal_network,
)
from planes_network import planes_network
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from sample_networks import input_quantizer, random_weights, small_cnn, small_mlp

from qdeploy.errors import InternalError
from qdeploy.fpga.graph import weight_type
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.operators import OPERATORS
from qdeploy.fpga.verification import verify_nodes
from qdeploy.integer import Builder, Convolution, IntegerNetwork, Threshold, ValueRange


@pytest.mark.parametrize("codes", ["binary", "ternary"])
@pytest.mark.parametrize("granularity", ["layer", "row", "pixel"])
@pytest.mark.parametrize("scale_form", [None, "pre", "recode"])
def test_finn_computes_every_tensor_of_the_cnn(
    codes: str, granularity: str, scale_form: str | None
) -> None:
    network = small_cnn(1, codes, granularity, channels=(2, 4, 6), size=6)
    verify_nodes(map_network(network, scale_form=scale_form), network, random_codes(network, 3))


@pytest.mark.parametrize(
    "network",
    [
        small_mlp(),
        small_mlp(3, "ternary", 3),
        awkward_network(1),
        residual_network(),
        dense_network(),
        separable_network(),
        signal_network(),
        picture_network(),
        planes_network(),
    ],
    ids=lambda network: network.name,
)
def test_finn_computes_every_tensor_of(network: IntegerNetwork) -> None:
    verify_nodes(map_network(network), network, random_codes(network, 5))


def test_forms_by_layer() -> None:
    network = small_cnn()
    model = map_network(network, scale_form="recode", layer_forms={"conv2": "pre"})
    forms = {
        node.name: getCustomOp(node).get_nodeattr("scale_form")
        for node in model.graph.node
        if node.op_type == "MVAU_rtl"
    }
    assert forms == {"conv1": "recode", "conv2": "pre", "fc": "none"}
    verify_nodes(model, network, random_codes(network, 3))


def test_a_difference_is_found_and_named() -> None:
    network = small_cnn()
    model = map_network(network)
    weights = model.get_initializer("conv2_weights").copy()
    weights[:, 2] += 500
    model.set_initializer("conv2_weights", weights)
    with pytest.raises(InternalError, match=r"layer 'act2'.* at \(0, \d, \d, 2\).* expected"):
        verify_nodes(model, network, random_codes(network, 1))


def test_thresholds_that_are_never_reached_stay_so() -> None:
    """One beyond the accumulator's range must survive the annotation of types."""
    network = small_cnn()
    act = next(node for node in network.nodes if isinstance(node, Threshold))
    never = network.tensors[act.input].range.high + 1
    thresholds = act.thresholds.copy()
    thresholds[:, -1] = never
    nodes = tuple(replace(act, thresholds=thresholds) if n is act else n for n in network.nodes)
    changed = replace(network, nodes=nodes)
    model = map_network(changed)
    assert model.get_tensor_datatype("act1_thresholds").max() >= never
    assert (model.get_initializer("act1_thresholds")[:, -1] == never).all()
    verify_nodes(model, changed, random_codes(network, 2))


def test_nodes_are_ours_and_named_after_their_layers() -> None:
    model = map_network(small_cnn())
    assert [node.name for node in model.graph.node] == [
        "conv1_padding",
        "conv1_window",
        "conv1",
        "conv2_padding",
        "conv2_window",
        "conv2",
        "pool_window",
        "pool",
        "fc",
    ]
    for node in model.graph.node:
        assert type(getCustomOp(node)) is OPERATORS[node.op_type]
        assert node.name.startswith(getCustomOp(node).get_nodeattr("layer"))


def test_names_that_verilog_does_not_take_are_changed_but_remembered() -> None:
    nodes = map_network(awkward_network()).graph.node
    assert {"input_padding", "features_1", "out_window"} <= {node.name for node in nodes}
    layers = Counter(getCustomOp(node).get_nodeattr("layer") for node in nodes)
    assert layers["features.1"] == layers["fc"] == 1
    assert layers["input"] == 3


def test_types_are_exact() -> None:
    network = small_cnn()
    model = map_network(network)
    types = {
        name: model.get_tensor_datatype(name).name
        for name in network.tensors
        if name in model.get_all_tensor_names()
    }
    types |= {
        node.name: getCustomOp(node).get_nodeattr("accDataType")
        for node in model.graph.node
        if node.op_type == "MVAU_rtl"
    }
    assert types["x"] == "UINT5"
    assert types["act1"] == types["pool"] == types["act2"] == "UINT2"
    assert model.get_tensor_datatype("fc").name == types["fc"]
    for name in ("conv1", "conv2", "fc"):
        values = network.tensors[name].range
        bits = int(types[name].removeprefix("INT"))
        assert -(2 ** (bits - 1)) <= values.low
        assert values.high < 2 ** (bits - 1)
        assert not (-(2 ** (bits - 2)) <= values.low and values.high < 2 ** (bits - 2))


def test_mapping_gives_equal_files_that_can_be_loaded(tmp_path: Path) -> None:
    network = small_cnn()
    for name in ("a", "b"):
        map_network(network).save(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    verify_nodes(ModelWrapper(str(tmp_path / "a")), network, random_codes(network, 1))


def test_a_stride_beyond_the_frame_is_mapped() -> None:
    builder = Builder()
    x = builder.input("x", (2, 1, 6), ValueRange(0, 3), Fraction(1))
    weights = random_weights(np.random.default_rng(0), (3, 2, 1, 2))
    builder.add(Convolution(name="conv", input=x.name, output="y", weights=weights, strides=(2, 3)))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="i", output_name="o"
    )
    verify_nodes(map_network(network), network, random_codes(network, 3))


def test_weights_have_the_smallest_type() -> None:
    assert weight_type(np.array([-3, 1])) == "INT3"
    assert weight_type(np.array([-2, 1])) == "INT2"
    assert weight_type(np.array([-1, 0, 1])) == "TERNARY"
    assert weight_type(np.array([-1, 1])) == "BIPOLAR"
