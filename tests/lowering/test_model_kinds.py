# SPDX-License-Identifier: Apache-2.0
"""Files as other tools write them become integers that mean exactly what the file says."""

import numpy as np
import onnx
import pytest
from comparison import real_values
from model_kinds import KINDS
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.util.cleanup import cleanup_model

from qdeploy.cpu import Session, pack
from qdeploy.explanation import explain
from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly


def check(model: onnx.ModelProto, folder, input_type: str | None = None) -> IntegerNetwork:
    """Lowering, its explanation and cpu.onnx against exact rationals, on numbers k / 128."""
    path = folder / "net.onnx"
    onnx.save(model, path)
    network = lower(path, input_type=input_type)
    shape = (3, *network.input_tensor.shape)
    x = (np.random.default_rng(5).integers(-160, 161, shape) / 128).astype(np.float32)
    integers = run(network, x)
    for sample, result in zip(x, integers, strict=True):
        expected = execute_exactly(model, sample)[0]
        assert expected.shape == result.shape
        assert np.array_equal(real_values(network.output_tensor, result), expected)
    pack(network, folder / "cpu.onnx")
    assert np.array_equal(Session(folder / "cpu.onnx", threads=1).run_integers(x), integers)
    explanation = explain(path, input_type=input_type)
    assert explanation.lowers
    operators = [o.name for layer in explanation.layers for o in layer.operators]
    assert sorted(operators) == sorted(node.name for node in network.nodes)
    return network


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_means_what_the_file_says(kind, seed, tmp_path):
    build, input_type = KINDS[kind]
    check(build(np.random.default_rng(seed)), tmp_path, input_type)


@pytest.mark.parametrize("make_input", [False, True], ids=["inside", "input too"])
@pytest.mark.parametrize("kind", ["residual", "separable", "unet", "radio"])
def test_channels_last_without_further_operators(kind, make_input, tmp_path):
    """qonnx's own conversion; what it transposes costs nothing but at the ends."""
    model = KINDS[kind][0](np.random.default_rng(0))
    plain = check(model, tmp_path)
    cleaned = cleanup_model(ModelWrapper(model))
    converted = cleaned.transform(ConvertToChannelsLastAndClean(make_input))
    assert any(n.domain == "qonnx.custom_op.channels_last" for n in converted.graph.node)
    network = check(cleanup_model(converted).model, tmp_path)
    assert len(network.nodes) <= len(plain.nodes) + 3
