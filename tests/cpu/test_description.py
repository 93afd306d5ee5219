# SPDX-License-Identifier: Apache-2.0
"""A packed model gives its integer network back, and a damaged one an error."""

import json
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import inputs, networks
from sample_networks import small_cnn

from qdeploy.cpu import to_onnx
from qdeploy.cpu.description import read_network
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork, run


def assert_same(first: IntegerNetwork, second: IntegerNetwork, x: np.ndarray) -> None:
    expected = run(first, x)
    assert np.array_equal(run(second, x), expected)
    assert np.array_equal(second.real_output(expected), first.real_output(expected))
    assert [(node.name, node.kind) for node in second.nodes] == [
        (node.name, node.kind) for node in first.nodes
    ]


@settings(max_examples=150, deadline=None)
@given(networks())
def test_the_file_holds_the_network(network: IntegerNetwork) -> None:
    assert_same(network, read_network(to_onnx(network)), inputs(network, 3))


@pytest.mark.parametrize("codes", ["binary", "ternary"])
@pytest.mark.parametrize("granularity", ["layer", "row", "pixel"])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_large_arrays(codes: str, granularity: str, bits: int) -> None:
    network = small_cnn(
        channels=(3, 40, 40), codes=codes, granularity=granularity, activation_bits=bits
    )
    model = to_onnx(network)
    # Nothing that the portable form has as an initializer is in the description again.
    assert len(model.graph.node[0].attribute[0].s) < 1500
    assert_same(network, read_network(model), inputs(network, 4))


def changed(model: onnx.ModelProto, edit: Any) -> onnx.ModelProto:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    attribute = copy.graph.node[0].attribute[0]
    document = json.loads(zlib.decompress(attribute.s))
    edit(document)
    attribute.s = zlib.compress(json.dumps(document).encode())
    return copy


MODEL = to_onnx(small_cnn(channels=(3, 40, 40)))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(format=1),
        lambda d: d.update(shape=[10**6, 10**6]),
        lambda d: d.update(shape=[3.0, 8, 8]),
        lambda d: d.update(shape=[]),
        lambda d: d.update(shape=[-64]),
        lambda d: d.update(input="nothing"),
        lambda d: d.update(output="nothing"),
        lambda d: d["nodes"].append(d["nodes"][0]),
        lambda d: d["nodes"].pop(0),
        lambda d: d["nodes"][0].update({"class": "Path"}),
        lambda d: d["nodes"][0].update(name=3.5),
        lambda d: d["nodes"][0]["weights"]["planes"][0]["codes"].update(shape=[7, 7]),
        lambda d: d["nodes"][0]["weights"]["planes"][0]["codes"].update(form="int99"),
        lambda d: d["nodes"][0]["weights"]["planes"][0]["codes"].update(type="object"),
        lambda d: d["nodes"][0]["weights"]["planes"][0]["codes"].update(array="nothing"),
        lambda d: d["quantizer"].update({"class": "Tensor"}),
        lambda d: d["meaning"].update(scale=["1/0"]),
        lambda d: d.clear(),
    ],
)
def test_damaged_descriptions(edit: Any) -> None:
    with pytest.raises(UserError, match="damaged"):
        read_network(changed(MODEL, edit))


def test_a_description_that_unpacks_to_more_than_allowed() -> None:
    copy = onnx.ModelProto.FromString(MODEL.SerializeToString())
    copy.graph.node[0].attribute[0].s = zlib.compress(b" " * (1 << 27))
    with pytest.raises(UserError, match="size"):
        read_network(copy)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_bytes_give_a_network_or_an_error(data: st.DataObject) -> None:
    copy = onnx.ModelProto.FromString(MODEL.SerializeToString())
    attribute = copy.graph.node[0].attribute[0]
    text = bytearray(zlib.decompress(attribute.s))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(32, 126))
    attribute.s = zlib.compress(bytes(text))
    try:
        network = read_network(copy)
    except UserError:
        return
    assert isinstance(network, IntegerNetwork)
    assert isinstance(network.output_tensor.meaning.scale[0], Fraction)


def test_other_models() -> None:
    model = onnx.ModelProto.FromString(MODEL.SerializeToString())
    model.graph.node[0].domain = "other"
    with pytest.raises(UserError, match="damaged"):
        read_network(model)
