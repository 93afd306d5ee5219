# SPDX-License-Identifier: Apache-2.0
"""Windows as Keras and PyTorch export them, against the public executor (ONNX Runtime inside)."""

import numpy as np
import pytest
from executor_check import check, weights
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, MaxPool
from qdeploy.lowering import lower


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_padding_of_convolutions(mode, stride, tmp_path):
    f, rng = QonnxFile((2, 7, 6)), np.random.default_rng(stride)
    w = weights(f, rng, (3, 2, 4, 3))
    y = f.node("Conv", f.quant("x", 0.5, 3), w, auto_pad=mode, strides=[stride, stride])
    check(f, y, tmp_path, (2, 7, 6), 4)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_of_pools(operator, mode, tmp_path):
    """A power of two in every divisor: the executor's division is exact."""
    f = QonnxFile((2, 5, 4))
    x = f.quant("x", 0.5, 3)
    y = f.node(operator, x, kernel_shape=[2, 2], strides=[1, 2], auto_pad=mode)
    check(f, y, tmp_path, (2, 5, 4), 4)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("size", [4, 5, 6])
@pytest.mark.parametrize("pads", [[0, 0], [1, 0], [1, 1]])
def test_ceil_mode(operator, size, pads, tmp_path):
    f = QonnxFile((2, size))
    x = f.quant("x", 0.5, 3)
    y = f.node(operator, x, kernel_shape=[2], strides=[2], pads=pads, ceil_mode=1)
    check(f, y, tmp_path, (2, size), 3)


def test_average_that_leaves_the_border_out(tmp_path):
    """Divisors 4, 6 and 9, with an offset that the mean of fewer values keeps."""
    f = QonnxFile((2, 5, 5))
    x = f.node("Add", f.quant("x", 0.5, 3), f.constant(0.25))
    y = f.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4)
    network = check(f, f.quant(y, 0.75, 4, rounding="FLOOR"), tmp_path, (2, 5, 5), 4)
    (factors,) = (node for node in network.nodes if isinstance(node, Convolution))
    assert set(factors.weights.integers().ravel().tolist()) == {4, 6, 9}


def test_average_over_padding_with_an_offset(tmp_path):
    f = QonnxFile((2, 4, 4))
    x = f.node("Add", f.quant("x", 0.5, 3), f.constant(0.5))
    y = f.node("AveragePool", x, kernel_shape=[2, 2], pads=[1] * 4, count_include_pad=1)
    check(f, y, tmp_path, (2, 4, 4), 4)


def test_average_that_runtimes_disagree_on(tmp_path):
    f = QonnxFile((2, 4))
    y = f.node(
        "AveragePool", f.quant("x", 0.5, 3),
        kernel_shape=[3], strides=[3], ceil_mode=1, count_include_pad=1,
    )  # fmt: skip
    with pytest.raises(UserError, match="runtimes disagree"):
        lower(f.save(y, tmp_path / "net.onnx", rank=3))


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [2, 1, 1, 2]])
def test_dilated_max_pool(pads, tmp_path):
    f = QonnxFile((2, 7, 7))
    y = f.node("MaxPool", f.quant("x", 0.5, 4), kernel_shape=[3, 3], dilations=[2, 3], pads=pads)
    check(f, y, tmp_path, (2, 7, 7), 4)


@pytest.mark.parametrize("shared", [False, True])
def test_max_pool_behind_negative_scales(shared, tmp_path):
    """Codes -8..7 are not closed under negation; a second reader needs the channels as they are."""
    f, rng = QonnxFile((2, 6, 6)), np.random.default_rng(0)
    w = f.quant(f.constant(rng.integers(-8, 8, (3, 2, 3, 3)) / 2), 0.5, 4)
    y = f.node("Conv", f.quant("x", 0.5, 3), w)
    z = f.node("Mul", y, f.constant(np.reshape([-0.5, 0.25, -1.0], (1, 3, 1, 1))))
    z = f.quant(f.node("MaxPool", z, kernel_shape=[2, 2]), 0.5, 4)
    if shared:
        y = f.node("MaxPool", f.quant(y, 0.5, 4), kernel_shape=[2, 2])
        z = f.node("Add", y, z)
    network = check(f, z, tmp_path, (2, 6, 6), 4)
    depthwise = [n for n in network.nodes if isinstance(n, Convolution) and n.groups == 3]
    assert len(depthwise) == (1 if shared else 0)
    assert sum(isinstance(n, MaxPool) for n in network.nodes) == 1 + shared


def test_max_pool_of_a_quantizer_with_negative_factors(tmp_path):
    f = QonnxFile((3, 4))
    x = f.node("Mul", f.quant("x", 0.5, 3), f.constant([[[-0.5], [1], [-2]]]))
    check(f, f.node("MaxPool", x, kernel_shape=[2]), tmp_path, (3, 4), 3)


@pytest.mark.parametrize(("groups", "outputs"), [(4, 4), (2, 6), (4, 8)])
def test_scales_per_channel_into_groups(groups, outputs, tmp_path):
    """Depthwise after a batch normalization, as MobileNets have it without a quantizer between."""
    f, rng = QonnxFile((4, 5, 5)), np.random.default_rng(groups)
    factors = np.reshape([0.5, -0.25, 0.75, 2], (1, 4, 1, 1))
    shifts = np.reshape([1, 0.5, -0.25, 2], (1, 4, 1, 1))
    x = f.node("Mul", f.quant("x", 0.5, 3), f.constant(factors))
    x = f.node("Add", x, f.constant(shifts))
    w = weights(f, rng, (outputs, 4 // groups, 2, 2), np.full((outputs, 1, 1, 1), 0.5))
    check(f, f.node("Conv", x, w, group=groups), tmp_path, (4, 5, 5), 4)


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pools(operator, tmp_path):
    f = QonnxFile((3, 4, 2))
    x = f.node("Mul", f.quant("x", 0.5, 3), f.constant(-0.5))
    check(f, f.node(operator, x), tmp_path, (3, 4, 2), 4)


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax", "ReduceSum"])
@pytest.mark.parametrize("axes", [[1, 2], [2, 3], [-1], [3, 1]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(operator, axes, keepdims, tmp_path):
    """Channels-last means are over the axes 1 and 2."""
    f = QonnxFile((4, 2, 4))
    x = f.node("Add", f.quant("x", 0.5, 3), f.constant(0.25))
    if operator == "ReduceSum":
        y = f.node(operator, x, f.constant(axes, np.int64), keepdims=keepdims)
    else:
        y = f.node(operator, x, axes=axes, keepdims=keepdims)
    check(f, y, tmp_path, (4, 2, 4), 4 if keepdims else 4 - len(axes))
