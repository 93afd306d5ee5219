# SPDX-License-Identifier: Apache-2.0
"""Activations of a window, copied behind each other."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, SHORT, Code, vector

_AT_ONCE = 16


@dataclass(frozen=True)
class Window:
    """The pieces of a window, and how they lie in the copy.

    Up to 15 bytes are read behind a piece, and up to 32 written behind the last row.

    Attributes:
        pieces: bytes from the window's beginning, and length.
        short: whether bytes become integers of 16 bits.
    """

    pieces: tuple[tuple[int, int], ...]
    short: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the copy, a multiple of 4."""
        size = sum(length for _, length in self.pieces) * (2 if self.short else 1)
        return -(-size // 4) * 4

    def emit(self, module: ir.Module) -> ir.Function:
        """window(activations, bytes between rows, copy, rows)."""
        name = f"window_{'_'.join(f'{a}_{b}' for a, b in self.pieces)}_{int(self.short)}"
        if name not in module.globals:
            code = Code(module, name, [POINTER, LONG, POINTER, LONG])
            self._write(code)
        return module.globals[name]

    def _write(self, code: Code) -> None:
        activations, stride, copy, rows = code.arguments
        size = 2 if self.short else 1
        with code.loop(rows) as row:
            source = code.at(activations, code.build.mul(row, stride))
            target, done = code.at(copy, code.scaled(row, self.row_bytes)), 0
            for offset, length in self.pieces:
                # What is written too much is overwritten by what follows.
                for at in range(0, length, _AT_ONCE):
                    part = code.load(vector(BYTE, _AT_ONCE), source, offset + at)
                    if self.short:
                        part = code.build.zext(part, vector(SHORT, _AT_ONCE))
                    code.store(part, target, (done + at) * size)
                done += length
        code.end()
