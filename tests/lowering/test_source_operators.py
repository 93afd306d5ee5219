# SPDX-License-Identifier: Apache-2.0
"""Operators against onnxruntime or the public qonnx executor on random low-bit graphs."""

import numpy as np
import pytest
from executor_check import check, weights
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.integer import run
from qdeploy.lowering import lower


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_strided_dilated_convolution(groups, tmp_path):
    f, rng = QonnxFile((4, 9, 8)), np.random.default_rng(0)
    w = weights(f, rng, (8, 4 // groups, 3, 2))
    y = f.node(
        "Conv", f.quant("x", 0.5, 3), w, f.constant(rng.integers(-4, 5, 8) / 4),
        group=groups, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 2, 1],
    )  # fmt: skip
    check(f, y, tmp_path, (4, 9, 8), 4)


def test_one_dimensional_network(tmp_path):
    f, rng = QonnxFile((2, 16)), np.random.default_rng(1)
    y = f.node("Conv", f.quant("x", 0.5, 3), weights(f, rng, (3, 2, 3)), pads=[1, 1])
    y = f.quant(f.node("Relu", y), 0.5, 2, signed=0)
    y = f.node("MaxPool", y, kernel_shape=[2], strides=[2])
    y = f.quant(f.node("Conv", y, weights(f, rng, (4, 3, 3))), 0.5, 3)
    y = f.node("Flatten", f.node("GlobalAveragePool", y))
    y = f.node("MatMul", f.quant(y, 0.25, 4), weights(f, rng, (4, 3)))
    check(f, y, tmp_path, (2, 16), 2)


@pytest.mark.parametrize("operator", ["Add", "Sub"])
def test_residual_branches_with_different_scales(operator, tmp_path):
    f, rng = QonnxFile((3, 5, 5)), np.random.default_rng(2)
    x = f.quant("x", 0.5, 3)
    y = f.quant(f.node("Conv", x, weights(f, rng, (3, 3, 3, 3)), pads=[1] * 4), 0.75, 4)
    y = f.quant(f.node("Relu", f.node(operator, y, x)), 0.5, 3, signed=0)
    check(f, y, tmp_path, (3, 5, 5), 4)


def test_branches_with_unrelated_scales_are_refused(tmp_path):
    f = QonnxFile((3,))
    x = f.quant("x", 0.5, 3)
    y = f.node("Add", x, f.quant(x, 0.0973, 3), name="/block/add/Add")
    path = f.save(y, tmp_path / "net.onnx")
    with pytest.raises(
        UserError, match=r"layer 'block.add': .*0\.5 .* 0\.0973 .*no small rational"
    ):
        lower(path)


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_rounded_branches_stay_within_the_stated_error(bits, tmp_path):
    f = QonnxFile((3,))
    x = f.quant("x", 0.5, 3)
    y = f.node("Add", f.quant(x, 0.0973, 4), x, name="/add/Add")
    path = f.save(y, tmp_path / "net.onnx")
    network = lower(path, rescale_bits=bits)
    x_real = (np.random.default_rng(0).integers(-6, 7, (30, 3)) / 4).astype(np.float32)
    got, expected = network.real_output(run(network, x_real)), execute(path, x_real)
    (note,) = network.notes
    error = float(note.rsplit(" ", 1)[1])
    assert note.startswith("add: ")
    assert 0 < error < 2.0**-bits * 10
    assert np.abs(got - expected).max() <= 0.0973 * 8 * error * 1.01 + 1e-6


def test_concat_of_branches_keeps_each_scale(tmp_path):
    f, rng = QonnxFile((2, 4, 4)), np.random.default_rng(3)
    x = f.quant("x", 0.5, 3)
    left = f.quant(f.node("Conv", x, weights(f, rng, (3, 2, 1, 1))), 0.25, 4)
    y = f.node("Concat", left, x, axis=1)
    y = f.node("Conv", y, weights(f, rng, (4, 5, 3, 3)), pads=[1] * 4)
    check(f, f.quant(y, 1.0, 4), tmp_path, (2, 4, 4), 4)


def test_average_pool_joins_the_scale(tmp_path):
    f = QonnxFile((2, 6, 6))
    y = f.node("AveragePool", f.quant("x", 0.5, 3), kernel_shape=[2, 2], strides=[2, 2])
    check(f, f.quant(y, 0.5, 4, rounding="FLOOR"), tmp_path, (2, 6, 6), 4)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("LeakyRelu", {"alpha": 0.25}), ("Clip", {"min": -0.5, "max": 1.25}), ("Relu", {})],
)
def test_rising_functions_before_a_quantizer(operator, attributes, tmp_path):
    f, rng = QonnxFile((6,)), np.random.default_rng(4)
    y = f.node("MatMul", f.quant("x", 0.5, 3), weights(f, rng, (6, 5)))
    if operator == "Clip":
        y = f.node("Clip", y, *(f.constant(v) for v in attributes.values()))
    else:
        y = f.node(operator, y, **attributes)
    y = f.node("Add", f.node("Mul", y, f.constant(0.5)), f.constant(0.25))
    check(f, f.quant(y, 0.25, 4), tmp_path, (6,), 2)


