# SPDX-License-Identifier: Apache-2.0
"""Codes and scales of loss-aware quantization against brute force and the model's equations."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quantizers.loss_aware import solvers
from qdeploy.quantizers.loss_aware.levels import Levels
from qdeploy.quantizers.loss_aware.solvers import (
    SMALLEST_SCALE,
    TERNARY,
    alternating,
    binary,
    ternary_exact,
    two_scales_alternating,
    two_scales_exact,
    weighted_error,
)

BOOKS = [Levels(bits, spacing) for spacing in ("linear", "logarithmic") for bits in range(2, 9)]
every_book = pytest.mark.parametrize("book", BOOKS, ids=str)
ONE_SCALE = {"binary": binary, "exact": ternary_exact, "alternating": alternating}
TWO_SCALES = {"exact": two_scales_exact, "alternating": two_scales_alternating}


def draw(size, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    weights, curvature = rng.normal(size=size), rng.exponential(size=size) + 1e-8
    return torch.tensor(weights, dtype=dtype), torch.tensor(curvature, dtype=dtype)


def level_values(book):
    """All levels, written out."""
    k = 2 ** (book.bits - 1) - 1
    positive = (
        [c / k for c in range(1, k + 1)]
        if book.spacing == "linear"
        else [2.0 ** -(k - c) for c in range(1, k + 1)]
    )
    return np.array([-level for level in reversed(positive)] + [0.0, *positive])


def ternary_values(codes, scales):
    return torch.where(codes > 0, scales[0] * codes, scales[-1] * codes)


def brute_force(weights, curvature, two):
    """The least error over all 3^n codes, each with its own best scale or scales."""
    w, d = weights.numpy(), curvature.numpy()
    codes = np.array(list(itertools.product((-1, 0, 1), repeat=w.size)))
    error = np.full(len(codes), 0.5 * (d * w * w).sum())
    for part in [codes > 0, codes < 0] if two else [codes != 0]:
        moment, mass = (part * codes * d * w).sum(1), (part * d).sum(1)
        error -= np.where(mass > 0, 0.5 * moment.clip(0) ** 2 / np.where(mass > 0, mass, 1), 0)
    return error.min()


@st.composite
def small_cases(draw):
    """Up to six weights with many ties, zeros, equal signs."""
    size = draw(st.integers(1, 6))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-2, 2, width=16))
    weights = draw(st.lists(numbers, min_size=size, max_size=size))
    curvature = draw(st.lists(st.sampled_from([0.25, 1.0, 1.5, 8.0]), min_size=size, max_size=size))
    return torch.tensor(weights, dtype=torch.float64), torch.tensor(curvature, dtype=torch.float64)


@given(small_cases(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_exact_ternary_codes_against_brute_force(case, two):
    weights, curvature = case
    codes, scale = two_scales_exact(*case) if two else ternary_exact(*case)
    assert codes.dtype == torch.int8
    quantized = ternary_values(codes, scale.reshape(-1))
    error = float(weighted_error(weights, curvature, quantized))
    assert error == pytest.approx(brute_force(weights, curvature, two), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("two", [False, True])
def test_exact_ternary_codes_of_random_weights(seed, two):
    case = draw(6, seed)
    codes, scale = two_scales_exact(*case) if two else ternary_exact(*case)
    error = float(weighted_error(*case, ternary_values(codes, scale.reshape(-1))))
    assert error == pytest.approx(brute_force(*case, two), rel=1e-12)


def test_all_weights_may_be_kept():
    """Equal magnitudes: nothing is worth a zero."""
    weights = torch.tensor([0.5, -0.5, 0.5, 0.5])
    codes, scale = ternary_exact(weights, torch.tensor([1.0, 5.0, 0.1, 2.0]))
    assert torch.equal(codes, weights.sign().to(torch.int8))
    assert float(scale) == 0.5


@given(small_cases())
@settings(max_examples=60, deadline=None)
def test_binary_codes_against_brute_force(case):
    weights, curvature = case
    codes, scale = binary(*case)
    errors = []
    for signs in itertools.product((-1.0, 1.0), repeat=len(weights)):
        b = torch.tensor(signs, dtype=torch.float64)
        best = ((curvature * b * weights).sum() / curvature.sum()).clamp(min=0)
        errors.append(float(weighted_error(weights, curvature, best * b)))
    error = float(weighted_error(weights, curvature, scale * codes))
    assert error == pytest.approx(min(errors), abs=1e-12)


def test_binary_codes_of_constant_curvature_are_those_of_binary_weight_networks():
    weights, _ = draw((16, 3, 3), dtype=torch.float32)
    codes, scale = binary(weights, torch.full_like(weights, 0.37))
    assert np.array_equal(codes.numpy(), np.where(weights.numpy() >= 0, 1, -1))
    assert float(scale) == pytest.approx(float(weights.abs().mean()), rel=1e-6)


@every_book
def test_nearest_levels_against_brute_force(book):
    rng = np.random.default_rng(book.bits)
    values = level_values(book)
    middles = (values[1:] + values[:-1]) / 2
    x = np.concatenate(
        [
            rng.normal(size=5000),
            rng.choice([-1, 1], 5000) * np.exp2(rng.uniform(-book.largest - 3, 1, 5000)),
            values,
            middles,
            np.nextafter(middles, -2),
            np.nextafter(middles, 2),
            [np.inf, -np.inf, 0.0, -0.0],
        ]
    )
    codes = book.nearest(torch.from_numpy(x)).numpy()
    assert codes.dtype == np.int8
    own = values[codes.astype(int) + book.largest]
    assert np.array_equal(book.values(torch.from_numpy(codes), torch.float64).numpy(), own)
    finite = np.clip(x, -2, 2)
    distances = np.abs(finite[:, None] - values)
    # Linear levels are no binary fractions: their middles may go either way.
    slack = 1e-15 if book.spacing == "linear" else 0.0
    assert (np.abs(finite - own) <= distances.min(axis=1) + slack).all()


@pytest.mark.parametrize(
    "book", [b for b in BOOKS if b.spacing == "linear" or b.bits <= 5], ids=str
)
def test_integers_are_multiples_of_the_smallest_level(book):
    codes = torch.arange(-book.largest, book.largest + 1, dtype=torch.int8)
    values = level_values(book)
    integers = book.integers(codes).numpy()
    assert integers.dtype == (np.int16 if integers.max() > 127 else np.int8)
    assert np.allclose(integers * values[book.largest + 1], values, rtol=1e-15)


@every_book
@pytest.mark.parametrize("start", [0.05, 0.5, 5.0])
def test_alternation_never_raises_the_error(book, start, monkeypatch):
    """Neither its codes do, at the scale before, nor its scale."""
    case = draw(500, seed=book.bits)
    scale = torch.tensor(start, dtype=torch.float64)
    whole, last = alternating(*case, book, start=scale), float("inf")
    monkeypatch.setattr(solvers, "MAXIMUM_ITERATIONS", 1)
    for _ in range(10):
        codes, fitted = alternating(*case, book, start=scale)
        levels = book.values(codes, torch.float64)
        between, error = (float(weighted_error(*case, s * levels)) for s in (scale, fitted))
        assert error <= between * (1 + 1e-12) <= last * (1 + 1e-12) ** 2
        scale, last = fitted, error
    error = float(weighted_error(*case, whole[1] * book.values(whole[0], torch.float64)))
    assert error == pytest.approx(last, rel=1e-3)


@every_book
@pytest.mark.parametrize("size", [500, 5000])
def test_alternation_against_all_scales(book, size):
    """Of many levels there are many local minima, none a quarter above the least."""
    weights, curvature = case = draw(size, seed=book.bits)
    scales = torch.linspace(0.02, 1.5, 1500, dtype=torch.float64) * weights.abs().max()
    codes, scale = alternating(*case, book)
    found, *all_others = (
        float(weighted_error(*case, s * book.values(book.nearest(weights / s), torch.float64)))
        for s in (scale, *scales)
    )
    assert codes.shape == weights.shape
    assert found <= min(all_others) * (1.015 if book.bits <= 4 else 1.25)
    if book.spacing == "linear":
        assert found < 0.5 * float((curvature * weights**2).sum()) * 4.0 ** (2 - book.bits)


@every_book
@pytest.mark.parametrize("rule", ["ls", "l1"])
def test_the_two_steps_hold_in_the_result(book, rule):
    """The scale fits the codes, and the codes are next to the weights at (about) that scale."""
    weights, curvature = draw(2000, seed=3)
    scale = None
    for _ in range(20):
        codes, scale = alternating(weights, curvature, book, rule, scale)
    b = level_values(book)[codes.numpy().astype(int) + book.largest]
    d, w = curvature.numpy(), weights.numpy()
    norm = (d * b * b).sum() if rule == "ls" else (d * np.abs(b)).sum()
    assert float(scale) == pytest.approx((d * b * w).sum() / norm, rel=1e-12)
    distances = np.abs(w[:, None] - float(scale) * level_values(book))
    excess = np.abs(w - float(scale) * b) - distances.min(axis=1)
    assert excess.max() <= 1e-4 * float(scale)


@pytest.mark.parametrize("seed", range(8))
def test_approximate_ternary_codes_are_close_to_exact_ones(seed):
    case = draw(2000, seed)
    errors = [
        float(weighted_error(*case, ternary_values(codes, scale.reshape(-1))))
        for solver in (ternary_exact, alternating, two_scales_exact, two_scales_alternating)
        for codes, scale in [solver(*case)]
    ]
    assert errors[0] <= errors[1] <= errors[0] * (1 + 4e-5)
    assert errors[2] <= errors[3] <= errors[2] * (1 + 4e-5)
    assert errors[2] <= errors[0]


@pytest.mark.parametrize("name", ["exact", "alternating"])
def test_kept_weights_reach_half_the_scale_and_others_do_not(name):
    weights, curvature = draw((40, 50), seed=7)
    codes, scale = ONE_SCALE[name](weights, curvature)
    magnitudes, half = weights.abs(), float(scale) / 2
    assert magnitudes[codes != 0].min() >= half * (1 - 1e-4)
    assert magnitudes[codes == 0].max() <= half * (1 + 1e-4)
    codes, scales = TWO_SCALES[name](weights, curvature)
    for sign, side in zip((1, -1), scales, strict=True):
        own = sign * weights
        assert own[codes == sign].min() >= float(side) / 2 * (1 - 1e-4)
        assert own[codes != sign].max() <= float(side) / 2 * (1 + 1e-4)


SOLVERS = {
    **ONE_SCALE,
    **{f"two_{name}": solver for name, solver in TWO_SCALES.items()},
    "linear": lambda w, d: alternating(w, d, Levels(4)),
    "logarithmic": lambda w, d: alternating(w, d, Levels(3, "logarithmic"), "l1"),
}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


@every_solver
def test_scaled_weights_scale_the_result(solver):
    weights, curvature = draw((20, 30), seed=5, dtype=torch.float32)
    codes, scale = solver(weights, curvature)
    for factor in (0.25, 64.0):  # powers of two: not even rounding differs
        other_codes, other_scale = solver(factor * weights, curvature * factor / 2)
        assert torch.equal(other_codes, codes)
        assert torch.equal(other_scale, factor * scale)
    other_codes, other_scale = solver(3.1 * weights.double(), 0.7 * curvature.double())
    assert torch.equal(other_codes, solver(weights.double(), curvature.double())[0])
    torch.testing.assert_close(other_scale.float(), 3.1 * scale)


@every_solver
def test_mirrored_weights_mirror_the_result(solver):
    weights, curvature = draw(300, seed=6)
    codes, scale = solver(weights, curvature)
    other_codes, other_scale = solver(-weights, curvature)
    assert torch.equal(other_codes, -codes)
    assert torch.equal(other_scale.reshape(-1), scale.reshape(-1).flip(0))


@every_solver
@pytest.mark.parametrize("sign", [-1.0, 0.0, 1.0])
def test_weights_of_one_sign_or_none(solver, sign):
    weights = sign * draw(30, seed=8, dtype=torch.float32)[0].abs()
    codes, scale = solver(weights, torch.ones_like(weights))
    assert torch.isfinite(scale).all()
    assert (scale >= SMALLEST_SCALE).all()
    assert (codes * sign >= 0).all()
    if sign == 0:
        assert (scale == SMALLEST_SCALE).all()
        assert solver is binary or not codes.any()


@every_solver
def test_layouts_in_memory_do_not_matter(solver):
    weights, curvature = draw((4, 5, 3, 3), seed=9, dtype=torch.float32)
    wanted, scale = solver(weights, curvature)
    codes, other = solver(weights.contiguous(memory_format=torch.channels_last), curvature)
    assert torch.equal(codes, wanted)
    torch.testing.assert_close(other, scale)


@pytest.mark.parametrize("start", [SMALLEST_SCALE, 1e-3, 0.8, 50.0])
def test_any_scale_is_a_start(start):
    """Also one at which all codes are 0."""
    weights, curvature = draw(2000, seed=10)
    scale = torch.tensor(start, dtype=torch.float64)
    for _ in range(3):
        codes, scale = alternating(weights, curvature, start=scale)
    assert torch.equal(codes, ternary_exact(weights, curvature)[0])


def test_the_two_sides_do_not_see_each_other():
    """Zeros belong to no side, and a scale of one side ends no iteration of the other's."""
    weights, curvature = draw(400, seed=11)
    weights[:40] = 0.0
    for solver in TWO_SCALES.values():
        codes, scales = solver(weights, curvature)
        assert not codes[:40].any()
        assert (codes * weights >= 0).all()
        other_codes, other_scales = solver(
            torch.where(weights > 0, 5 * weights, weights), curvature
        )
        assert torch.equal(other_codes.clamp(max=0), codes.clamp(max=0))
        assert float(other_scales[1]) == float(scales[1])
    start = torch.stack([scales[0], torch.tensor(3.0, dtype=torch.float64)])
    codes, scales = two_scales_alternating(weights, curvature, start)
    negative = alternating((-weights).clamp(min=0), curvature, start=start[1])
    assert torch.equal(codes.clamp(max=0), -negative[0])
    assert float(scales[1]) == float(negative[1])


@pytest.mark.parametrize("spacing", ["linear", "logarithmic"])
@pytest.mark.parametrize("bits", [3, 4])
def test_the_authors_scale_rule_is_no_minimum(spacing, bits):
    weights, curvature = draw(5000, seed=12)
    book = Levels(bits, spacing)
    error = {}
    for rule in ("ls", "l1"):
        scale = None
        for _ in range(5):
            codes, scale = alternating(weights, curvature, book, rule, scale)
        quantized = scale * book.values(codes, torch.float64)
        error[rule] = float(weighted_error(weights, curvature, quantized))
    assert error["l1"] > 1.3 * error["ls"]


def test_default_levels_are_ternary():
    assert TERNARY.largest == 1
    weights, curvature = draw(50)
    assert set(alternating(weights, curvature)[0].tolist()) == {-1, 0, 1}
