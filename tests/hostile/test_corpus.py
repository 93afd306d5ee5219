# SPDX-License-Identifier: Apache-2.0
"""Every hostile file gives one UserError with a remedy, soon and in little memory."""

import bad_attributes  # noqa: F401 (these five register their entries)
import bad_files  # noqa: F401
import bad_graphs  # noqa: F401
import bad_rearrangement  # noqa: F401
import bad_tensors  # noqa: F401
import pytest
from corpus import CORPUS, content, valid
from limits import limited

from qdeploy.errors import UserError
from qdeploy.lowering import lower

# Entries that the lowering does not refuse properly yet.
PENDING: set[str] = {
    "attribute_of_the_calling_function",
    "batch_normalization_in_training",
    "bias_that_is_text",
    "constant_of_a_gigabyte",
    "constant_of_unknown_type",
    "depth_to_space_in_an_unknown_mode",
    "dropout_in_training",
    "epsilon_that_is_no_number",
    "function_named_like_an_operator",
    "imported_unknown_domain",
    "kernel_shape_that_contradicts_the_weights",
    "known_name_in_another_domain",
    "leak_that_is_nan",
    "narrow_that_is_a_list",
    "pad_with_infinity",
    "pad_with_nan",
    "reshape_by_floats",
    "resize_by_infinity",
    "resize_by_nan",
    "scale_complex",
    "scale_that_is_text",
    "shape_cast_to_text",
    "shape_divided_by_zero",
    "shape_from_a_negative_root",
    "shape_of_two_ranks_added",
    "shape_sliced_by_step_zero",
    "shape_to_the_power_of_a_thousand",
    "shapes_that_double_sixty_times",
    "signed_that_is_text",
    "transposed_weights_with_an_axis_twice",
    "unsqueeze_of_a_thousand_axes",
    "weight_scale_of_another_shape",
    "weights_complex",
    "weights_that_are_text",
    "weights_without_elements",
    "zero_point_that_is_text",
}

ENTRIES = [
    pytest.param(name, marks=[pytest.mark.xfail(strict=True)] if name in PENDING else [])
    for name in sorted(CORPUS)
]


@pytest.mark.parametrize("name", ENTRIES)
def test_refused(name, tmp_path):
    path = tmp_path / "hostile.onnx"
    path.write_bytes(content(CORPUS[name]))
    with limited(seconds=5, megabytes=512), pytest.raises(UserError) as caught:
        lower(path)
    assert caught.value.remedy
    assert len(str(caught.value)) < 2000


def test_undamaged(tmp_path):
    """Without damage the same network lowers, so that each refusal is due to the damage."""
    path = tmp_path / "valid.onnx"
    path.write_bytes(valid().SerializeToString())
    assert len(lower(path).nodes) == 5


def test_size():
    assert len(CORPUS) >= 60