def test_offsets_and_padding_with_a_code_that_means_zero(tmp_path):
    f, rng = QonnxFile((2, 4, 4)), np.random.default_rng(5)
    x = f.node("Add", f.node("Mul", f.quant("x", 0.5, 3), f.constant(0.5)), f.constant(0.5))
    y = f.node("Conv", x, weights(f, rng, (3, 2, 3, 3)), pads=[1] * 4)
    check(f, f.quant(y, 0.5, 5), tmp_path, (2, 4, 4), 4)


@pytest.mark.parametrize("shift", [0.25, 0.375, -0.6875])
def test_padding_with_a_zero_between_two_codes(shift, tmp_path):
    f, rng = QonnxFile((2, 4, 4)), np.random.default_rng(5)
    x = f.node("Add", f.quant("x", 0.5, 3), f.constant(shift))
    y = f.node("Conv", x, weights(f, rng, (3, 2, 3, 3)), pads=[1, 0, 2, 1])
    check(f, y, tmp_path, (2, 4, 4), 4)


def test_channels_last_input_and_flatten_order(tmp_path):
    f, rng = QonnxFile((4, 5, 2)), np.random.default_rng(6)
    x = f.quant(f.node("Transpose", "x", perm=[0, 3, 1, 2]), 0.5, 3)
    y = f.quant(f.node("Conv", x, weights(f, rng, (3, 2, 2, 2))), 0.5, 3)
    y = f.node("Transpose", y, perm=[0, 2, 3, 1])
    y = f.node("Reshape", y, f.constant([-1, 36], np.int64))
    check(f, f.node("MatMul", y, weights(f, rng, (36, 4))), tmp_path, (4, 5, 2), 2)


def test_linear_on_every_row_of_a_sequence(tmp_path):
    f, rng = QonnxFile((5, 4)), np.random.default_rng(7)
    scales = np.array([0.5, 0.25, 1.0])
    y = f.node("MatMul", f.quant("x", 0.5, 3), weights(f, rng, (4, 3), scales))
    y = f.node("Add", y, f.constant([0.5, -0.25, 1.0]))
    check(f, f.quant(f.node("Relu", y), 0.5, 3), tmp_path, (5, 4), 3)


def test_super_resolution_tail(tmp_path):
    f, rng = QonnxFile((2, 3, 4)), np.random.default_rng(8)
    y = f.node(
        "Resize", f.quant("x", 0.5, 3), "", f.constant([1.0, 1.0, 2.0, 2.0]),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    y = f.quant(f.node("Conv", y, weights(f, rng, (8, 2, 3, 3)), pads=[1] * 4), 0.5, 4)
    y = f.node("DepthToSpace", y, blocksize=2, mode="CRD")
    pads = f.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64)
    check(f, f.node("Pad", y, pads, f.constant(1.5)), tmp_path, (2, 3, 4), 4)


def test_computed_reshape(tmp_path):
    """x.view(x.size(0), -1), as torch exports it."""
    f, rng = QonnxFile((2, 3, 3)), np.random.default_rng(9)
    y = f.quant(f.node("Conv", f.quant("x", 0.5, 3), weights(f, rng, (4, 2, 2, 2))), 0.5, 3)
    batch = f.node("Gather", f.node("Shape", y), f.constant(0, np.int64), axis=0)
    batch = f.node("Unsqueeze", batch, f.constant([0], np.int64))
    target = f.node("Concat", batch, f.constant([-1], np.int64), axis=0)
    y = f.node("Reshape", y, target)
    check(f, f.node("MatMul", y, weights(f, rng, (16, 3))), tmp_path, (2, 3, 3), 2)


@pytest.mark.parametrize("function", ["Softmax", "Sigmoid"])
def test_function_at_the_very_end_leaves_the_integers(function, tmp_path):
    f, rng = QonnxFile((6,)), np.random.default_rng(10)
    y = f.node("MatMul", f.quant("x", 0.5, 3), weights(f, rng, (6, 4)))
    logits = lower(f.save(y, tmp_path / "logits.onnx"))
    path = f.save(f.node(function, y), tmp_path / "net.onnx")
    network = lower(path)
    x = rng.normal(size=(10, 6)).astype(np.float32)
    assert np.array_equal(run(network, x), run(logits, x))
    assert np.allclose(network.real_output(run(network, x)), execute(path, x), atol=1e-6)
    pack(network, tmp_path / "cpu.onnx")
    session = Session(tmp_path / "cpu.onnx")
    assert np.array_equal(session.run_integers(x), run(logits, x))
    assert np.allclose(session.run(x), execute(path, x), atol=1e-6)
