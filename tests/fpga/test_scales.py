# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_networks import random_weights

from qdeploy.errors import UserError
from qdeploy.fpga.graph import flattened_order
from qdeploy.fpga.scales import expanded, scaled_columns
from qdeploy.integer import Convolution, Integers, Linear, Plane, Weights

RNG = np.random.default_rng(0)
SHAPE = (4, 5, 3, 2)


def layer(*multipliers: np.ndarray, shape: tuple[int, ...] = SHAPE) -> Convolution:
    planes = tuple(Plane(random_weights(RNG, shape).planes[0].codes, m) for m in multipliers)
    return Convolution(name="conv", input="x", output="y", weights=Weights(planes))


def matrix(weights: Weights) -> Integers:
    """[MH, MW] in hardware order."""
    values = weights.integers()
    return values.transpose(0, 2, 3, 1).reshape(len(values), -1)


@pytest.mark.parametrize(
    ("multipliers", "groups"),
    [
        ([np.full((1, 1, 1, 1), 7)], (1, 1, 1)),
        ([np.array([3, 4, 5]).reshape(1, 1, 3, 1)], (1, 1, 3)),
        ([np.arange(1, 7).reshape(1, 1, 3, 2)], (1, 1, 6)),
        ([np.broadcast_to(np.arange(1, 7).reshape(1, 1, 3, 2), (4, 1, 3, 2)).copy()], (1, 1, 6)),
        ([np.arange(1, 5).reshape(4, 1, 1, 1)], (1, 4, 1)),
        ([np.arange(1, 25).reshape(4, 1, 3, 2)], (1, 4, 6)),
        ([np.full((1, 1, 1, 1), 7), np.arange(1, 7).reshape(1, 1, 3, 2)], (2, 1, 6)),
        ([np.ones((1, 1, 1, 1), np.int64)] * 2, (2, 1, 1)),
    ],
)
def test_groups_are_as_large_as_the_multipliers_allow(
    multipliers: list[np.ndarray], groups: tuple[int, int, int]
) -> None:
    node = layer(*multipliers)
    columns = scaled_columns(node)
    assert columns.form == "post"
    assert columns.multipliers is not None
    assert columns.multipliers.shape == groups
    assert np.array_equal(expanded(columns), matrix(node.weights))
    if groups[1] == 1:
        before = scaled_columns(node, "pre")
        assert before.form == "pre"
        assert np.array_equal(before.multipliers, columns.multipliers)
    else:
        with pytest.raises(UserError, match="between rows") as caught:
            scaled_columns(node, "pre")
        assert caught.value.remedy.endswith("use 'post' or 'recode'")
    recoded = scaled_columns(node, "recode")
    assert (recoded.form, recoded.multipliers) == ("recode", None)
    assert np.array_equal(expanded(recoded), matrix(node.weights))


def test_no_multipliers_no_form() -> None:
    node = layer(np.ones((1, 1, 1, 1), np.int64))
    columns = scaled_columns(node)
    assert (columns.form, columns.multipliers) == ("none", None)
    assert np.array_equal(columns.codes[0], matrix(node.weights))


def test_multipliers_of_neighbouring_channels_scale_their_sums() -> None:
    """[O, I / group, 1, 1], as groups of input channels have them."""
    multipliers = np.arange(1, 9).reshape(4, 2, 1, 1)
    node = layer(multipliers, np.full((1, 1, 1, 1), 3), shape=(4, 8, 3, 2))
    columns = scaled_columns(node)
    assert columns.form == "post"
    assert columns.multipliers is not None
    assert columns.multipliers.shape == (2, 4, 12)
    assert np.array_equal(expanded(columns), matrix(node.weights))


@pytest.mark.parametrize(
    ("multipliers", "forms"),
    [
        (np.arange(1, 6).reshape(1, 5, 1, 1), ["pre", "recode"]),
        (np.arange(1, 21).reshape(4, 5, 1, 1), ["recode"]),
    ],
)
def test_multipliers_that_differ_from_column_to_column_leave_no_sums_to_scale(
    multipliers: np.ndarray, forms: list[str]
) -> None:
    node = layer(multipliers)
    assert scaled_columns(node).form == forms[0]
    for wanted in ("post", "pre", "recode"):
        if wanted in forms:
            columns = scaled_columns(node, wanted)
            assert columns.form == wanted
            assert np.array_equal(expanded(columns), matrix(node.weights))
            continue
        with pytest.raises(UserError, match="multipliers differ") as caught:
            scaled_columns(node, wanted)
        assert caught.value.layer == "conv"
        assert caught.value.remedy.endswith(" or ".join(map(repr, forms)))


@given(
    planes=st.integers(1, 3),
    granularity=st.sampled_from(["layer", "channel", "column"]),
    per_output=st.booleans(),
    image=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_a_flattened_image_keeps_its_weights(
    planes: int, granularity: str, per_output: bool, image: tuple[int, int, int], seed: int
) -> None:
    """Whatever the form, codes and multipliers stand for the same matrix in hardware order."""
    rng = np.random.default_rng(seed)
    columns = int(np.prod(image))
    grid = {"layer": 1, "channel": image[0], "column": columns}[granularity]
    made = tuple(
        Plane(
            rng.integers(-1, 2, (3, columns)).astype(np.int8),
            rng.integers(0, 5, (3 if per_output else 1, grid)),
        )
        for _ in range(planes)
    )
    node = Linear(name="fc", input="x", output="y", weights=Weights(made))
    order = flattened_order(image)
    found = expanded(scaled_columns(node, order=order))
    assert np.array_equal(found, node.weights.integers()[:, order])
