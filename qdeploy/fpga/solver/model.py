# SPDX-License-Identifier: Apache-2.0
"""A problem as constraints for CP-SAT of OR-tools.

One Boolean per option of a stage, exactly one of them true; one per pair of word widths that can
meet on a link, so that a converter is paid for exactly where widths differ; a sum per resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor
from typing import Any

from ortools.sat.python import cp_model

from qdeploy.fpga.resources import Cost
from qdeploy.fpga.solver.problem import (
    LINK_DELAY,
    UNITS,
    Option,
    Problem,
    converter_cost,
    counted,
)

# Prices are integers, too: of a counted amount, in such parts of a LUT.
PRICE_UNIT = 64


class Model:
    """What may be chosen within a budget.

    Attributes:
        price: of everything, in 1 / `PRICE_UNIT` of a LUT; an objective.
        infeasible: whether the last `solve` proved that there is no choice.
        effort: of the last `solve`.
        bound: the last `solve` proved that its objective cannot be less.
    """

    def __init__(
        self, problem: Problem, choices: Sequence[Sequence[Option]], budget: Cost, prices: Cost
    ) -> None:
        self.infeasible, self.bound, self.effort = False, 0.0, 0.0
        self._problem = problem
        self._model = cp_model.CpModel()
        self._options = [[(o, self._model.new_bool_var("")) for o in stage] for stage in choices]
        self._pairs: list[dict[tuple[int, int], Any]] = []
        self._times: tuple[list[Any], list[Any]] | None = None
        sums: list[list[Any]] = [[] for _ in UNITS]
        for options in self._options:
            self._model.add_exactly_one(variable for _, variable in options)
            _spend(sums, ((option.cost, variable) for option, variable in options))
        for link in problem.links:
            written = [(o.output_bits, v) for o, v in self._options[link.writer]]
            read = [(o.input_bits[link.port], v) for o, v in self._options[link.reader]]
            pairs = {
                (out, into): self._model.new_bool_var("")
                for out in dict.fromkeys(width for width, _ in written)
                for into in dict.fromkeys(width for width, _ in read)
                if out == into or not link.tied
            }
            self._pairs.append(pairs)
            _spend(sums, ((converter_cost(*pair), variable) for pair, variable in pairs.items()))
            for side, variables in enumerate((written, read)):
                for width in dict(variables):
                    self._model.add(
                        sum(v for w, v in variables if w == width)
                        == sum(v for pair, v in pairs.items() if pair[side] == width)
                    )
        for terms, limit, unit in zip(sums, budget, UNITS, strict=True):
            self._model.add(sum(terms) <= floor(limit * unit))
        self.price = sum(
            round(PRICE_UNIT * each / unit) * sum(terms)
            for terms, each, unit in zip(sums, prices, UNITS, strict=True)
        )

    def add_latency(self, limit: int) -> Any:
        """`Problem.latency` as constraints, at most `limit`; returns it."""
        first, last = (
            [self._model.new_int_var(0, limit, "") for _ in self._options] for _ in range(2)
        )
        for reader, (stage, options) in enumerate(
            zip(self._problem.stages, self._options, strict=True)
        ):
            begin, end = first[reader], last[reader]
            writers = [link.writer for link in self._problem.links if link.reader == reader]
            own = sum((o.cycles - o.cycles * stage.lead // 1024) * v for o, v in options)
            self._model.add(end >= begin + own)
            if not writers:
                self._model.add(
                    begin >= sum(-(-stage.lead * o.cycles // 1024) * v for o, v in options)
                )
            tail = sum(o.tail * v for o, v in options)
            for w in writers:
                arrived = 1024 * (begin - first[w] - LINK_DELAY)
                self._model.add(arrived >= stage.lead * (last[w] - first[w]))
                self._model.add(end >= last[w] + tail + LINK_DELAY)
        self._times = first, last
        return last[-1]

    def hint(self, choice: Sequence[Option]) -> None:
        """Where to start: a choice among the options."""
        for options, taken in zip(self._options, choice, strict=True):
            for option, variable in options:
                self._model.add_hint(variable, option is taken)
        for link, pairs in zip(self._problem.links, self._pairs, strict=True):
            met = choice[link.writer].output_bits, choice[link.reader].input_bits[link.port]
            for pair, variable in pairs.items():
                self._model.add_hint(variable, pair == met)
        if self._times:
            values = self._problem.times([o.cycles for o in choice], [o.tail for o in choice])
            for variables, times in zip(self._times, values, strict=True):
                for variable, time in zip(variables, times, strict=True):
                    self._model.add_hint(variable, int(time))

    def solve(self, effort: float, objective: Any = None) -> tuple[Option, ...] | None:
        """A choice, the best found with limited effort if there is an objective to minimize.

        Effort is CP-SAT's deterministic time, here about a second of one core: the same choice is
        found on every machine, however busy. Latencies of deep networks need several workers, which
        depend on the machine, and end after so many seconds, too.
        """
        if objective is not None:
            self._model.minimize(objective)
        solver = cp_model.CpSolver()
        solver.parameters.max_deterministic_time = effort
        solver.parameters.num_workers = 1
        if self._times:
            solver.parameters.num_workers = 8
            solver.parameters.max_time_in_seconds = effort
        solver.parameters.random_seed = 0
        status = solver.status_name(solver.solve(self._model))
        self.infeasible, self.bound = status == "INFEASIBLE", solver.best_objective_bound
        self.effort = solver.response_proto.deterministic_time
        if status not in ("OPTIMAL", "FEASIBLE"):
            return None
        return tuple(
            next(option for option, variable in options if solver.value(variable))
            for options in self._options
        )


def _spend(sums: list[list[Any]], amounts: Iterable[tuple[Cost, Any]]) -> None:
    for cost, variable in amounts:
        for terms, amount in zip(sums, counted(cost), strict=True):
            if amount:
                terms.append(amount * variable)
