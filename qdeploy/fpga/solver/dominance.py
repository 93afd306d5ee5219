# SPDX-License-Identifier: Apache-2.0
"""Options that no best choice needs: another one is as good, whatever the neighbours take.

Most options differ in their word widths, too. One beats another of different width if it is still
better with what its converters take more than the other's in the worst case, over all widths that
the neighbours have left. Nine of ten options go that way before CP-SAT sees the problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from qdeploy.fpga.solver.problem import Option, Problem, converter_cost, counted

Choices = Sequence[Sequence[Option]]


def undominated(options: Iterable[Option], *, times: bool) -> tuple[Option, ...]:
    """Options that no other with the same words beats in every resource.

    Args:
        options: candidates.
        times: whether cycles and tail count like a resource.
    """
    kept: dict[tuple[tuple[int, ...], int], list[tuple[tuple[int, ...], Option]]] = {}
    measured = [(_measures(option, times), option) for option in options]
    for measures, option in sorted(measured, key=lambda pair: pair[0]):
        rivals = kept.setdefault((option.input_bits, option.output_bits), [])
        if not any(
            all(a <= b for a, b in zip(rival, measures, strict=True)) for rival, _ in rivals
        ):
            rivals.append((measures, option))
    return tuple(option for rivals in kept.values() for _, option in rivals)


def reduced(problem: Problem, choices: Choices, *, times: bool) -> list[tuple[Option, ...]]:
    """Fewer options per stage, among them a best choice of every aim.

    Args:
        problem: stages and links.
        choices: options of each stage, at least one.
        times: whether cycles and tail count like a resource.
    """
    kept = [undominated(options, times=times) for options in choices]
    waiting = dict.fromkeys(range(len(kept)))
    while waiting:
        place = next(iter(waiting))
        del waiting[place]
        beaten = _beaten(problem, kept, place, times)
        if beaten.any():
            kept[place] = tuple(o for o, b in zip(kept[place], beaten, strict=True) if not b)
            for link in problem.links:
                if place in (link.writer, link.reader):
                    waiting[link.reader if link.writer == place else link.writer] = None
    return kept


def _beaten(problem: Problem, kept: Choices, place: int, times: bool) -> npt.NDArray[np.bool_]:
    """Which options of a stage another one of it beats."""
    options = kept[place]
    measures = np.array([_measures(option, times) for option in options])
    # [i, j]: option i in place of option j.
    possible = ~np.eye(len(options), dtype=bool)
    more = np.zeros((len(options), *measures.shape), np.int64)
    for link in problem.links:
        if link.writer == place:
            own = [option.output_bits for option in options]
            others = {option.input_bits[link.port] for option in kept[link.reader]}
        elif link.reader == place:
            own = [option.input_bits[link.port] for option in options]
            others = {option.output_bits for option in kept[link.writer]}
        else:
            continue
        widths, which = np.unique(own, return_inverse=True)
        if link.tied:
            possible &= which[:, np.newaxis] == which
        else:
            table = _converters(tuple(widths.tolist()), frozenset(others), link.writer == place)
            more[..., : table.shape[2]] += table[which[:, np.newaxis], which]
    better = possible & (measures[:, np.newaxis] + more <= measures).all(-1)
    # Of two that are equally good, the first one stays.
    earlier = np.tri(len(options), k=-1, dtype=bool).T
    return np.asarray((better & ~(better.T & ~earlier)).any(0))


@cache
def _converters(
    widths: tuple[int, ...], others: frozenset[int], writes: bool
) -> npt.NDArray[np.int64]:
    """[i, j]: what converters take more at width i than at width j, over all other widths."""
    taken = np.array(
        [
            [
                counted(converter_cost(*((own, other) if writes else (other, own))))
                for other in others
            ]
            for own in widths
        ]
    )
    return np.asarray((taken[:, np.newaxis] - taken).max(2))


def _measures(option: Option, times: bool) -> tuple[int, ...]:
    return (*counted(option.cost), *((option.cycles, option.tail) if times else ()))
