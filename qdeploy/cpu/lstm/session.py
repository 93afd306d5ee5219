# SPDX-License-Identifier: Apache-2.0
"""Running a layer of long short-term memory with generated kernels."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.cpu.fast import NoFastForm
from qdeploy.cpu.program.constants import aligned_copy
from qdeploy.errors import UserError
from qdeploy.integer import Integers, LstmLayer, ValueRange
from qdeploy.integer.lstm import State

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
        arguments = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_void_p] * 5
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *arguments)
        self._function = function(self._loaded.address("steps"))
        self._constants = aligned_copy(self._compiled.constants)
        self._first_argument = self._constants.ctypes.data
        self._spare: list[_Buffers] = []

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
        layer, codes = self.layer, np.asarray(x)
        if codes.ndim != 3:
            raise UserError(
                f"x has shape {codes.shape}, the layer takes [steps, sequences, codes]",
                layer=layer.name,
                remedy="reshape the array",
            )
        steps, count = codes.shape[:2]
        shape = (count, layer.hidden_size)
        h, c = layer.zero_state(count) if state is None else map(np.asarray, state)
        self._check("x", codes, (steps, count, layer.input_size))
        self._check("h", h, shape)
        self._check("c", c, shape)
        outputs, last = np.empty((steps, *shape), np.int64), np.empty(shape, np.int64)
        if self._run(codes, h, c, outputs, last):
            for name, array, limits in (
                ("x", codes, layer.input),
                ("h", h, layer.hidden),
                ("c", c, layer.state),
            ):
                self._check_codes(name, array, limits)
        return outputs, (outputs[-1].copy() if steps else h.astype(np.int64), last)

    def _run(
        self,
        x: NDArray[Any],
        h: NDArray[Any],
        c: NDArray[Any],
        outputs: Integers,
        last: Integers,
    ) -> bool:
        """Fill `outputs` and `last`; whether a code is outside its range."""
        count = len(h)
        size = min(_AT_ONCE, -(-count // self.threads))

        def part(first: int) -> bool:
            some = slice(first, first + size)
            buffers = self._buffers(len(x), len(h[some]))
            for buffer, given in zip(buffers.given, (x[:, some], h[some], c[some]), strict=True):
                buffer[...] = given
            wrong = self._function(self._first_argument, *buffers.arguments)
            outputs[:, some], last[some] = buffers.results
            self._spare.append(buffers)
            return bool(wrong)

        if size >= count:
            return count > 0 and part(0)
        with ThreadPoolExecutor(self.threads) as pool:
            wrong = any(list(pool.map(part, range(0, count, size))))
        del self._spare[self.threads :]
        return wrong

    def _buffers(self, steps: int, count: int) -> _Buffers:
        """Some that are not in use."""
        try:
            spare = self._spare.pop()
        except IndexError:
            spare = None
        if spare is not None and spare.results[0].shape[:2] == (steps, count):
            return spare
        return _Buffers(self.layer, self._compiled.arena_bytes(count), steps, count)

    def _check(self, name: str, codes: NDArray[Any], shape: tuple[int, ...]) -> None:
        if not np.can_cast(codes.dtype, np.int64) or codes.shape != shape:
            raise UserError(
                f"{name} has type {codes.dtype} and shape {codes.shape}",
                layer=self.layer.name,
                remedy=f"the layer takes integers of shape {shape}",
            )

    def _check_codes(self, name: str, codes: NDArray[Any], limits: ValueRange) -> None:
        low, high = codes.min(initial=limits.high), codes.max(initial=limits.low)
        if low < limits.low or high > limits.high:
            raise UserError(
                f"{name} has codes {low}..{high}",
                layer=self.layer.name,
                remedy=f"the layer takes {limits}",
            )


class _Buffers:
    """What the generated function reads and writes for some steps of some sequences.

    Attributes:
        given: int64 x, h and c.
        results: int64 outputs and the last c.
        arguments: of the function, behind the constants.
    """

    def __init__(self, layer: LstmLayer, arena_bytes: int, steps: int, count: int) -> None:
        state = (count, layer.hidden_size)
        self._arena = aligned_copy(bytes(arena_bytes))
        self.given = tuple(
            np.empty(shape, np.int64) for shape in ((steps, count, layer.input_size), state, state)
        )
        self.results = np.empty((steps, *state), np.int64), np.empty(state, np.int64)
        addresses = (part.ctypes.data for part in (*self.given, *self.results))
        self.arguments = (self._arena.ctypes.data, count, steps, *addresses)
