# SPDX-License-Identifier: Apache-2.0
"""Weight codes to bytes and back, and how many bits a network really holds.

A code is written as one or more digits of some radix. The digits of all codes follow one another,
the lowest first, as many to a byte as fit: binary codes take 1 bit that way, ternary ones 1.6 bits
(5 to a byte, 3^5 = 243), b-bit ones b bits. Only the last byte of a tensor is padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import (
    Embedding,
    IntegerNetwork,
    Integers,
    Lstm,
    Plane,
    Quotient,
    Requantize,
    Threshold,
    Weights,
    weights_of,
)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CodeBook:
    """How one code is written: code = Σ_k place_k · (offset + step · digit_k).

    Attributes:
        name: of the code book; equal names are equal books but for the places.
        radix: number of values of a digit.
        offset: value of the digit 0.
        step: distance of neighbouring digits' values (2 for binary codes -1 and +1).
        places: one for each digit of a code.
    """

    name: str
    radix: int
    offset: int
    step: int
    places: tuple[int, ...] = (1,)

    @classmethod
    def of(cls, plane: Plane) -> CodeBook:
        """The narrowest code book for the codes of `plane`."""
        return cls.named(plane.kind)

    @classmethod
    def named(cls, kind: str) -> CodeBook:
        """The code book of a kind of codes (`Plane.kind`).

        Raises:
            ValueError: if there is no such kind.
        """
        if kind == "binary":
            return cls("binary", radix=2, offset=-1, step=2)
        if kind == "ternary":
            return cls("ternary", radix=3, offset=-1, step=1)
        bits = int(kind.removeprefix("int"))
        if not 0 < bits <= 32:
            raise ValueError(f"codes of kind {kind}")
        if 8 % bits == 0:
            return cls(kind, radix=2**bits, offset=-(2 ** (bits - 1)), step=1)
        twos_complement = (*(2**k for k in range(bits - 1)), -(2 ** (bits - 1)))
        return cls("bits", radix=2, offset=0, step=1, places=twos_complement)

    @property
    def byte_places(self) -> tuple[int, ...]:
        """What each digit of a byte counts, lowest first: 1, 2, 4, ... 128 or 1, 3, 9, 27, 81."""
        return tuple(self.radix**k for k in range(8) if self.radix ** (k + 1) <= 256)

    def packed_bytes(self, codes: int) -> int:
        """Bytes that `codes` codes take."""
        return -(-codes * len(self.places) // len(self.byte_places))

    def pack(self, codes: NDArray[np.integer]) -> Bytes:
        """Codes of any shape, in C order, to uint8 [packed_bytes]."""
        numbers = (codes.ravel().astype(np.int64) - self.offset) // self.step
        digits = numbers[:, np.newaxis] // self.radix ** np.arange(len(self.places)) % self.radix
        byte_places = np.array(self.byte_places, np.uint8)
        padded = np.zeros(self.packed_bytes(codes.size) * len(byte_places), np.uint8)
        padded[: digits.size] = digits.ravel()
        packed: Bytes = padded.reshape(-1, len(byte_places)) @ byte_places
        return packed

    def unpack(self, packed: Bytes, shape: tuple[int, ...]) -> Integers:
        """The inverse of `pack`, int64 of shape `shape`."""
        digits = packed.astype(np.int64)[:, np.newaxis] // self.byte_places % self.radix
        count = int(np.prod(shape)) * len(self.places)
        values = self.offset + self.step * digits.ravel()[:count].reshape(*shape, len(self.places))
        codes: Integers = values @ np.array(self.places)
        return codes


def weight_bytes(network: IntegerNetwork) -> int:
    """Bytes of all packed codes."""
    return sum(
        CodeBook.of(plane).packed_bytes(plane.codes.size)
        for weights in _weights(network)
        for plane in weights.planes
    )


def float_bytes(network: IntegerNetwork) -> int:
    """Bytes that the layers of the source file take with float32 weights."""
    return 4 * (network.weights() + network.left_out)


def information_bits(network: IntegerNetwork) -> int:
    """Bits a file cannot do without: packed codes, multipliers, quantizers, boundaries, scales.

    Multipliers and quotients count with the bits of the largest one, thresholds with the bits of
    the tensor they are compared with, input boundaries and output scales and offsets as float32.
    """
    bits = 8 * weight_bytes(network) + 32 * network.quantizer.boundaries.size
    for weights in _weights(network):
        for plane in weights.planes:
            if plane.is_scaled:
                bits += plane.multipliers.size * int(plane.multipliers.max()).bit_length()
    for node in network.nodes:
        if isinstance(node, Threshold):
            bits += node.thresholds.size * network.tensors[node.input].range.bits
        if isinstance(node, Requantize):
            bits += _quotient_bits(node.quotient)
        if isinstance(node, Embedding):
            bits += node.table.size * network.tensors[node.output].range.bits
        if isinstance(node, Lstm):
            bits += node.layer.sums.bits * (
                node.layer.bias.size + sum(gate.thresholds.size for gate in node.layer.gates)
            )
    meaning = network.output_tensor.meaning
    return bits + 32 * (len(meaning.scale) + len(meaning.offset))


def _quotient_bits(quotient: Quotient) -> int:
    parameters = (quotient.multiplier, quotient.addend, quotient.divisor)
    return sum(values.size * int(np.abs(values).max()).bit_length() for values in parameters)


def _weights(network: IntegerNetwork) -> list[Weights]:
    return [weights for node in network.nodes for weights in weights_of(node)]
