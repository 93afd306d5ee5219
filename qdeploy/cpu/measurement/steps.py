# SPDX-License-Identifier: Apache-2.0
"""The time of each step of a program, for one image on one thread."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, POINTER, Code
from qdeploy.cpu.kernels.compilation import LoadedObject, compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.measurement.roofline import Roofline
from qdeploy.cpu.parts import Part
from qdeploy.cpu.program.boundary import FLOAT32
from qdeploy.cpu.program.constants import aligned_copy
from qdeploy.cpu.program.planning import Step, plan
from qdeploy.cpu.program.program import arena as arena_of

_ROUNDS = 300


@dataclass(frozen=True)
class StepTime:
    """One step.

    Attributes:
        layer: name in the network, or "input" and "output".
        description: what computes it and why, for people.
        work: multiplications.
        microseconds: the time that nine of ten runs took longer than.
        share: of what the core could compute, see `Roofline`; None where nothing is multiplied.
    """

    layer: str
    description: str
    work: int
    microseconds: float
    share: float | None


def step_times(part: Part, target: Target, roof: Roofline) -> list[StepTime]:
    """Time every step within runs of a part of a network.

    Raises:
        NoKernel: if a layer needs the portable form.
    """
    planned = plan(part, target)
    module = ir.Module("steps")
    steps: list[Any] = [*planned.entries, *planned.steps, *planned.exits]
    functions = [step.emit(module, target, planned.image_bytes) for step in steps]
    for function in functions:
        function.linkage = ""
    Code(module, "nothing", [POINTER, POINTER, LONG, LONG, LONG], public=True).end()
    loaded = LoadedObject(compile_object(module, target), target)
    rng = np.random.default_rng(0)
    constants, arena = aligned_copy(planned.constants), aligned_copy(arena_of(planned, 1))
    tensors = [
        rng.random(argument.shape, np.float32)
        if argument.type == FLOAT32
        else np.zeros(argument.image_bytes, np.uint8)
        for argument in (*planned.inputs, *planned.outputs)
    ]
    calls = [
        _call(
            loaded,
            function.name,
            [constants.ctypes.data, arena.ctypes.data, 1, 0, step.units],
            [tensors[place].ctypes.data for place in getattr(step, "arguments", ())],
        )
        for function, step in zip(functions, steps, strict=True)
    ]
    calls.append(_call(loaded, "nothing", [constants.ctypes.data, arena.ctypes.data, 1, 0, 1], []))
    times = np.empty((_ROUNDS, len(calls)))
    for row in times:
        for k, (function, arguments) in enumerate(calls):
            start = time.perf_counter_ns()
            function(*arguments)
            row[k] = time.perf_counter_ns() - start
    *found, nothing = np.percentile(times, 10, axis=0) / 1e3
    layers: list[tuple[str, str, int, Step | None]] = [
        *(("input", entry.description, 0, None) for entry in planned.entries),
        *((step.layer, step.description, step.work, step) for step in planned.steps),
        *(("output", last.description, 0, None) for last in planned.exits),
    ]
    times_of = [max(float(t - nothing), 0.001) for t in found]
    shares = [roof.share(step, took) for (*_, step), took in zip(layers, times_of, strict=True)]
    return [
        StepTime(layer, description, work if share else 0, took, share)
        for (layer, description, work, _), took, share in zip(layers, times_of, shares, strict=True)
    ]


def _call(
    loaded: LoadedObject, name: str, arguments: list[int], more: list[int]
) -> tuple[Callable[..., None], list[int]]:
    kinds = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3 + [ctypes.c_void_p] * len(more)
    return ctypes.CFUNCTYPE(None, *kinds)(loaded.address(name)), [*arguments, *more]
