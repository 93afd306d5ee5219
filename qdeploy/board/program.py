# SPDX-License-Identifier: Apache-2.0
"""A network on the board's own processor: machine code that was generated elsewhere."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import platform
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.errors import UserError
from qdeploy.real_values import apply_function, checked_input

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import ArrayLike, NDArray

FORMAT = "qdeploy program 2"
PAGE = 4096
DIGEST = 64  # hexadecimal digits of a SHA-256
_LINE = 64
_HWCAP, _NEON = 16, 1 << 12  # of 32-bit ARM Linux


class Program:
    """A file written by `board_program`. The file is code: take it from where you trust.

    Instances are not for several threads at a time.

    Args:
        path: of the file.

    Attributes:
        form: what runs, for people.

    Raises:
        UserError: if the file is missing, damaged, or for another processor.
    """

    def __init__(self, path: Path) -> None:
        again = "package the network again for this board"
        try:
            with path.open("rb") as file:
                protection = mmap.PROT_READ | mmap.PROT_EXEC
                self._file = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, protection)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be mapped: {error}", remedy=again) from error
        if hashlib.sha256(self._file[DIGEST:]).hexdigest().encode() != self._file[:DIGEST]:
            raise UserError(f"{path} is damaged or no program of qdeploy", remedy=again)
        header = json.loads(self._file[DIGEST:PAGE].rstrip(b"\0"))
        if header["format"] != FORMAT:
            raise UserError(f"{path} is of another version of qdeploy", remedy=again)
        if header["machine"] != machine():
            raise UserError(
                f"{path} is for {header['machine']}, this machine is {machine()}", remedy=again
            )
        self.form = f"machine code for {machine()}"
        self.input_shape = tuple(header["input_shape"])
        self.output_shape = tuple(header["output_shape"])
        self._function = header["output_function"]
        base = np.frombuffer(self._file, np.uint8).ctypes.data
        kinds = [ctypes.c_void_p] * 2 + [ctypes.c_int64] + [ctypes.c_void_p] * 3
        self._run = ctypes.CFUNCTYPE(None, *kinds)(base + header["entry"])
        self._constants = base + header["constants"][0]
        place, size = header["arena"]
        self._arena = _aligned(size)
        self._arena[:] = np.frombuffer(self._file, np.uint8, size, place)

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's own units and layout to its real outputs [N, ...].

        A missing batch axis is added. `x` is taken as float32.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        reals = self._outputs(x)[0]
        return apply_function(self._function, reals).astype(np.float32)

    def run_integers(self, x: ArrayLike) -> NDArray[np.int64]:
        """Like `run`, but to the exact integer outputs, int64."""
        return self._outputs(x)[1]

    def _outputs(self, x: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Reals, float64 before a function and else float32, and integers."""
        values = np.ascontiguousarray(checked_input(x, self.input_shape))
        kind = np.float64 if self._function else np.float32
        reals = np.zeros((len(values), *self.output_shape), kind)
        integers = np.zeros(reals.shape, np.int64)
        arrays = (values, reals, integers)
        for index in range(len(values)):
            places = (a.ctypes.data + index * a.strides[0] for a in arrays)
            self._run(self._constants, self._arena.ctypes.data, 1, *places)
        return reals, integers


def machine() -> str:
    """The processor as this Python uses it: arm, aarch64, ..."""
    name = platform.machine()
    if not name.startswith(("arm", "aarch64")):
        return name
    if struct.calcsize("P") == 8:
        return "aarch64"
    capabilities = ctypes.CDLL(None).getauxval(_HWCAP)
    return "arm" if capabilities & _NEON else "arm without NEON"


def _aligned(size: int) -> NDArray[Any]:
    """Bytes from a multiple of 64 on."""
    memory = np.zeros(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size]
