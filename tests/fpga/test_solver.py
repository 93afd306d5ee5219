# SPDX-License-Identifier: Apache-2.0
"""The solver finds what trying everything finds, and says so."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_networks import BOARD, cnv, resnet20

from qdeploy.errors import UserError
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.solver.problem import (
    LUTS,
    Link,
    Option,
    Problem,
    Stage,
    board_prices,
    price,
)
from qdeploy.fpga.solver.search import Solution, cheapest, fastest, shortest


def share(part: float) -> Cost:
    return Cost(*(part * amount for amount in BOARD))


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to four stages, now and then two readers of one; amounts that CP-SAT counts exactly."""
    amounts = st.integers(0, 40)
    options = st.builds(
        Option,
        cycles=st.integers(1, 30),
        cost=st.builds(Cost, amounts, amounts, st.integers(0, 6).map(lambda n: n / 2), amounts),
        input_bits=st.sampled_from([(2, 2), (2, 4), (4, 4)]),
        output_bits=st.sampled_from([2, 4]),
        tail=st.integers(0, 9),
    )
    leads = st.sampled_from([0, 1, 512, 1024])
    stages = draw(
        st.lists(
            st.builds(
                Stage, st.just("stage"), st.lists(options, min_size=1, max_size=4).map(tuple), leads
            ),
            min_size=1,
            max_size=4,
        )
    )
    links = [Link(i - 1, i, tied=draw(st.booleans())) for i in range(1, len(stages))]
    if len(stages) > 2 and draw(st.booleans()):
        links.append(Link(0, 2, port=1))
    return Problem(stages, links)


budgets = st.builds(
    Cost, st.integers(0, 250), st.integers(0, 250), st.integers(0, 12), st.integers(0, 150)
)
PRICES = Cost(1, 0.5, 8, 2)


def everything(problem: Problem, budget: Cost) -> list[tuple[int, int, Cost]]:
    """Cycles, latency and cost of every choice that fits."""
    found = []
    for choice in product(*(stage.options for stage in problem.stages)):
        total = problem.cost(choice)
        tied = all(
            choice[link.writer].output_bits == choice[link.reader].input_bits[link.port]
            for link in problem.links
            if link.tied
        )
        if tied and all(a <= b for a, b in zip(total, budget, strict=True)):
            cycles = max(option.cycles for option in choice)
            found.append((cycles, problem.latency(choice), total))
    return found


def check(problem: Problem, budget: Cost, found: Solution) -> None:
    """What is returned is what it says, and it fits."""
    assert found.cost == problem.cost(found.choice)
    assert found.latency == problem.latency(found.choice)
    assert all(a <= b + 0.5 for a, b in zip(found.cost, budget, strict=True))


@settings(deadline=None, max_examples=60)
@given(problem=problems(), budget=budgets)
def test_the_fastest_is_that_of_all_choices(problem: Problem, budget: Cost) -> None:
    choices = everything(problem, budget)
    if not choices:
        with pytest.raises(UserError):
            fastest(problem, budget)
        return
    found = fastest(problem, budget)
    check(problem, budget, found)
    cycles = min(c for c, _, _ in choices)
    assert (found.cycles, found.bound) == (cycles, cycles)
    luts = min(cost.lut for c, _, cost in choices if c == cycles)
    assert found.cost.lut == pytest.approx(luts, abs=1)


@settings(deadline=None, max_examples=60)
@given(problem=problems(), budget=budgets, cycles=st.integers(1, 30))
def test_the_cheapest_for_a_rate_is_that_of_all_choices(
    problem: Problem, budget: Cost, cycles: int
) -> None:
    choices = everything(problem, budget)
    if not choices:
        return
    reachable = max(cycles, min(c for c, _, _ in choices))
    found = cheapest(problem, budget, cycles, PRICES)
    check(problem, budget, found)
    assert found.cycles <= reachable
    least = min(price(cost, PRICES) for c, _, cost in choices if c <= reachable)
    assert price(found.cost, PRICES) == pytest.approx(least, abs=1)
    assert found.least_price == pytest.approx(least, abs=1)


@settings(deadline=None, max_examples=60)
@given(problem=problems(), budget=budgets)
def test_the_shortest_latency_is_that_of_all_choices(problem: Problem, budget: Cost) -> None:
    choices = everything(problem, budget)
    if not choices:
        return
    found = shortest(problem, budget)
    check(problem, budget, found)
    latency = min(t for _, t, _ in choices)
    assert (found.latency, found.bound) == (latency, latency)


@pytest.mark.parametrize("make", [cnv, resnet20])
def test_published_networks_are_solved_with_proof_in_seconds(make) -> None:
    problem = make()
    found = fastest(problem, share(0.7))
    check(problem, share(0.7), found)
    assert found.cycles == found.bound
    assert found.cost.lut <= found.least_price * 1.01
    assert found.effort < 30


def test_more_of_the_board_is_never_slower() -> None:
    problem = cnv()
    cycles = [fastest(problem, share(part)).cycles for part in (0.35, 0.4, 0.5, 0.9)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]


@pytest.mark.parametrize("prices", [LUTS, board_prices(BOARD)])
def test_lower_rates_never_cost_more(prices: Cost) -> None:
    problem = cnv()
    found = [cheapest(problem, BOARD, cycles, prices) for cycles in (10_000, 40_000, 200_000)]
    costs = [price(solution.cost, prices) for solution in found]
    assert costs == sorted(costs, reverse=True)


def test_equal_shares_of_a_board_cost_the_same_but_a_quarter_more_of_its_logic() -> None:
    lut, ff, bram36, dsp = (a * b for a, b in zip(board_prices(BOARD), BOARD, strict=True))
    assert lut == ff == pytest.approx(1.25 * bram36) == pytest.approx(1.25 * dsp)


def test_the_published_rate_of_cnv_takes_less_than_10000_luts_and_half_of_the_memory() -> None:
    found = cheapest(cnv(), share(0.8), 33_112, board_prices(BOARD))  # 3,020 frames/s at 100 MHz
    assert found.cost.lut < 10_000
    assert found.cost.bram36 < 70


def test_a_network_that_does_not_fit_names_what_is_missing() -> None:
    with pytest.raises(UserError, match=r"fits 532 LUTs"):
        fastest(cnv(), share(0.01)._replace(bram36=140, dsp=220))
