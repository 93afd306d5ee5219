# SPDX-License-Identifier: Apache-2.0
"""Running a layer of long short-term memory with generated kernels."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.cpu.fast import NoFastForm
from qdeploy.errors import UserError
from qdeploy.integer import Integers, LstmLayer, ValueRange
from qdeploy.integer.lstm import State

_ALIGNMENT = 64
_AT_ONCE = 64  # sequences whose buffers stay in the caches


class LstmSession:
    """A layer compiled for this processor; gives the same integers as the layer's own methods.

    Args:
        layer: the layer.
        threads: how many parts of a batch of sequences are computed at the same time.
        target: a kind of processor (`qdeploy.cpu.kernels.targets`), by default the best here.

    Raises:
        NoFastForm: if there are no kernels for this machine, or llvmlite is missing.
        UserError: if the layer is wider than the kernels.
    """

    def __init__(self, layer: LstmLayer, threads: int = 1, target: Any = None) -> None:
        try:
            import llvmlite.binding  # noqa: F401
        except ImportError as error:
            raise NoFastForm("llvmlite is not installed") from error
        from qdeploy.cpu.kernels.compilation import LoadedObject
        from qdeploy.cpu.kernels.targets import host_targets
        from qdeploy.cpu.lstm.program import compile_lstm

        if target is None:
            if not host_targets():
                raise NoFastForm("there are no kernels for this processor")
            target = host_targets()[0]
        self.layer, self.threads = layer, threads
        self._compiled = compile_lstm(layer, target)
        self._loaded = LoadedObject(self._compiled.code, target)
        arguments = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_void_p] * 4
        self._function = ctypes.CFUNCTYPE(None, *arguments)(self._loaded.address("run"))
        self._constants = _aligned(len(self._compiled.constants))
        self._constants[:] = np.frombuffer(self._compiled.constants, np.uint8)

    def step(self, x: ArrayLike, h: ArrayLike, c: ArrayLike) -> State:
        """The next h and c: codes x [N, I], h and c [N, H] to codes [N, H] each, int64.

        Raises:
            UserError: if a shape or a code does not fit.
        """
        return self.run(np.asarray(x)[np.newaxis], (np.asarray(h), np.asarray(c)))[1]

    def run(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None
    ) -> tuple[Integers, State]:
        """Codes x [T, N, I] to h of every step [T, N, H], and the last state; all int64.

        Args:
            x: inputs of N sequences.
            state: h and c [N, H] before the first step, by default codes 0.

        Raises:
            UserError: if a shape or a code does not fit.
        """
        layer, given = self.layer, np.asarray(x)
        if given.ndim != 3:
            raise UserError(
                f"x has shape {given.shape}, the layer takes [steps, sequences, codes]",
                layer=layer.name,
                remedy="reshape the array",
            )
        steps, count = given.shape[:2]
        levels = self._levels("x", given, (steps, count, layer.input_size), layer.input)
        h, c = layer.zero_state(count) if state is None else map(np.asarray, state)
        hidden = self._levels("h", h, (count, layer.hidden_size), layer.hidden)
        cell = self._checked("c", c, (count, layer.hidden_size), layer.state).astype(np.int32)
        outputs = np.empty((steps, count, layer.hidden_size), np.uint8)
        self._run(levels, hidden, cell, outputs)
        low = layer.hidden.low
        return outputs.astype(np.int64) + low, (hidden + np.int64(low), cell.astype(np.int64))

    def _run(
        self,
        x: NDArray[np.uint8],
        h: NDArray[np.uint8],
        c: NDArray[np.int32],
        outputs: NDArray[np.uint8],
    ) -> None:
        """Levels and codes as `compile_lstm` takes them; h and c are replaced."""
        count = len(h)
        size = min(_AT_ONCE, -(-count // self.threads))
        if size >= count:
            self._part(x, h, c, outputs)
            return

        def part(first: int) -> None:
            some = slice(first, first + size)
            own = np.empty_like(outputs[:, some])
            self._part(np.ascontiguousarray(x[:, some]), h[some], c[some], own)
            outputs[:, some] = own

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(part, range(0, count, size)))

    def _part(
        self,
        x: NDArray[np.uint8],
        h: NDArray[np.uint8],
        c: NDArray[np.int32],
        outputs: NDArray[np.uint8],
    ) -> None:
        arena = _aligned(len(h) * self._compiled.arena_bytes)
        buffers = (part.ctypes.data for part in (x, h, c, outputs))
        addresses = (self._constants.ctypes.data, arena.ctypes.data)
        self._function(*addresses, len(h), len(x), *buffers)

    def _levels(
        self, name: str, codes: NDArray[Any], shape: tuple[int, ...], limits: ValueRange
    ) -> NDArray[np.uint8]:
        return (self._checked(name, codes, shape, limits) - limits.low).astype(np.uint8)

    def _checked(
        self, name: str, codes: NDArray[Any], shape: tuple[int, ...], limits: ValueRange
    ) -> Integers:
        whole = codes.dtype.kind in "iu" and codes.shape == shape
        if not whole or (
            codes.size and not limits.low <= codes.min() <= codes.max() <= limits.high
        ):
            found = f", codes {codes.min()}..{codes.max()}" if codes.size else ""
            raise UserError(
                f"{name} has type {codes.dtype}, shape {codes.shape}{found}",
                layer=self.layer.name,
                remedy=f"the layer takes integers {limits} of shape {shape}",
            )
        return codes.astype(np.int64)


def _aligned(size: int) -> NDArray[np.uint8]:
    """Zeros that begin at a multiple of 64 bytes."""
    whole = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % _ALIGNMENT
    return whole[start : start + size]
