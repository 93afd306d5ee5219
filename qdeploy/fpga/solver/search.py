# SPDX-License-Identifier: Apache-2.0
"""The best choice by constraint programming, with proof or gap.

The initiation interval is found by bisection over the cycles that options have: each step asks
whether options that are fast enough fit the budget. The latency is minimized directly, starting
from the fastest choice, over the options that can still be part of a better one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import UserError
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.solver.dominance import reduced
from qdeploy.fpga.solver.model import PRICE_UNIT, Model
from qdeploy.fpga.solver.problem import LUTS, Option, Problem, Stage

# See `Model.solve`; the second for the question whether anything fits at all.
EFFORT = 25.0
LONGEST = 60.0
# Shares of the effort that is left: for a step of the bisection; for the searches of a smaller
# latency, of which the second starts where the first one ended, with fewer options.
_STEP, _ATTEMPTS = 1 / 3, (0.5, 0.8)

Choice = tuple[Option, ...]


@dataclass(frozen=True)
class Solution:
    """What was found.

    Attributes:
        choice: an option per stage.
        cycles: initiation interval.
        latency: cycles of a frame through the empty pipeline.
        cost: of everything.
        bound: fewer cycles (of latency, for `shortest`) are proven impossible within the budget;
            equal to what was found if that is optimal.
        least_price: no choice that is as fast is proven to cost less, in LUTs.
        effort: of the search, see `Model.solve`.
        seconds: of the search.
    """

    choice: Choice
    cycles: int
    latency: int
    cost: Cost
    bound: int
    least_price: float
    effort: float
    seconds: float


def fastest(
    problem: Problem, budget: Cost, prices: Cost = LUTS, effort: float = EFFORT
) -> Solution:
    """The smallest initiation interval within the budget, then the lowest price.

    Raises:
        UserError: if nothing fits the budget.
    """
    return _Search(problem, budget, prices, effort).fastest(0)


def cheapest(
    problem: Problem,
    budget: Cost,
    cycles: int,
    prices: Cost = LUTS,
    effort: float = EFFORT,
) -> Solution:
    """The lowest price for an initiation interval; where it is out of reach, the `fastest`.

    Raises:
        UserError: if nothing fits the budget.
    """
    return _Search(problem, budget, prices, effort).fastest(cycles)


def shortest(
    problem: Problem,
    budget: Cost,
    cycles: int | None = None,
    prices: Cost = LUTS,
    effort: float = EFFORT,
) -> Solution:
    """The smallest latency within the budget and, if given, an initiation interval.

    Raises:
        UserError: if nothing fits.
    """
    return _Search(problem, budget, prices, effort).shortest(cycles)


class _Search:
    def __init__(self, problem: Problem, budget: Cost, prices: Cost, effort: float) -> None:
        self.problem, self.budget, self.prices = problem, budget, prices
        self.start = time.monotonic()
        self.effort, self.spent = effort, 0.0
        affordable = [
            tuple(o for o in stage.options if _fits(o.cost, budget)) for stage in problem.stages
        ]
        for stage, options in zip(problem.stages, affordable, strict=True):
            if not options:
                raise _too_large(stage, budget)
        self.options = reduced(problem, affordable, times=True)

    def fastest(self, wanted: int) -> Solution:
        """Bisection, then the lowest price."""
        choice, bound = self._fastest(wanted)
        cycles = _cycles(choice)
        model = self._model(max(cycles, wanted))
        model.hint(choice)
        final = self._solve(model, 1, model.price) or choice
        least = model.bound / PRICE_UNIT
        return self._solution(final, min(bound, _cycles(final)), least)

    def shortest(self, cycles: int | None) -> Solution:
        """From the fastest choice on, as far as the effort goes."""
        choice, _ = self._fastest(cycles or 0)
        if cycles is not None and _cycles(choice) > cycles:
            raise _too_slow(cycles, _cycles(choice), self.budget)
        if cycles is not None:
            self.options = [_at_most(cycles, options) for options in self.options]
        least = self._least_latencies()
        latency, bound = self.problem.latency(choice), max(int(times.min()) for times in least)
        for share in _ATTEMPTS:
            if latency > bound:
                model, end = self._latency_model(least, latency, choice)
                choice = self._solve(model, share, end) or choice
                latency = self.problem.latency(choice)
                bound = max(bound, ceil(model.bound - 1e-6))
        # Then the lowest price; the latency stays.
        model, _ = self._latency_model(least, latency, choice)
        choice = self._solve(model, 1, model.price) or choice
        return self._solution(choice, min(bound, latency), model.bound / PRICE_UNIT)

    def _fastest(self, wanted: int) -> tuple[Choice, int]:
        """A choice of the smallest initiation interval from `wanted` on, and what is proven."""
        lowest = max(min(o.cycles for o in options) for options in self.options)
        steps = sorted(
            {max(lowest, wanted)}
            | {o.cycles for options in self.options for o in options if o.cycles > lowest}
        )
        steps = steps[steps.index(max(lowest, wanted)) :]
        low, high = 0, len(steps) - 1
        best: Choice | None = None
        bound, proven = steps[0], True
        # First the wish itself, then the slowest of all (does anything fit?), then bisection.
        guess = low
        while best is None or low < high:
            model = self._model(steps[guess])
            last = best is None and guess == high
            found = model.solve(LONGEST) if last else self._solve(model, _STEP)
            if found is not None:
                best = found
                high = next(i for i in range(low, guess + 1) if steps[i] >= _cycles(found))
            elif last:
                raise _does_not_fit(self.budget) if model.infeasible else _not_found(self.budget)
            else:
                low = guess + 1
                proven = proven and model.infeasible
                bound = steps[low] if proven else bound
            guess = high if best is None else (low + high) // 2
        return best, bound

    def _model(self, cycles: int) -> Model:
        fast = [_at_most(cycles, options) for options in self.options]
        return Model(
            self.problem, reduced(self.problem, fast, times=False), self.budget, self.prices
        )

    def _least_latencies(self) -> list[npt.NDArray[np.int64]]:
        """Of each option: the latency if every other stage had its best cycles and tail."""
        cycles = [np.array([o.cycles for o in options]) for options in self.options]
        tails = [np.array([o.tail for o in options]) for options in self.options]
        best_cycles, best_tails = [int(c.min()) for c in cycles], [int(t.min()) for t in tails]
        least = []
        for place, options in enumerate(self.options):
            _, last = self.problem.times(
                [*best_cycles[:place], cycles[place], *best_cycles[place + 1 :]],
                [*best_tails[:place], tails[place], *best_tails[place + 1 :]],
            )
            least.append(np.broadcast_to(last[-1], len(options)))
        return least

    def _latency_model(
        self, least: Sequence[npt.NDArray[np.int64]], limit: int, choice: Choice
    ) -> tuple[Model, Any]:
        """A model of at most this latency that starts from `choice`, and its latency."""
        useful = [
            tuple(
                option
                for option, time in zip(options, times, strict=True)
                if time <= limit or option is taken
            )
            for options, times, taken in zip(self.options, least, choice, strict=True)
        ]
        model = Model(self.problem, useful, self.budget, self.prices)
        end = model.add_latency(limit)
        model.hint(choice)
        return model, end

    def _solution(self, choice: Choice, bound: int, least_price: float) -> Solution:
        return Solution(
            choice,
            _cycles(choice),
            self.problem.latency(choice),
            self.problem.cost(choice),
            bound,
            least_price,
            self.spent,
            time.monotonic() - self.start,
        )

    def _solve(self, model: Model, share: float, objective: Any = None) -> Choice | None:
        """With a share of the effort that is left, but some in any case."""
        found = model.solve(max(1.0, share * (self.effort - self.spent)), objective)
        self.spent += model.effort
        return found


def _cycles(choice: Choice) -> int:
    return max(option.cycles for option in choice)


def _at_most(cycles: int, options: Choice) -> Choice:
    return tuple(option for option in options if option.cycles <= cycles)


def _fits(cost: Cost, budget: Cost) -> bool:
    return all(a <= b for a, b in zip(cost, budget, strict=True))


def _too_large(stage: Stage, budget: Cost) -> UserError:
    least = min(stage.options, key=lambda option: option.cost.lut).cost
    return UserError(
        f"at its smallest it takes {least.lut:.0f} LUTs, {least.bram36:g} block RAMs and "
        f"{least.dsp} DSP slices of {budget.lut:.0f}, {budget.bram36:g} and {budget.dsp:.0f}",
        layer=stage.name,
        remedy="use a larger board or share of it, or a smaller network",
    )


def _too_slow(cycles: int, reached: int, budget: Cost) -> UserError:
    return UserError(
        f"no folding of at most {cycles:,} cycles per frame fits {_amounts(budget)}",
        remedy=f"ask for a lower rate ({reached:,} cycles per frame fit), a larger board or share "
        "of it",
    )


def _does_not_fit(budget: Cost) -> UserError:
    return UserError(
        f"no folding of the network fits {_amounts(budget)}",
        remedy="use a larger board or share of it, or a smaller network",
    )


def _not_found(budget: Cost) -> UserError:
    return UserError(
        f"no folding was found that fits {_amounts(budget)}; none is excluded",
        remedy="use a larger board or share of it, or a smaller network",
    )


def _amounts(budget: Cost) -> str:
    return (
        f"{budget.lut:.0f} LUTs, {budget.ff:.0f} flip-flops, {budget.bram36:g} block RAMs and "
        f"{budget.dsp:.0f} DSP slices"
    )
