# SPDX-License-Identifier: Apache-2.0
"""What the weight quantizers of all methods share: weights are a sum of planes.

w_hat = Σ_b scale_b · code_b        codes are small integers
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from qdeploy.errors import UserError


@dataclass(frozen=True, eq=False)
class Plane:
    """One code tensor of the sum.

    Attributes:
        codes: int8 or int16, the shape of the weights, [O, I] or [O, I, K...].
        scale: of a floating-point type, broadcastable to the codes. Along axis 1, each may also
            stand for a block of neighbouring inputs: [O, I / block, ...].
    """

    codes: Tensor
    scale: Tensor

    def expanded_scale(self) -> Tensor:
        """The scale, broadcastable to the codes."""
        if self.scale.ndim < 2 or self.scale.shape[1] in (1, self.codes.shape[1]):
            return self.scale
        return self.scale.repeat_interleave(self.codes.shape[1] // self.scale.shape[1], dim=1)

    def values(self) -> Tensor:
        """Scale · code, in the type of the scale."""
        return self.expanded_scale() * self.codes.to(self.scale.dtype)


class WeightQuantizer(nn.Module, ABC):
    """The `tensor_quant` of a Brevitas weight quantizer.

    Args:
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        significant_bits: to how many scales are rounded; None where they may be any,
            since no other scales stay in the same sum.

    Raises:
        UserError: if several layers share the quantizer.
    """

    significant_bits: int | None = None

    def __init__(self, tracked_parameter_list: list[Tensor]) -> None:
        super().__init__()
        if len(tracked_parameter_list) != 1:
            raise UserError(
                f"one weight quantizer for {len(tracked_parameter_list)} layers",
                remedy="pass the class, for instance weight_quant=SyqTernaryPixel, to each layer",
            )

    @abstractmethod
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """Codes and scales of real weights [O, I, K...], as they are deployed; no gradients."""

    @abstractmethod
    def code_bits(self, weights: Tensor) -> float:
        """Bits of all codes of the layer; the papers' average width is their sum per weight."""

    def deployed(self, weights: Tensor) -> tuple[Plane, ...]:
        """The planes, their scales rounded to `significant_bits`."""
        planes, bits = self.planes(weights), self.significant_bits
        if bits is None:
            return planes
        return tuple(Plane(plane.codes, _rounded(plane.scale, bits)) for plane in planes)

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantized weights, a scale, zero point and bit width as Brevitas wants them.

        The gradient goes to the weights as if they were not quantized. The scale is that of the
        only plane, and means nothing where there are several.
        """
        with torch.no_grad():
            planes = self.deployed(weights)
            quantized = sum_of(planes)
            scale = planes[0].expanded_scale() if len(planes) == 1 else weights.new_ones(())
            bits = weights.new_tensor(float(max(plane_bits(plane) for plane in planes)))
        return straight_through(weights, quantized), scale, weights.new_zeros(()), bits


def largest_fraction_bits(largest: float, scale_bits: int) -> int:
    """The most bits f behind the binary point with which largest · 2^f needs `scale_bits` bits."""
    return math.floor(math.log2((2**scale_bits - 1) / largest))


def _rounded(scale: Tensor, bits: int) -> Tensor:
    fraction, exponent = torch.frexp(scale)
    return torch.ldexp(torch.round(fraction * 2**bits), exponent - bits)


def sum_of(planes: tuple[Plane, ...]) -> Tensor:
    """The quantized weights."""
    total = planes[0].values()
    for plane in planes[1:]:
        total = total + plane.values()
    return total.expand(planes[0].codes.shape)


def plane_bits(plane: Plane) -> int:
    """Bits of the symmetric signed integers that hold the codes; 1 if they are -1 and +1."""
    largest = max(1, int(plane.codes.abs().max()))
    if largest == 1 and not (plane.codes == 0).any():
        return 1
    return largest.bit_length() + 1


def straight_through(x: Tensor, values: Tensor) -> Tensor:
    """The values; their gradient goes to `x` as if they were the same."""
    result: Tensor = _StraightThrough.apply(x, values)  # type: ignore[no-untyped-call]
    return result


class _StraightThrough(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
