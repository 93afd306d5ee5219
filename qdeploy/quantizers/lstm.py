# SPDX-License-Identifier: Apache-2.0
"""The quantized twin of torch.nn.LSTM: brevitas.nn.QuantLSTM, one quantizer per weight tensor.

Each gate has one tensor for the inputs and one for the hidden state. All scales inside are powers
of two, so that the integers of the layer mean exactly what is trained:

    x, h        b bits, steps of 2^-(b-1)       sigmoid(...)  b bits, steps of 2^-b
    tanh(...)   b bits, steps of 2^-(b-1)       sums, c       16 bits, steps of 2^-11
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import RestrictValueType, ScalingImplType, ScalingPerOutputType
from brevitas.nn.quant_rnn import GateWeight
from brevitas.quant.base import IntQuant, UintQuant
from brevitas.quant.scaled_int import Int8BiasPerTensorFloatInternalScaling
from brevitas.quant.solver.act import ActQuantSolver
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.nn import functional

from qdeploy.errors import UserError
from qdeploy.quantizers.quantizer import WeightQuantizer

GATES = ("input", "forget", "cell", "output")  # the order of torch.nn.LSTM's rows
State = tuple[Tensor, Tensor]
_SCALE_BITS = 8  # of weights: two tensors with scales of their own meet in the sums of a gate
_WIDE_BITS = 16
_WIDE_LIMIT = 16.0  # of sums and cell states, in magnitude
_BIAS_LIMIT = 8.0


class _Constant(ExtendedInjector):  # type: ignore[misc]
    """Quantizers whose scale is the largest magnitude by the number of positive codes, plus one."""

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR


class _Signed(_Constant, IntQuant, ActQuantSolver):  # type: ignore[misc]
    min_val = -1.0
    max_val = 1.0


class _Unsigned(_Constant, UintQuant, ActQuantSolver):  # type: ignore[misc]
    """Values 0 .. 1 - 2^-bits: Brevitas divides the largest by the number of codes less one."""


class _Bias(Int8BiasPerTensorFloatInternalScaling):  # type: ignore[misc]
    scaling_impl_type = ScalingImplType.CONST
    bit_width = _WIDE_BITS
    scaling_init = _BIAS_LIMIT


_Wide = _Signed.let(bit_width=_WIDE_BITS, min_val=-_WIDE_LIMIT, max_val=_WIDE_LIMIT)


class QuantizedLstm(qnn.QuantLSTM):  # type: ignore[misc]
    """A twin with the parameters of `lstm`, called as it is.

    Args:
        lstm: one direction, no projection.
        weight_quant: from each of the 8 tensors of a layer to its Brevitas weight quantizer.
        activation_bits: 2..8 for everything inside as above; None leaves it float, for training
            of the weights alone, which is several times faster.

    Raises:
        UserError: if the layer has two directions or a projection, or bits are others.
    """

    def __init__(
        self,
        lstm: nn.LSTM,
        weight_quant: Callable[[Tensor], type | None],
        activation_bits: int | None,
    ) -> None:
        if activation_bits is not None and not 2 <= activation_bits <= 8:
            raise UserError(
                f"an LSTM layer with activations of {activation_bits} bits",
                remedy="use 2 to 8 bits",
            )
        if lstm.bidirectional or lstm.proj_size:
            raise UserError(
                f"an LSTM layer with {'two directions' if lstm.bidirectional else 'a projection'}",
                remedy="use torch.nn.LSTM(..., bidirectional=False, proj_size=0)",
            )
        inside: dict[str, Any] = dict.fromkeys(
            ("io", "gate_acc", "sigmoid", "tanh", "cell_state", "bias")
        )
        if activation_bits is not None:
            signed = _Signed.let(bit_width=activation_bits)
            largest = 1 - 2.0**-activation_bits
            unsigned = _Unsigned.let(bit_width=activation_bits, max_val=largest)
            inside = {"io": signed, "tanh": signed, "sigmoid": unsigned}
            inside |= {"gate_acc": _Wide, "cell_state": _Wide, "bias": _Bias}
        super().__init__(
            lstm.input_size,
            lstm.hidden_size,
            num_layers=lstm.num_layers,
            bias=lstm.bias,
            batch_first=lstm.batch_first,
            weight_quant=None,
            **{f"{name}_quant": quantizer for name, quantizer in inside.items()},
        )
        self.dropout, self.batch_first = lstm.dropout, lstm.batch_first
        self.is_float = activation_bits is None
        self.load_state_dict({name: value.cpu() for name, value in lstm.state_dict().items()})
        for gate in (gate for layer in self._layers() for gate in _gates(layer)):
            for side in ("input_weight", "hidden_weight"):
                values = getattr(gate, side).weight
                quantized = GateWeight(
                    *reversed(values.shape),
                    weight_quant(values),
                    dtype=values.dtype,
                    device=values.device,
                )
                quantized.load_state_dict({"weight": values}, strict=False)
                setattr(gate, side, quantized)
        _round_scales(self)
        self.register_load_state_dict_post_hook(_round_scales)
        self.to(lstm.weight_hh_l0.device, lstm.weight_hh_l0.dtype)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """As of torch.nn.LSTM: x [T, N, I] ([N, T, I] if batch_first) to [T, N, H] and (h, c).

        Args:
            x: inputs.
            state: h and c before the first step, [layers, N, H] each; zeros by default.
        """
        run = self._float_layer if self.is_float else _quantized_layer
        states = []
        for index, layer in enumerate(self._layers()):
            before = None if state is None else (state[0][index], state[1][index])
            if index:
                x = functional.dropout(x, self.dropout, self.training)
            x, after = run(layer, x, before)
            states.append(after)
        h, c = (torch.stack(parts) for parts in zip(*states, strict=True))
        return x, (h, c)

    def _layers(self) -> list[Any]:
        return [layer for (layer,) in self.layers]

    def _float_layer(self, layer: Any, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Quantized weights in torch's own kernel."""
        gates = _gates(layer)
        parameters = [
            torch.cat([_value(getattr(gate, side)()) for gate in gates])
            for side in ("input_weight", "hidden_weight")
        ]
        if gates[0].bias is not None:
            bias = torch.cat([gate.bias for gate in gates])
            parameters += [bias, torch.zeros_like(bias)]
        if state is None:
            zeros = x.new_zeros(x.shape[0 if self.batch_first else 1], layer.hidden_size)
            state = zeros, zeros
        y, h, c = torch.lstm(
            x,
            tuple(part.unsqueeze(0) for part in state),
            parameters,
            len(parameters) == 4,
            1,
            0.0,
            self.training,
            False,
            self.batch_first,
        )
        return y, (h[0], c[0])


def _round_scales(module: nn.Module, *_: Any) -> None:
    """Brevitas makes quantizers anew whenever it loads parameters."""
    for quantizer in module.modules():
        if isinstance(quantizer, WeightQuantizer):
            quantizer.significant_bits = _SCALE_BITS


def _quantized_layer(layer: Any, x: Tensor, state: State | None) -> tuple[Tensor, State]:
    y, h, c = map(_value, layer(x, *(state or (None, None))))
    return y, (h[0], c[0])


def _gates(layer: Any) -> list[Any]:
    return [getattr(layer, f"{gate}_gate_params") for gate in GATES]


def _value(x: Tensor | QuantTensor) -> Tensor:
    return x.value if isinstance(x, QuantTensor) else x
