# SPDX-License-Identifier: Apache-2.0
"""SYQ weights: one learned fixed-point scale per subgroup of a layer (arXiv 1807.00301).

w_hat[o, i, ky, kx] = alpha[g] · q[o, i, ky, kx] with codes q in {-1, +1} or {-1, 0, +1}. A group g
is the whole layer, a kernel row ky, or a kernel position (ky, kx); it spans all input and output
channels. Gradients, with L the loss:

    dL/dalpha[g] = sum over the group of q · dL/dw_hat
    dL/dw        = alpha[g] · dL/dw_hat      also for weights whose code is 0, without clipping

The scales are fixed point from the first step on: alpha = a · 2^-f, 1 <= a < 2^scale_bits, one f
per layer. So they are always positive, and what is trained is what the hardware multiplies by.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor, nn
from torch.autograd import Function

from qdeploy.errors import UserError
from qdeploy.quantizers.quantizer import (
    Plane,
    WeightQuantizer,
    largest_fraction_bits,
    straight_through,
)

Codes = Literal["binary", "ternary"]
Granularity = Literal["layer", "row", "pixel"]

# Weights up to this share of the layer's largest get the ternary code 0.
TERNARY_THRESHOLD = 0.05


def binary_codes(weights: Tensor) -> Tensor:
    """Sign of each weight, same shape and dtype; the sign of 0 is +1."""
    return torch.where(weights >= 0, 1.0, -1.0).to(weights.dtype)


def ternary_codes(weights: Tensor) -> Tensor:
    """Sign of each weight beyond 0.05 · max|w| of the layer, else 0; same shape and dtype."""
    magnitudes = weights.abs()
    return torch.where(magnitudes > TERNARY_THRESHOLD * magnitudes.max(), weights.sign(), 0.0)


def scale_shape(weight_shape: torch.Size, granularity: Granularity) -> tuple[int, ...]:
    """Shape of a layer's scales, ready to broadcast with weights [O, I, K...].

    () for "layer" and for fully connected weights [O, I], [1, 1, K, 1] for "row", [1, 1, K, K] for
    "pixel".
    """
    if granularity == "layer" or len(weight_shape) == 2:
        return ()
    kernel = tuple(weight_shape[2:])
    if granularity == "row":
        kernel = (kernel[0],) + (1,) * (len(kernel) - 1)
    return (1, 1, *kernel)


def initial_scales(weights: Tensor, granularity: Granularity) -> Tensor:
    """Mean magnitude of the weights of each group; the best scale for binary codes."""
    shape = scale_shape(weights.shape, granularity)
    shared = [axis for axis in range(weights.ndim) if not shape or shape[axis] == 1]
    return weights.abs().mean(shared, keepdim=True).reshape(shape)


def fraction_bits(scales: Tensor, scale_bits: int) -> int:
    """The f with which the largest scale · 2^f uses all of `scale_bits` bits.

    Raises:
        UserError: if the largest scale is zero or not finite.
    """
    largest = float(scales.max())
    if not (0 < largest < math.inf):
        raise UserError(
            f"weights with a mean magnitude of {largest} give no SYQ scale",
            remedy="initialize or train the weights before the first forward pass",
        )
    return largest_fraction_bits(largest, scale_bits)


class SyqWeightQuantizer(WeightQuantizer):
    """The `tensor_quant` of the quantizers below: weights to weights on the SYQ grid.

    The scales are set on first use, from the weights found then; load pretrained weights before,
    with `load_state_dict(..., strict=False)` if they come from a float network.

    Args:
        codes: "binary" or "ternary".
        granularity: which weights share a scale.
        scale_bits: bits of the scales' integers a.
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        scale: learned alpha before rounding to the grid, see `scale_shape`.
        fraction_bits: f, constant after the first use, int64.
        initialised: whether the two are set, bool.

    Raises:
        UserError: if several layers share the quantizer.
    """

    scale: nn.Parameter
    fraction_bits: Tensor
    initialised: Tensor

    def __init__(
        self,
        codes: Codes,
        granularity: Granularity,
        scale_bits: int,
        tracked_parameter_list: list[Tensor],
    ) -> None:
        super().__init__(tracked_parameter_list)
        weights = tracked_parameter_list[0].detach()
        self.codes = codes
        self.granularity = granularity
        self.scale_bits = scale_bits
        self.scale = nn.Parameter(weights.new_zeros(scale_shape(weights.shape, granularity)))
        self.register_buffer("fraction_bits", torch.tensor(0, device=weights.device))
        self.register_buffer("initialised", torch.tensor(False, device=weights.device))

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantized weights, scales on the grid, zero point 0 and bit width 1 or 2."""
        scales = self._scales(weights)
        quantized = scales * straight_through(weights, self._codes(weights))
        bit_width = 1.0 if self.codes == "binary" else 2.0
        return quantized, scales, weights.new_zeros(()), weights.new_tensor(bit_width)

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """One plane."""
        return (Plane(self._codes(weights).to(torch.int8), self._scales(weights)),)

    def code_bits(self, weights: Tensor) -> float:
        """One bit per binary code, two per ternary one."""
        return weights.numel() * (1 if self.codes == "binary" else 2)

    def _codes(self, weights: Tensor) -> Tensor:
        return binary_codes(weights) if self.codes == "binary" else ternary_codes(weights)

    def _scales(self, weights: Tensor) -> Tensor:
        if not self.initialised:
            self._initialise(weights.detach())
        step = torch.exp2(-self.fraction_bits.to(weights.dtype))
        return _on_grid(self.scale, step, self.scale_bits)

    @torch.no_grad()
    def _initialise(self, weights: Tensor) -> None:
        scales = initial_scales(weights, self.granularity)
        self.fraction_bits.fill_(fraction_bits(scales, self.scale_bits))
        self.scale.copy_(scales)
        self.initialised.fill_(True)


