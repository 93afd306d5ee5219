# SPDX-License-Identifier: Apache-2.0
"""Multi-bit codes against the errors, optima and stationarity that their papers promise."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quantizers.multibit.solvers import (
    Bases,
    alternating,
    greedy,
    in_fixed_point,
    least_squares,
    nearest_codes,
    refined,
)

SOLVERS = [greedy, refined, alternating]


def draw(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quantiles(distribution: torch.distributions.Distribution, count: int) -> torch.Tensor:
    """One group of weights that represents a distribution evenly."""
    return distribution.icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count)[None]


NORMAL, LAPLACE = torch.distributions.Normal(0.0, 1.0), torch.distributions.Laplace(0.0, 1.0)


def error(weights: torch.Tensor, bases: Bases) -> float:
    return float(((weights - bases.values()) ** 2).sum() / (weights**2).sum())


@pytest.mark.parametrize(
    ("distribution", "bits", "expected"),
    [
        (NORMAL, 1, (0.364, 0.364, 0.364, 0.364)),
        (NORMAL, 2, (0.132, 0.127, 0.120, 0.119)),
        (NORMAL, 3, (0.060, 0.052, 0.046, 0.038)),
        (NORMAL, 4, (0.034, 0.026, 0.022, 0.012)),
        (LAPLACE, 2, (0.229, 0.209, 0.182, 0.177)),
    ],
)
def test_relative_errors_of_large_groups(distribution, bits, expected):
    """The last is what alternation converges to."""
    weights = quantiles(distribution, 20_000)
    found = [error(weights, solve(weights, bits)) for solve in SOLVERS]
    found.append(error(weights, alternating(weights, bits, rounds=30)))
    assert found == pytest.approx(expected, abs=0.0025)


def test_one_base_has_a_closed_form():
    weights = draw((7, 31))
    for solve in SOLVERS:
        bases = solve(weights, 1)
        torch.testing.assert_close(bases.scales[:, 0], weights.abs().mean(dim=1))
        assert torch.equal(bases.codes[:, 0], weights.sign().to(torch.int8))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(1, 12))
def test_no_half_step_of_the_alternation_increases_the_error(seed, bits, count):
    weights = draw((3, count), seed)
    bases = greedy(weights, bits)
    last = ((weights - bases.values()) ** 2).sum(dim=1)
    for _ in range(3):
        for half in ("scales", "codes"):
            if half == "scales":
                bases = least_squares(weights, bases.codes)
                residual = weights - bases.values()
                inner = (bases.codes.double() @ residual[:, :, None])[:, :, 0]
                assert float(inner.abs().max()) < 1e-9  # orthogonal to every base
            else:
                bases = Bases(nearest_codes(weights, bases.scales), bases.scales)
            present = ((weights - bases.values()) ** 2).sum(dim=1)
            assert (present <= last + 1e-12).all()
            last = present


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 4))
def test_codes_are_those_of_the_nearest_sum(seed, bits):
    weights = draw((2, 40), seed)
    scales = draw((2, bits), seed + 1).abs()
    found = Bases(nearest_codes(weights, scales), scales).values()
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=bits)), dtype=torch.float64)
    distances = (weights[:, :, None] - (scales @ signs.T)[:, None]).abs()
    torch.testing.assert_close((weights - found).abs(), distances.amin(dim=2))


def test_two_bases_are_assigned_by_two_comparisons():
    weights = draw((4, 50))
    scales = torch.tensor([[2.0, 0.5]], dtype=torch.float64).expand(4, 2)
    first = weights.sign()
    second = (weights - 2 * first).sign()
    codes = nearest_codes(weights, scales)
    assert torch.equal(codes, torch.stack([first, second], dim=1).to(torch.int8))


@pytest.mark.parametrize("solve", SOLVERS)
def test_equivariant_and_sorted(solve):
    """Weights times 4 have scales times 4 and equal codes; scales descend and are not negative."""
    weights = draw((5, 20))
    one, four = solve(weights, 3), solve(4 * weights, 3)
    torch.testing.assert_close(4 * one.scales, four.scales)
    assert torch.equal(one.codes, four.codes)
    assert (one.scales[:, :-1] >= one.scales[:, 1:]).all()
    assert (one.scales >= 0).all()


@pytest.mark.parametrize("solve", SOLVERS)
def test_pruned_weights_count_nowhere(solve):
    """The same as without them; the weights that are left are bimodal, which suits one bit."""
    weights = quantiles(NORMAL, 20_000)
    kept = weights.abs() > weights.abs().quantile(0.7)
    found = solve(weights, 1, kept)
    alone = solve(weights[kept][None], 1)
    torch.testing.assert_close(found.scales, alone.scales)
    assert torch.equal(found.codes != 0, kept[:, None])
    assert error(weights * kept, found) == pytest.approx(0.076, abs=0.003)


@pytest.mark.parametrize("solve", SOLVERS)
def test_groups_of_nothing_and_of_equal_weights(solve):
    """All pruned, all 0, or exact after one base: no division by 0, no base that does nothing."""
    weights = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0], [-0.5, 0.5, 0.5]])
    kept = torch.tensor([[False], [True], [True]]).expand(3, 3)
    bases = solve(weights, 3, kept)
    torch.testing.assert_close(bases.values(), weights * kept)
    assert torch.equal(bases.codes != 0, (bases.scales > 0)[:, :, None] & kept[:, None])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 4))
def test_fixed_point(seed, bits):
    weights = draw((6, 30), seed)
    bases = alternating(weights, bits)
    rounded = in_fixed_point(weights, bases)
    largest = float(rounded.scales.max())
    step = 2.0 ** next(f for f in range(-64, 64) if 128 <= largest / 2.0**f < 256)
    integers = rounded.scales / step
    assert torch.equal(integers, integers.round())
    assert (integers >= 1).all()
    assert (rounded.scales - bases.scales).abs().max() <= step
    assert torch.equal(rounded.codes, nearest_codes(weights, rounded.scales))
