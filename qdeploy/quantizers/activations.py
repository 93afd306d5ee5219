# SPDX-License-Identifier: Apache-2.0
"""Fixed-point activations with a constant scale, as SYQ uses them (arXiv 1807.00301)."""

from __future__ import annotations

from brevitas.inject import value
from brevitas.inject.enum import RestrictValueType, ScalingImplType, ScalingPerOutputType
from brevitas.quant.base import IntQuant, UintQuant
from brevitas.quant.solver.act import ActQuantSolver


class FixedPointActivation(UintQuant, ActQuantSolver):  # type: ignore[misc]
    """Brevitas activation quantizer: k bits, k - 1 of them after the binary point.

    y = 2^-(k-1) · clip(round(x · 2^(k-1)), 0, 2^k - 1), ties to even; the gradient is 1 for
    values that round to a code and 0 beyond. 5 bits keep the 17 grey levels 0/16 .. 16/16 exactly.

    Examples:
        `QuantReLU(act_quant=FixedPointActivation, bit_width=2)`: values 0, 0.5, 1, 1.5.
    """

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    bit_width = 2

    @value  # type: ignore[untyped-decorator]
    def max_val(bit_width: int) -> float:  # noqa: N805 (Brevitas passes values by name)
        """Value of the largest code."""
        return float((2**bit_width - 1) / 2 ** (bit_width - 1))


class SignedFixedPointActivation(IntQuant, ActQuantSolver):  # type: ignore[misc]
    """Signed counterpart of `FixedPointActivation` with one bit more: same steps.

    y = 2^-(k-2) · clip(round(x · 2^(k-2)), -2^(k-1), 2^(k-1) - 1) for k bits, ties to even.

    Examples:
        With `bit_width=3`, the steps of the unsigned one with 2 bits: -2, -1.5, ... 1.5.
    """

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    bit_width = 3

    # Brevitas divides the larger magnitude by 2^(k-1) to get the step.
    min_val = -2.0
    max_val = 2.0
