# SPDX-License-Identifier: Apache-2.0
"""ConvTranspose against the public executor (ONNX Runtime inside)."""

import numpy as np
import pytest
from executor_check import check, weights
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.lowering import lower


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"strides": [2, 2]},
        {"strides": [2, 3], "pads": [1, 1, 1, 0], "output_padding": [1, 2]},
        {"strides": [2, 1], "pads": [3, 1, 2, 3]},
        {"dilations": [2, 1], "pads": [1, 0, 2, 1]},
        {"strides": [4, 4]},
        {"strides": [1, 1], "auto_pad": "SAME_UPPER"},
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_images(given, groups, tmp_path):
    f, rng = QonnxFile((4, 3, 4)), np.random.default_rng(0)
    w = weights(f, rng, (4, 6 // groups, 3, 3))
    bias = f.constant(rng.integers(-4, 5, 6) / 4)
    y = f.node("ConvTranspose", f.quant("x", 0.5, 3), w, bias, group=groups, **given)
    check(f, y, tmp_path, (4, 3, 4), 4)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (4, 1, 1, 1), (1, 1, 2, 3)])
def test_scales_of_weights_turn_with_them(shape, tmp_path):
    f, rng = QonnxFile((4, 3, 2)), np.random.default_rng(1)
    scale = rng.integers(1, 5, shape) / 2
    y = f.node(
        "ConvTranspose", f.quant("x", 0.5, 3), weights(f, rng, (4, 3, 2, 3), scale),
        strides=[2, 2],
    )  # fmt: skip
    check(f, f.quant(y, 0.5, 5), tmp_path, (4, 3, 2), 4)


def test_a_zero_that_is_not_code_zero(tmp_path):
    f, rng = QonnxFile((2, 5)), np.random.default_rng(2)
    x = f.node("Add", f.quant("x", 0.5, 3), f.constant(1.0))
    y = f.node("ConvTranspose", x, weights(f, rng, (2, 3, 4)), strides=[2], pads=[1, 1])
    check(f, y, tmp_path, (2, 5), 3)


def test_what_specifications_disagree_on_is_refused(tmp_path):
    f, rng = QonnxFile((2, 5)), np.random.default_rng(3)
    y = f.node(
        "ConvTranspose", f.quant("x", 0.5, 3), weights(f, rng, (2, 3, 3)),
        strides=[2], auto_pad="SAME_UPPER",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"ConvTranspose .* cuts 1 of 11"):
        lower(f.save(y, tmp_path / "net.onnx", rank=3))
