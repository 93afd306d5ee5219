# SPDX-License-Identifier: Apache-2.0
"""Parts, paddings and resizings of activations, against the public executor."""

import numpy as np
import pytest
from comparison import compare
from executor_check import check, weights
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.integer import Slice, Upsample, run
from qdeploy.lowering import lower


@pytest.mark.parametrize(
    "rule",
    [
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
        ("pytorch_half_pixel", "round_prefer_floor"),
        ("tf_half_pixel_for_nn", "floor"),
    ],
)
@pytest.mark.parametrize("sizes", [(6, 12), (9, 4), (3, 4), (3, 2)])
@pytest.mark.parametrize("by", ["scales", "sizes"])
def test_nearest_resize(rule, sizes, by, tmp_path):
    f = QonnxFile((2, 3, 4))
    scales = f.constant([1, 1, sizes[0] / 3, sizes[1] / 4])
    how = ["", scales] if by == "scales" else ["", "", f.constant([1, 2, *sizes], np.int64)]
    y = f.node(
        "Resize", f.quant("x", 0.5, 3), *how,
        mode="nearest", coordinate_transformation_mode=rule[0], nearest_mode=rule[1],
    )  # fmt: skip
    network = check(f, y, tmp_path, (2, 3, 4), 4)
    assert all(isinstance(node, (Upsample, Slice)) for node in network.nodes)


def test_resize_of_a_signal(tmp_path):
    f = QonnxFile((2, 5))
    y = f.node(
        "Resize", f.quant("x", 0.5, 3), "", f.constant([1, 1, 3]),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    check(f, y, tmp_path, (2, 5), 3)


def test_upsample_of_old_files(tmp_path):
    """Upsample left ONNX with operator set 10."""
    f = QonnxFile((2, 3, 2))
    y = f.node("Upsample", f.quant("x", 0.5, 3), f.constant([1, 1, 2, 3]), mode="nearest")
    model = f.model(y, rank=4)
    model.opset_import[0].version = 9
    network = compare(model, tmp_path)
    assert network is not None
    assert [type(node) for node in network.nodes] == [Upsample]


def test_uneven_resize_is_refused(tmp_path):
    f = QonnxFile((2, 4, 4))
    how = ["", "", f.constant([1, 2, 6, 6], np.int64)]
    y = f.node("Resize", f.quant("x", 0.5, 3), *how, mode="nearest")
    with pytest.raises(UserError, match=r"Resize .* of \(2, 4, 4\) to \[2, 6, 6\]"):
        lower(f.save(y, tmp_path / "net.onnx", rank=4))


def test_space_to_depth(tmp_path):
    f = QonnxFile((3, 4, 6))
    y = f.node("SpaceToDepth", f.quant("x", 0.5, 3), blocksize=2)
    check(f, y, tmp_path, (3, 4, 6), 4)


def test_split_with_a_scale_per_channel(tmp_path):
    """A part of the channels through a convolution, as ShuffleNet does."""
    f, rng = QonnxFile((4, 4, 4)), np.random.default_rng(0)
    x = f.node("Mul", f.quant("x", 0.5, 3), f.constant(np.reshape([1, -2, 0.5, 4], (1, 4, 1, 1))))
    left = f.node("Split", x, f.constant([1, 3], np.int64), axis=1)
    f.nodes[-1].output.append("right")
    right = f.node("Conv", "right", weights(f, rng, (3, 3, 1, 1)))
    right = f.quant(right, 0.5, 4)
    check(f, f.node("Concat", f.quant(left, 0.5, 3), right, axis=1), tmp_path, (4, 4, 4), 4)


def test_shortcut_by_strides_and_zero_channels(tmp_path):
    """ResNet's option A: every other position, and channels of zeros on both sides."""
    f = QonnxFile((2, 5, 4))
    x = f.quant("x", 0.5, 3)
    bounds = ([0, 0], [2**31 - 1, 2**63 - 1], [2, 3], [2, 2])
    y = f.node("Slice", x, *(f.constant(values, np.int64) for values in bounds))
    y = f.node("Pad", y, f.constant([0, 1, 0, 0, 0, 1, 0, 0], np.int64), f.constant(0.0))
    check(f, y, tmp_path, (2, 5, 4), 4)


def test_negative_padding_cuts(tmp_path):
    f = QonnxFile((2, 5, 4))
    pads = f.constant([0, 0, -1, 2, 0, 0, 1, -2], np.int64)
    check(f, f.node("Pad", f.quant("x", 0.5, 3), pads), tmp_path, (2, 5, 4), 4)


@pytest.mark.parametrize("index", [-1, 0, [1, 2], [0, 2]])
def test_gather(index, tmp_path):
    f = QonnxFile((4, 3))
    x = f.node("Mul", f.quant("x", 0.5, 3), f.constant([[[1], [-2], [0.5], [4]]]))
    y = f.node("Gather", x, f.constant(index, np.int64), axis=1)
    check(f, y, tmp_path, (4, 3), 2 + np.ndim(index))


@pytest.mark.parametrize(("operator", "count"), [("Sum", 3), ("Mean", 2), ("Mean", 4), ("Sum", 1)])
def test_sums_of_several_branches(operator, count, tmp_path):
    f = QonnxFile((3, 4))
    x = f.quant("x", 0.25, 4)
    branches = [f.quant(x, 0.25 * (k + 1), 3, signed=k % 2) for k in range(count)]
    check(f, f.node(operator, *branches), tmp_path, (3, 4), 3)


@pytest.mark.parametrize("function", ["Max", "Min", "PRelu", "HardSigmoid", "Sign"])
def test_functions_before_a_quantizer(function, tmp_path):
    f, rng = QonnxFile((6,)), np.random.default_rng(4)
    y = f.node("MatMul", f.quant("x", 0.5, 3), weights(f, rng, (6, 5)))
    constant = {"Max": [-0.5], "Min": [0.75], "PRelu": [0.25]}.get(function)
    attributes = {"alpha": 0.25, "beta": 0.5} if function == "HardSigmoid" else {}
    y = f.node(function, y, *([f.constant(constant)] if constant else []), **attributes)
    check(f, f.quant(f.node("Neg", y) if function == "Sign" else y, 0.25, 4), tmp_path, (6,), 2)


def test_binary_network_of_larq(tmp_path):
    """sign(sign(x) + 0.1) never gives 0; weights are signs too."""
    f, rng = QonnxFile((6,)), np.random.default_rng(5)
    x = f.quant("x", 0.5, 3)
    x = f.node("Sign", f.node("Add", f.node("Sign", x), f.constant(0.1)))
    w = f.node("Sign", f.constant(rng.normal(size=(6, 4))))
    check(f, f.node("MatMul", x, w), tmp_path, (6,), 2)


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_class_of_every_pixel(axis, keepdims, tmp_path):
    f, rng = QonnxFile((2, 4, 5)), np.random.default_rng(6)
    y = f.node("Conv", f.quant("x", 0.5, 3), weights(f, rng, (3, 2, 1, 1)))
    logits = f.save(y, tmp_path / "logits.onnx", rank=4)
    path = f.save(f.node("ArgMax", y, axis=axis, keepdims=keepdims), tmp_path / "net.onnx")
    network = lower(path)
    x = (rng.integers(-12, 13, (12, 2, 4, 5)) / 4).astype(np.float32)
    expected = execute(logits, x).argmax(axis=axis, keepdims=bool(keepdims))
    assert np.array_equal(run(network, x), expected)
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), expected)
