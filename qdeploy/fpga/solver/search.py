# SPDX-License-Identifier: Apache-2.0
"""The best choice by constraint programming (CP-SAT of OR-tools), with proof or gap.

One Boolean per option of a stage, exactly one of them true; one per pair of word widths that can
meet on a link, so that a converter is paid for exactly where widths differ; a sum per resource. The
initiation interval is found by bisection over the cycles that options have: each step asks whether
options that are fast enough fit the budget.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from ortools.sat.python import cp_model

from qdeploy.errors import UserError
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.solver.problem import (
    LINK_DELAY,
    Link,
    Option,
    Problem,
    Stage,
    converter_cost,
    undominated,
)

TIME_LIMIT_S = 25.0
# Costs become integers: LUTs and flip-flops to a quarter, half block RAMs.
_UNITS = Cost(4, 4, 2, 1)
_FEASIBLE = (cp_model.OPTIMAL, cp_model.FEASIBLE)


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
        least_lut: no choice that is as fast is proven to take fewer LUTs.
        seconds: of search.
    """

    choice: tuple[Option, ...]
    cycles: int
    latency: int
    cost: Cost
    bound: int
    least_lut: float
    seconds: float


def fastest(problem: Problem, budget: Cost, limit_s: float = TIME_LIMIT_S) -> Solution:
    """The smallest initiation interval within the budget, then the fewest LUTs.

    Raises:
        UserError: if nothing fits the budget.
    """
    return _Search(problem, budget, limit_s).fastest(0)


def smallest(
    problem: Problem, budget: Cost, cycles: int, limit_s: float = TIME_LIMIT_S
) -> Solution:
    """The fewest LUTs for an initiation interval; where it is out of reach, the `fastest`.

    Raises:
        UserError: if nothing fits the budget.
    """
    return _Search(problem, budget, limit_s).fastest(cycles)


def shortest(
    problem: Problem, budget: Cost, cycles: int | None = None, limit_s: float = TIME_LIMIT_S
) -> Solution:
    """The smallest latency within the budget and, if given, an initiation interval.

    Raises:
        UserError: if nothing fits.
    """
    return _Search(problem, budget, limit_s).shortest(cycles)


