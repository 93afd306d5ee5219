# SPDX-License-Identifier: Apache-2.0
"""How kernels leave the sums of a tile.

They are int32 in the order of the outputs, or int16 as `LookupTile` leaves them ("short").
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import SHORT, WORD, Code, Value, splat, vector


@dataclass(frozen=True)
class Sums:
    """Layout of the sums of a tile: for each row `vectors` times `lanes` outputs.

    Attributes:
        vectors: as in the tile.
        lanes: outputs of a vector.
        short: whether they are int16 as `LookupTile` leaves them, else int32.
        interleaved: whether int32 are in the order of `emit_widen_pair`: of the even outputs those
            in the lower halves of runs of eight, then those in the upper halves; then the odd ones.
    """

    vectors: int
    lanes: int
    short: bool
    interleaved: bool = False

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.lanes

    @property
    def name(self) -> str:
        """For the names of functions."""
        kind = "short" if self.short else "interleaved" if self.interleaved else "word"
        return f"{kind}_{self.vectors}x{self.lanes}"

    def of(self, code: Code, sums: Value, row: Value, j: int) -> Value:
        """The sums of vector `j` of a row in the order of the outputs, int16 or int32."""
        if not self.short:
            here = code.at(sums, code.scaled(row, 4 * self.outputs, 4 * self.lanes * j))
            if self.interleaved:
                return self._in_order(code, here)
            return code.load(vector(WORD, self.lanes), here)
        even, odd = self.halves(code, sums, row, j)
        return self._alternating(code, even, odd)

    def _alternating(self, code: Code, even: Value, odd: Value) -> Value:
        order = [k // 2 + self.lanes // 2 * (k % 2) for k in range(self.lanes)]
        return code.build.shuffle_vector(even, odd, ir.Constant(vector(WORD, self.lanes), order))

    def _in_order(self, code: Code, sums: Value) -> Value:
        count, kind = self.lanes // 4, vector(WORD, self.lanes // 4)
        order = [
            lane + upper * count
            for at in range(0, count, 4)
            for upper in (0, 1)
            for lane in range(at, at + 4)
        ]
        parts = [code.load(kind, sums, self.lanes * k) for k in range(4)]
        places = ir.Constant(vector(WORD, 2 * count), order)
        even, odd = (code.build.shuffle_vector(*parts[k : k + 2], places) for k in (0, 2))
        return self._alternating(code, even, odd)

    def halves(self, code: Code, sums: Value, row: Value, j: int) -> tuple[Value, Value]:
        """The sums of the even and of the odd outputs of vector `j`, int16."""
        here = code.at(sums, code.scaled(row, 2 * self.outputs, 2 * self.lanes * j))
        kind = vector(SHORT, self.lanes // 2)
        both, odd = code.load(kind, here), code.load(kind, here, self.lanes)
        shifted = code.build.shl(odd, splat(SHORT, self.lanes // 2, 8))
        return code.build.sub(both, shifted), odd
