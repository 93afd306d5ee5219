# SPDX-License-Identifier: Apache-2.0
"""Names of integer and fixed-point types, as QONNX and FINN annotate them and users write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from qdeploy.errors import UserError

MAXIMUM_INPUT_BITS = 16
_FIXED = re.compile(r"(U?)FIXED<([0-9]{1,2}),(-?[0-9]{1,2})>")
_WITH_DIVISOR = re.compile(r"([^/]+?)(?:\s*/\s*([0-9]{1,9}(?:\.[0-9]{1,9})?))?")


@dataclass(frozen=True)
class IntegerType:
    """What a type promises: the values are scale · k, with k = low, low + step, ..., high."""

    low: int
    high: int
    step: int = 1
    scale: Fraction = Fraction(1)

    def __str__(self) -> str:
        numbers = f"{self.low}..{self.high}"
        if self.step != 1:
            numbers += f" in steps of {self.step}"
        return numbers if self.scale == 1 else f"{self.scale} · ({numbers})"


_NAMED = {
    "BIPOLAR": IntegerType(-1, 1, step=2),
    "BINARY": IntegerType(0, 1),
    "TERNARY": IntegerType(-1, 1),
}


def integer_type(name: str) -> IntegerType | None:
    """A QONNX datatype: INT8, UINT4, BIPOLAR, FIXED<16,6>...

    None for real numbers and for more integers than an input can have.
    """
    if name in _NAMED:
        return _NAMED[name]
    whole = re.fullmatch(r"(U?)INT([0-9]{1,2})", name)
    fixed = _FIXED.fullmatch(name)
    match = whole or fixed
    bits = int(match[2]) if match else 0
    if match is None or not 1 <= bits <= MAXIMUM_INPUT_BITS:
        return None
    scale = Fraction(2) ** (int(fixed[3]) - bits) if fixed else Fraction(1)
    if match[1]:
        return IntegerType(0, (1 << bits) - 1, scale=scale)
    return IntegerType(-(1 << (bits - 1)), (1 << (bits - 1)) - 1, scale=scale)


def input_type(text: str) -> IntegerType:
    """What the user says of the input: a type, or TYPE/N for its integers divided by N.

    "uint8/255" are the pixels of an image that torchvision's ToTensor made.

    Raises:
        UserError: if it is none.
    """
    match = _WITH_DIVISOR.fullmatch(text.strip())
    found = integer_type(match[1].upper().replace(" ", "")) if match else None
    divisor = Fraction(match[2] or 1) if match else Fraction(0)
    if found is None or not divisor:
        raise UserError(
            f"'{text}' is no type of an input",
            remedy="write for instance uint8, int8/128, uint8/255, fixed<16,6> or bipolar; "
            f"at most {MAXIMUM_INPUT_BITS} bits",
        )
    return IntegerType(found.low, found.high, found.step, found.scale / divisor)
