# SPDX-License-Identifier: Apache-2.0
"""Timing several contenders on a machine that others use too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 20
_BLOCK_NANOSECONDS = 10_000_000
_CALLS = (3, 200)  # least and most of a block
_REST_SECONDS = 0.003  # threads of the contender before fall asleep
_CLOCK_SAMPLES = 200


@dataclass(frozen=True, eq=False)
class Times:
    """Of all calls of one contender, microseconds, float64 [calls].

    Attributes:
        wall: as a clock on the wall shows.
        processor: of the calling thread alone; what other programs take does not count, what other
            threads of the contender do neither.
    """

    wall: NDArray[np.float64]
    processor: NDArray[np.float64]


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int = _ROUNDS
) -> dict[str, Times]:
    """Time contenders in turns, so that all meet the same disturbances.

    In every round each contender has one block: a rest, two calls that are not counted, then calls
    for 10 ms.
    """
    measured: dict[str, list[tuple[int, int]]] = {name: [] for name in contenders}
    empty = np.array([_timed(lambda: None) for _ in range(_CLOCK_SAMPLES)]).min(axis=0)
    for _ in range(rounds):
        for name, call in contenders.items():
            time.sleep(_REST_SECONDS)
            call()
            call()
            end = time.perf_counter_ns() + _BLOCK_NANOSECONDS
            for count in range(_CALLS[1]):
                if count >= _CALLS[0] and time.perf_counter_ns() > end:
                    break
                measured[name].append(_timed(call))
    return {
        name: Times(*(np.maximum(np.array(pairs) - empty, 0).T / 1e3))
        for name, pairs in measured.items()
    }


def _timed(call: Callable[[], object]) -> tuple[int, int]:
    """Nanoseconds on the wall, and of this thread."""
    thread, wall = time.thread_time_ns(), time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - wall, time.thread_time_ns() - thread
