# SPDX-License-Identifier: Apache-2.0
"""Loss-aware weights for Brevitas layers; `LossAwareAdam` tells them the loss's curvature.

The gradient goes to the real weights as if they were not quantized.
"""

from __future__ import annotations

from typing import Literal

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.quantizers.loss_aware import solvers
from qdeploy.quantizers.loss_aware.levels import Levels
from qdeploy.quantizers.loss_aware.solvers import ScaleRule
from qdeploy.quantizers.quantizer import Plane, WeightQuantizer

Codes = Literal["binary", "ternary", "two-scale", "linear", "logarithmic"]
Solver = Literal["exact", "approximate"]

# Of logarithmic codes: their levels are integers of 16 bits.
MAXIMUM_LOGARITHMIC_BITS = 5
SCALE_BITS = 8


class LossAwareWeightQuantizer(WeightQuantizer):
    """The `tensor_quant` of the quantizers below.

    Each tensor of a layer is solved for alone, both matrices of a gate of `brevitas.nn.QuantLSTM`
    too. Scales that stay inside a sum, two of a tensor or those of a gate's two matrices, are fixed
    point: a · 2^-f, 1 <= a < 2^8, one f per tensor.

    Args:
        codes: which levels.
        solver: of ternary codes; alternation starts from the scales of the last training step.
        bit_width: of linear and logarithmic codes.
        scale_rule: of linear and logarithmic codes.
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        states: of each tensor.

    Raises:
        UserError: if there are no such codes.
    """

    def __init__(
        self,
        codes: Codes,
        solver: Solver,
        bit_width: int,
        scale_rule: ScaleRule,
        tracked_parameter_list: list[Tensor],
    ) -> None:
        super().__init__(tracked_parameter_list[:1])
        _check_bit_width(codes, bit_width)
        self.codes = codes
        self.solver = solver
        self.bit_width = bit_width
        self.scale_rule = scale_rule
        self.tensors = list(tracked_parameter_list)
        self.states = nn.ModuleList(
            TensorState(tensor.detach(), 2 if codes == "two-scale" else 1)
            for tensor in tracked_parameter_list
        )

    def state_of(self, weights: Tensor) -> TensorState:
        """The state of one of the layer's tensors."""
        if len(self.tensors) == 1:
            index = 0
        else:
            index = next(i for i, tensor in enumerate(self.tensors) if tensor is weights)
        state = self.states[index]
        assert isinstance(state, TensorState)
        return state

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """One plane; with two scales one of the codes 0, +1 and one of 0, -1."""
        state = self.state_of(weights)
        codes, scales = self._solve(weights, state)
        if self.training:
            state.scales.copy_(scales)
        if self.codes == "two-scale" or len(self.tensors) > 1:
            scales = _fixed_point(scales)
        if self.codes == "two-scale":
            above, below = scales.unbind()
            return Plane(codes.clamp(min=0), above), Plane(codes.clamp(max=0), below)
        if self.codes in ("binary", "ternary"):
            return (Plane(codes, scales),)
        levels = self._levels()
        return (Plane(levels.integers(codes), scales * levels.smallest),)

    def code_bits(self, weights: Tensor) -> float:
        """As many bits per weight as the levels need; ternary codes two."""
        return weights.numel() * {"binary": 1, "ternary": 2, "two-scale": 2}.get(
            self.codes, self.bit_width
        )

    def _solve(self, weights: Tensor, state: TensorState) -> tuple[Tensor, Tensor]:
        curvature, start = state.curvature, state.start()
        if self.codes == "binary":
            return solvers.binary(weights, curvature)
        if self.codes == "ternary":
            if self.solver == "exact":
                return solvers.ternary_exact(weights, curvature)
            return solvers.alternating(weights, curvature, start=start)
        if self.codes == "two-scale":
            if self.solver == "exact":
                return solvers.two_scales_exact(weights, curvature)
            return solvers.two_scales_alternating(weights, curvature, start)
        return solvers.alternating(weights, curvature, self._levels(), self.scale_rule, start)

    def _levels(self) -> Levels:
        assert self.codes in ("linear", "logarithmic")
        return Levels(self.bit_width, self.codes)


class TensorState(nn.Module):
    """What the quantizer knows about one tensor of weights.

    Attributes:
        curvature: of the loss along each weight, up to a common factor; ones at first.
        scales: of the last training step, [1] or [2]; zeros before the first.
    """

    curvature: Tensor
    scales: Tensor

    def __init__(self, weights: Tensor, scales: int) -> None:
        super().__init__()
        self.register_buffer("curvature", torch.ones_like(weights))
        self.register_buffer("scales", weights.new_zeros(scales))

    def start(self) -> Tensor | None:
        """Where alternation begins: the last scales, if there are any."""
        return self.scales.squeeze() if bool(self.scales.all()) else None


def _check_bit_width(codes: Codes, bits: int) -> None:
    if codes == "logarithmic" and MAXIMUM_LOGARITHMIC_BITS < bits <= 8:
        raise UserError(
            f"logarithmic weights of {bits} bits span {Levels(bits, codes).largest} powers of two",
            remedy=f"choose 2 to {MAXIMUM_LOGARITHMIC_BITS} bits, or linear weights",
        )
    if codes in ("linear", "logarithmic") and not 2 <= bits <= 8:
        raise UserError(f"{codes} weights of {bits} bits", remedy="choose 2 to 8 bits")


def _fixed_point(scales: Tensor) -> Tensor:
    """Multiples 1 .. 2^8 - 1 of a power of two, of which the largest scale uses all bits."""
    _, exponent = torch.frexp(scales.max())
    step = torch.exp2(exponent.to(scales.dtype) - SCALE_BITS)
    return (scales / step).round().clamp(1, 2**SCALE_BITS - 1) * step


class _LossAwareWeights(ExtendedInjector):  # type: ignore[misc]
    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = LossAwareWeightQuantizer
    signed = True
    narrow_range = True
    solver = "approximate"
    bit_width = 2
    scale_rule = "ls"


class LossAwareBinary(_LossAwareWeights):
    """Codes -1, +1; one scale per layer (LAB)."""

    codes = "binary"


class LossAwareTernary(_LossAwareWeights):
    """Codes -1, 0, +1; one scale per layer (LAT).

    `weight_solver="exact"` sorts the weights in every step; alternation comes close.
    """

    codes = "ternary"


class LossAwareTwoScales(_LossAwareWeights):
    """Codes -1, 0, +1; one scale for -1 and one for +1 (LAT with two scales).

    `weight_solver="exact"` sorts the weights in every step; alternation comes close.
    """

    codes = "two-scale"


class LossAwareLinear(_LossAwareWeights):
    """Codes -k .. k, k = 2^(m-1) - 1, of m = `weight_bit_width` = 2 .. 8 bits; one scale per layer.

    `weight_scale_rule="l1"` computes scales as the authors' code does (`solvers.ScaleRule`).
    """

    codes = "linear"
    bit_width = 3


class LossAwareLogarithmic(_LossAwareWeights):
    """Codes 0 and ± 1, 2, 4 .. 2^(k-1), k = 2^(m-1) - 1, for m = `weight_bit_width` = 2 .. 5 bits.

    One scale per layer; `weight_scale_rule` as for `LossAwareLinear`.
    """

    codes = "logarithmic"
    bit_width = 3
