# SPDX-License-Identifier: Apache-2.0
"""Numbers inside a matrix-vector unit: unsigned sums, and what they are off the true ones.

Inside, a group of codes adds up to an unsigned sum S = Σ w·b + o(row, group) (see
`qdeploy.fpga.compressors.dot_products`), with b the bits of the element as an unsigned number. The
true element is 2^GAIN · b - z (z = 2^(A-1) for signed elements; 1 and GAIN = 1 for bipolar). So

    Σ_g a_g · Σ w·x  =  2^GAIN · Σ_g a_g · S_g - offset(row)

and a threshold t on the left is one of ceil((t + offset(row)) / 2^GAIN) on the sum of a_g · S_g.

Where the elements are scaled instead, the products see a·b, and the columns of all planes are one
group: Σ a·w·x = 2^GAIN · Σ w·(a·b) - z · Σ a·w.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdeploy.fpga.compressors.dot_products import Kind, Shape
from qdeploy.integer import Integers, ValueRange
from qdeploy.integer.weights import signed_bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """Structured weights and the elements they meet.

    Attributes:
        codes: int64 [P, MH, MW]: planes, each on the whole vector.
        multipliers: unsigned, [P, MH or 1, groups of a plane]: a scale per group of equally many
            consecutive columns; None if all are 1 and there is one plane.
        elements: range of the input elements.
        bipolar: elements are -1 and +1 only, stored in one bit.
        element_scales: unsigned, [P, groups of a plane]: scales that are multiplied with the
            elements instead of the sums; None: none. Not both.
    """

    codes: Integers
    multipliers: Integers | None
    elements: ValueRange
    bipolar: bool = False
    element_scales: Integers | None = None

    @property
    def scaled(self) -> bool:
        """Whether there are scales of either kind."""
        return self.multipliers is not None or self.element_scales is not None

    @property
    def group_columns(self) -> int:
        """Columns that SIMD must divide: those whose sum is scaled at once, or all."""
        groups = 1 if self.multipliers is None else self.multipliers.shape[2]
        return int(self.codes.shape[2] // groups)

    @property
    def element_bits(self) -> int:
        """Bits of a stored element."""
        return 1 if self.bipolar else self.elements.bits

    @property
    def scale_bits(self) -> int:
        """Bits of a scale of either kind, 0 if there are none."""
        scales = self.multipliers if self.element_scales is None else self.element_scales
        return 0 if scales is None else max(1, int(scales.max()).bit_length())

    @property
    def factor_bits(self) -> int:
        """Bits of what is multiplied with the codes: an element, scaled if it has a scale."""
        if self.element_scales is None:
            return self.element_bits
        largest = (1 << self.element_bits) - 1
        return max(1, (largest * int(self.element_scales.max())).bit_length())

    @property
    def kind(self) -> Kind:
        """The smallest way to store and multiply the codes."""
        if (np.abs(self.codes) == 1).all():
            return "xnor" if self.factor_bits == 1 else "binary"
        return "ternary" if (np.abs(self.codes) <= 1).all() else "integer"

    @property
    def weight_bits(self) -> int:
        """Bits of a stored code."""
        if self.kind in ("xnor", "binary"):
            return 1
        if self.kind == "ternary":
            return 2
        return signed_bits(int(self.codes.min()), int(self.codes.max()))

    @property
    def narrow(self) -> bool:
        """Whether integer codes are never the lowest of their bits."""
        lowest = -(1 << (self.weight_bits - 1))
        return self.kind == "integer" and int(self.codes.min()) > lowest


@dataclass(frozen=True, eq=False)
class Outputs:
    """What happens to the sum of a row.

    Attributes:
        thresholds: int64 [MH or 1, T] ascending, or None: the sums themselves leave.
        base: output where no threshold is reached.
        bits: of an output element, two's complement if negative.
    """

    thresholds: Integers | None
    base: int
    bits: int


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """What the hardware of one layer counts with.

    Attributes:
        shape: of its dot products.
        start: value of a sum before its first word.
        gain: 1 for bipolar elements, else 0.
        multiplier_bits: 0 without scales.
        total_bits: of the sum over all groups.
        rows: int64 [MH, T] thresholds on totals, or offsets [MH, 1] to take off them.
    """

    shape: Shape
    start: int
    gain: int
    multiplier_bits: int
    total_bits: int
    rows: Integers


def arithmetic(matrix: Matrix, outputs: Outputs, simd: int) -> Arithmetic:
    """Widths and constants of the unit for words of `simd` elements."""
    planes, height, width = matrix.codes.shape
    groups = 1 if matrix.multipliers is None else matrix.multipliers.shape[2]
    gain, zero = int(matrix.bipolar), _zero(matrix)
    signed = matrix.elements.signed and not matrix.bipolar
    codes = matrix.codes.reshape(planes, height, groups, width // groups)
    scales = np.ones(1, np.int64)
    if matrix.element_scales is not None:
        signed = False
        codes = matrix.codes.swapaxes(0, 1).reshape(1, height, 1, planes * width)
        scales = matrix.element_scales.repeat(width // matrix.element_scales.shape[1])
    shape = Shape(
        matrix.kind, simd, matrix.factor_bits, signed, matrix.weight_bits, 1, matrix.narrow
    )
    # Everything is affine in the elements: the ends of Σ w·b, and what is added to it.
    low, high = ((end + zero) >> gain for end in (matrix.elements.low, matrix.elements.high))
    positive = (scales * np.maximum(codes, 0)).sum(-1)
    negative = (scales * np.minimum(codes, 0)).sum(-1)
    added = _added(shape, codes)
    start = -int((low * positive + high * negative + added).min())
    largest = high * positive + low * negative + added + start
    multipliers = np.ones((len(codes), 1, 1), np.int64)
    if matrix.multipliers is not None:
        multipliers = matrix.multipliers
    total = int((multipliers * largest).sum(axis=(0, 2)).max())
    offset = (multipliers * ((added + start << gain) + zero * (positive + negative))).sum(
        axis=(0, 2)
    )
    sum_bits = max(1, int(largest.max()).bit_length())
    total_bits = (total + 1).bit_length()  # one more is "never"
    if matrix.multipliers is None:
        sum_bits = total_bits
    if outputs.thresholds is None:
        rows = offset[:, np.newaxis]
    else:
        behind = (outputs.thresholds + offset[:, np.newaxis] + gain) >> gain
        rows = np.clip(behind, 0, total + 1)
    return Arithmetic(
        shape=replace(shape, sum_bits=sum_bits),
        start=start % (1 << sum_bits),
        gain=gain,
        multiplier_bits=0 if matrix.multipliers is None else matrix.scale_bits,
        total_bits=total_bits,
        rows=rows,
    )


def _zero(matrix: Matrix) -> int:
    """z: the true element is 2^gain · b - z."""
    if matrix.bipolar:
        return 1
    return 1 << (matrix.element_bits - 1) if matrix.elements.signed else 0


def _added(shape: Shape, codes: Integers) -> Integers:
    """What the hardware adds to Σ w·b in each group, [P, MH, groups]."""
    columns = codes.shape[-1]
    if shape.kind in ("xnor", "ternary"):
        below: Integers = (codes < 0).sum(-1)
        return (columns << shape.element_bits) - below if shape.kind == "ternary" else below
    words = columns // shape.simd
    if shape.kind == "binary":
        each = (1 << shape.element_sum_bits) - 1
    else:
        each = ((1 << shape.element_bits) - 1) * shape.simd << (shape.weight_bits - 1)
    return np.full(codes.shape[:-1], words * each, np.int64)
