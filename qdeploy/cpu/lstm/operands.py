# SPDX-License-Identifier: Apache-2.0
"""Inputs and hidden states as the matrix kernels read them, and their weights.

Lookups take levels of up to four bits. Wider levels are split: W x = W low + 16 W high, with the
same weights twice, which are stored once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, POINTER, Code, splat, vector
from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.choice import Choice, choose
from qdeploy.cpu.program.layouts import Lattice
from qdeploy.integer import Convolution, Integers, Plane, ValueRange, Weights

_DIGIT_BITS = 4
_LOOKUP_VALUES = 4  # of weights
_LOOKUP_CHANNELS = 4  # channels of a group at most


@dataclass(frozen=True, eq=False)
class Operand:
    """A matrix and the vector it is multiplied with.

    Attributes:
        node: the product as a layer on a vector of `channels` levels.
        choice: its kernel.
        size: elements of the vector.
        channels: of the layer: the digits of all elements, with padding behind each digit.
        digits: 2 if levels are split, else 1.
        levels: largest sums of the layer are reached by levels in this range.
    """

    node: Convolution
    choice: Choice
    size: int
    channels: int
    digits: int
    levels: ValueRange

    @property
    def packing(self) -> Packing:
        """Of the digits."""
        return self.choice.layout.packing

    def emit(self, module: ir.Module, target: Target) -> ir.Function:
        """pack(levels, vector): bytes with a level each, with zeros up to a register's end.

        Up to a register more than the vector is written.
        """
        code = Code(module, f"pack_{self.node.name}", [POINTER, POINTER])
        levels, packed = code.arguments
        lanes, per_digit = target.vector_bytes, self.channels // self.digits
        for digit in range(self.digits):
            with code.loop(-(-self.size // lanes)) as index:
                value = code.load(vector(BYTE, lanes), levels, code.scaled(index, lanes))
                if self.digits > 1:
                    value = code.build.lshr(value, splat(BYTE, lanes, _DIGIT_BITS * digit))
                    value = code.build.and_(value, splat(BYTE, lanes, (1 << _DIGIT_BITS) - 1))
                fields = self.packing.fields
                place = code.scaled(index, lanes // fields, digit * per_digit // fields)
                code.store(self.packing.pack(code, value), packed, place)
        code.end()
        return code.function


def operand(name: str, weights: Weights, x: ValueRange) -> Operand:
    """The product of `weights` [O, I] with the levels of codes in `x`, at most 256."""
    count, size = x.high - x.low + 1, weights.shape[1]
    values = {int(value) for plane in weights.planes for value in np.unique(plane.codes)}
    columns = [_aligned(plane).shape[1] for plane in weights.planes]
    runs = [size // many for many in columns if many > 1]
    digits, padding = 1, 0
    if len(values) <= _LOOKUP_VALUES and not any(run % _LOOKUP_CHANNELS for run in runs):
        padding = 0 if runs else -size % _LOOKUP_CHANNELS
        if count > 1 << _DIGIT_BITS:
            digits, count = 2, 1 << _DIGIT_BITS
    planes = tuple(_spread(plane, padding, digits) for plane in weights.planes)
    node = Convolution(name=name, input="x", output="y", weights=Weights(planes))
    channels = digits * (size + padding)
    choice = choose(node, Lattice(0, 1, count), channels)
    assert choice is not None
    return Operand(node, choice, size, channels, digits, ValueRange(0, count - 1))


def _spread(plane: Plane, padding: int, digits: int) -> Plane:
    """The plane [O, I] for each digit of all elements; padded elements have level 0."""
    codes = np.pad(plane.codes.astype(np.int32), ((0, 0), (0, padding)), mode="edge")
    multipliers = _aligned(plane)
    if digits > 1:
        codes = np.hstack([codes] * digits)
        multipliers = np.hstack([multipliers << _DIGIT_BITS * k for k in range(digits)])
    return Plane(codes[:, :, np.newaxis, np.newaxis], multipliers[:, :, np.newaxis, np.newaxis])


def _aligned(plane: Plane) -> Integers:
    """The multipliers as [O or 1, I or fewer]."""
    shape = plane.multipliers.shape
    return plane.multipliers.reshape((1,) * (2 - len(shape)) + shape)


def row_sums(weights: Weights) -> Integers:
    """Sum of each row, int64 [O]."""
    total: Integers = weights.integers().sum(axis=1)
    return total
