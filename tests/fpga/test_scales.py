# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_networks import random_weights

from qdeploy.errors import UserError
from qdeploy.fpga.scales import ScaledColumns, codes, scaled_columns
from qdeploy.integer import Convolution, Linear, Plane, Weights

RNG = np.random.default_rng(0)


def layer(multipliers: np.ndarray, shape: tuple[int, ...] = (4, 5, 3, 2)) -> Convolution:
    plane = Plane(random_weights(RNG, shape).planes[0].codes, multipliers)
    return Convolution(name="conv", input="x", output="y", weights=Weights((plane,)))


@pytest.mark.parametrize(
    ("multipliers", "expected"),
    [
        (np.ones((1, 1, 1, 1), np.int64), ScaledColumns("none")),
        (np.full((1, 1, 1, 1), 7), ScaledColumns("post", (7,))),
        (np.array([3, 4, 5]).reshape(1, 1, 3, 1), ScaledColumns("post", (3, 4, 5))),
        (np.arange(1, 7).reshape(1, 1, 3, 2), ScaledColumns("post", (1, 2, 3, 4, 5, 6))),
        (
            np.broadcast_to(np.arange(1, 7).reshape(1, 1, 3, 2), (4, 1, 3, 2)).copy(),
            ScaledColumns("post", (1, 2, 3, 4, 5, 6)),
        ),
        (np.arange(1, 5).reshape(4, 1, 1, 1), ScaledColumns("recode")),
        (np.arange(1, 6).reshape(1, 5, 1, 1), ScaledColumns("recode")),
    ],
)
def test_post_is_taken_where_all_channels_share_the_multipliers(
    multipliers: np.ndarray, expected: ScaledColumns
) -> None:
    node = layer(multipliers)
    assert scaled_columns(node) == expected
    if expected.form != "none":
        assert scaled_columns(node, "recode").form == "recode"
    if expected.form == "recode":
        with pytest.raises(UserError, match="multipliers differ") as caught:
            scaled_columns(node, "post")
        assert caught.value.layer == "conv"


def test_a_linear_layer_has_one_group() -> None:
    codes_ = random_weights(RNG, (4, 6)).planes[0].codes
    node = Linear(
        name="fc", input="x", output="y", weights=Weights((Plane(codes_, np.full((1, 1), 9)),))
    )
    assert scaled_columns(node) == ScaledColumns("post", (9,))


def test_several_planes_are_recoded() -> None:
    planes = tuple(random_weights(RNG, (4, 5, 3, 2)).planes[0] for _ in range(2))
    node = Convolution(name="conv", input="x", output="y", weights=Weights(planes))
    assert scaled_columns(node).form == "recode"


@given(
    multipliers=st.lists(st.integers(0, 300), min_size=1, max_size=6),
    columns=st.integers(1, 4),
    rows=st.integers(1, 3),
    binary=st.booleans(),
    seed=st.integers(0, 99),
)
def test_codes_times_multipliers_are_the_weights(
    multipliers: list[int], columns: int, rows: int, binary: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = [-1, 1] if binary else [-1, 0, 1]
    scale = np.repeat(multipliers, columns)[:, np.newaxis]
    weights = rng.choice(kind, (len(multipliers) * columns, rows)) * scale
    found = codes(weights, tuple(multipliers), binary)
    assert np.array_equal(found * scale, weights)
    assert set(np.unique(found)) <= set(kind)