def _on_grid(scales: Tensor, step: Tensor, bits: int) -> Tensor:
    """Scales rounded to step · {1 .. 2^bits - 1}, straight through.

    A gradient that would push a scale further out of the range is dropped; with it the scale
    would need as many steps to come back.
    """
    result: Tensor = _OnGrid.apply(scales, step, bits)  # type: ignore[no-untyped-call]
    return result


class _OnGrid(Function):
    @staticmethod
    def forward(ctx: Any, scales: Tensor, step: Tensor, bits: int) -> Tensor:
        multipliers = torch.round(scales / step)
        largest = 2**bits - 1
        ctx.save_for_backward(multipliers < 1, multipliers > largest)
        return multipliers.clamp(1, largest) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        too_small, too_large = ctx.saved_tensors
        outward = (too_small & (gradient > 0)) | (too_large & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None, None


class _SyqWeights(ExtendedInjector):  # type: ignore[misc]
    """What the six quantizers share.

    Layers on quantized tensors (`return_quant_tensor=True`) compute the same values, but Brevitas
    has no accumulator scale for row and pixel scales: the result's `scale` is meaningless then.
    """

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = SyqWeightQuantizer
    signed = True
    narrow_range = True
    scale_bits = 8


class SyqBinaryLayer(_SyqWeights):
    """Codes -1, +1; one scale per layer."""

    codes = "binary"
    granularity = "layer"


class SyqBinaryRow(_SyqWeights):
    """Codes -1, +1; one scale per kernel row (layer-wise in fully connected layers)."""

    codes = "binary"
    granularity = "row"


class SyqBinaryPixel(_SyqWeights):
    """Codes -1, +1; one scale per kernel position (layer-wise in fully connected layers)."""

    codes = "binary"
    granularity = "pixel"


class SyqTernaryLayer(_SyqWeights):
    """Codes -1, 0, +1; one scale per layer."""

    codes = "ternary"
    granularity = "layer"


class SyqTernaryRow(_SyqWeights):
    """Codes -1, 0, +1; one scale per kernel row (layer-wise in fully connected layers)."""

    codes = "ternary"
    granularity = "row"


class SyqTernaryPixel(_SyqWeights):
    """Codes -1, 0, +1; one scale per kernel position (layer-wise in fully connected layers)."""

    codes = "ternary"
    granularity = "pixel"