class _Search:
    def __init__(self, problem: Problem, budget: Cost, limit_s: float) -> None:
        self.problem, self.budget = problem, budget
        self.start = time.monotonic()
        self.limit_s = limit_s
        self.refuted, self.least_lut = False, 0.0
        self.options = [
            tuple(o for o in stage.options if _fits(o.cost, budget)) for stage in problem.stages
        ]
        for stage, options in zip(problem.stages, self.options, strict=True):
            if not options:
                raise _too_large(stage, budget)

    def fastest(self, wanted: int) -> Solution:
        """Bisection; nothing below `wanted` cycles is tried."""
        bound = max(min(o.cycles for o in options) for options in self.options)
        reachable = {max(bound, wanted)} | {
            o.cycles for options in self.options for o in options if o.cycles > max(bound, wanted)
        }
        steps = sorted(reachable)
        low, high = 0, len(steps) - 1
        best = None
        lowest, proven = steps[0], True
        # First the wish itself, then the slowest of all (does anything fit?), then bisection.
        guess = low
        while best is None or low < high:
            found = self._choose(steps[guess], least=False)
            if found is not None:
                best, high = found, guess
            elif guess == high:
                raise _does_not_fit(self.budget)
            else:
                low = guess + 1
                proven = proven and self.refuted
                lowest = steps[low] if proven else lowest
            guess = high if best is None else (low + high) // 2
        final = self._choose(steps[high], least=True) or best
        cycles = max(option.cycles for option in final)
        return self._solution(final, cycles if proven else min(lowest, cycles), self.least_lut)

    def shortest(self, cycles: int | None) -> Solution:
        """One search with the times of every stage as variables."""
        limit = cycles or max(o.cycles for options in self.options for o in options)
        model, chosen = self._model(limit, times=True)
        end = self._times(model, chosen)
        model.minimize(end)
        solver, status = self._solve(model, self._left())
        if status not in _FEASIBLE:
            raise _does_not_fit(self.budget)
        latency = round(solver.objective_value)
        best = ceil(solver.best_objective_bound - 1e-6)
        # Then the fewest LUTs; the latency stays.
        model.add(end <= latency)
        model.minimize(self._lut)
        again, status = self._solve(model, max(1.0, self._left()))
        final = again if status in _FEASIBLE else solver
        least = again.best_objective_bound / _UNITS.lut if status in _FEASIBLE else 0.0
        return self._solution(_chosen(final, chosen), best, least)

    def _solution(self, choice: tuple[Option, ...], bound: int, least_lut: float) -> Solution:
        return Solution(
            choice,
            max(option.cycles for option in choice),
            self.problem.latency(choice),
            self.problem.cost(choice),
            bound,
            least_lut,
            time.monotonic() - self.start,
        )

    def _choose(self, cycles: int, *, least: bool) -> tuple[Option, ...] | None:
        """Options of at most `cycles` within the budget, with fewest LUTs if `least`."""
        model, chosen = self._model(cycles, times=False)
        if least:
            model.minimize(self._lut)
        solver, status = self._solve(model, self._left() if least else self._left() / 3)
        self.refuted = status == cp_model.INFEASIBLE
        if status not in _FEASIBLE:
            return None
        if least:
            self.least_lut = solver.best_objective_bound / _UNITS.lut
        return _chosen(solver, chosen)

    def _left(self) -> float:
        return max(1.0, self.start + self.limit_s - time.monotonic())

    def _solve(self, model: Any, seconds: float) -> tuple[Any, Any]:
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = min(8, max(2, os.cpu_count() or 2))
        solver.parameters.random_seed = 0
        return solver, solver.solve(model)

    def _model(self, cycles: int, *, times: bool) -> tuple[Any, list[dict[Option, Any]]]:
        """Choice, links and resources; the LUTs are `self._lut`."""
        model = cp_model.CpModel()
        chosen: list[dict[int, tuple[Option, Any]]] = []
        sums: list[list[Any]] = [[], [], [], []]
        for options in self.options:
            fast = undominated((o for o in options if o.cycles <= cycles), times=times)
            variables = {id(option): (option, model.new_bool_var("")) for option in fast}
            model.add_exactly_one(variable for _, variable in variables.values())
            chosen.append(variables)
            for option, variable in variables.values():
                _spend(sums, option.cost, variable)
        for link in self.problem.links:
            self._link(model, link, chosen, sums)
        for terms, limit, unit in zip(sums, self.budget, _UNITS, strict=True):
            model.add(sum(terms) <= floor(limit * unit))
        self._lut = sum(sums[0])
        return model, chosen  # type: ignore[return-value]

    @staticmethod
    def _link(model: Any, link: Link, chosen: Sequence[Any], sums: list[list[Any]]) -> None:
        """A Boolean per pair of widths, tied to the options on both sides."""
        writers, readers = defaultdict(list), defaultdict(list)
        for option, variable in chosen[link.writer].values():
            writers[option.output_bits].append(variable)
        for option, variable in chosen[link.reader].values():
            readers[option.input_bits[link.port]].append(variable)
        out_pairs, in_pairs = defaultdict(list), defaultdict(list)
        for out in writers:
            for into in readers:
                if link.tied and out != into:
                    continue
                pair = model.new_bool_var("")
                out_pairs[out].append(pair)
                in_pairs[into].append(pair)
                _spend(sums, converter_cost(out, into), pair)
        for sides, pairs in ((writers, out_pairs), (readers, in_pairs)):
            for width, variables in sides.items():
                model.add(sum(variables) == sum(pairs[width]))

    def _times(self, model: Any, chosen: Sequence[Any]) -> Any:
        """`Problem.latency` as constraints; returns the end of the last stage."""
        horizon = sum(max(o.cycles + o.tail for o, _ in v.values()) for v in chosen) * 2 + 1000
        first, last = [], []
        for reader, (stage, variables) in enumerate(zip(self.problem.stages, chosen, strict=True)):
            begin, end = (model.new_int_var(0, horizon, "") for _ in range(2))
            first.append(begin)
            last.append(end)
            writers = [link.writer for link in self.problem.links if link.reader == reader]
            own = [
                (o.cycles - o.cycles * stage.lead // 1024, variable)
                for o, variable in variables.values()
            ]
            model.add(end >= begin + sum(cycles * variable for cycles, variable in own))
            if not writers:
                waits = [(-(-stage.lead * o.cycles // 1024), v) for o, v in variables.values()]
                model.add(begin >= sum(cycles * variable for cycles, variable in waits))
            tail = sum(o.tail * variable for o, variable in variables.values())
            for w in writers:
                arrived = 1024 * (begin - first[w] - LINK_DELAY)
                model.add(arrived >= stage.lead * (last[w] - first[w]))
                model.add(end >= last[w] + tail + LINK_DELAY)
        return last[-1]


def _spend(sums: list[list[Any]], cost: Cost, variable: Any) -> None:
    for terms, amount, unit in zip(sums, cost, _UNITS, strict=True):
        if amount:
            terms.append(round(amount * unit) * variable)


def _chosen(solver: Any, chosen: Sequence[Any]) -> tuple[Option, ...]:
    return tuple(
        next(option for option, variable in options.values() if solver.value(variable))
        for options in chosen
    )


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


def _does_not_fit(budget: Cost) -> UserError:
    return UserError(
        f"no folding of the network fits {budget.lut:.0f} LUTs, {budget.ff:.0f} flip-flops, "
        f"{budget.bram36:g} block RAMs and {budget.dsp:.0f} DSP slices",
        remedy="use a larger board or share of it, or a smaller network",
    )
