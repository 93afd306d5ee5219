# SPDX-License-Identifier: Apache-2.0
"""What all networks share: their configuration, input shape, and the choice of layers.

With `weights = "float"` the layers are those of torch.nn, else those of brevitas.nn. Both variants
have the same names, so that a quantized network starts from the parameters of a float one.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
from brevitas.quant import SignedBinaryActPerTensorConst
from torch import nn

from qdeploy.errors import UserError
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers import FixedPointActivation, SignedFixedPointActivation, syq

_WEIGHT_QUANTIZERS = {
    ("binary", "layer"): syq.SyqBinaryLayer,
    ("binary", "row"): syq.SyqBinaryRow,
    ("binary", "pixel"): syq.SyqBinaryPixel,
    ("ternary", "layer"): syq.SyqTernaryLayer,
    ("ternary", "row"): syq.SyqTernaryRow,
    ("ternary", "pixel"): syq.SyqTernaryPixel,
}


class Network(nn.Module):
    """Base of the networks.

    Attributes:
        input_shape: shape of one input, without the batch axis.
        standard_channels: what `config.channels` is by default.

    Args:
        config: table [network].

    Raises:
        UserError: if `config.channels` has another length.
    """

    input_shape: tuple[int, ...]
    standard_channels: tuple[int, ...]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels or self.standard_channels
        if len(self.channels) != len(self.standard_channels):
            raise UserError(
                f"{config.name} lets you choose {len(self.standard_channels)} channel counts, "
                f"{len(self.channels)} are given: {self.channels}",
                remedy=f"give as many as in {self.standard_channels}",
            )

    @property
    def _is_float(self) -> bool:
        return self.config.weights == "float"

    def _input(self, bits: int) -> nn.Module:
        """Quantizer of the network's input: `bits` bits, bits - 1 after the binary point.

        With one bit it is the sign, and the network must shift its input to both sides of 0.
        """
        if self._is_float:
            return nn.Identity()
        if bits == 1:
            return self._sign()
        quantizer: nn.Module = qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=bits)
        return quantizer

    def _convolution(
        self, inputs: int, outputs: int, kernel: int, padding: int, stride: int = 1, axes: int = 2
    ) -> nn.Module:
        """[N, inputs, H, W] (or [N, inputs, L]) to [N, outputs, H', W'], no bias."""
        arguments: dict[str, Any] = {"stride": stride, "padding": padding, "bias": False}
        if self._is_float:
            plain = nn.Conv2d if axes == 2 else nn.Conv1d
            return plain(inputs, outputs, kernel, **arguments)
        quantized = qnn.QuantConv2d if axes == 2 else qnn.QuantConv1d
        granularity = self.config.granularity if axes == 2 else "layer"
        weight_quantizer = _WEIGHT_QUANTIZERS[self.config.weights, granularity]
        layer: nn.Module = quantized(
            inputs, outputs, kernel, weight_quant=weight_quantizer, **arguments
        )
        return layer

    def _linear(self, inputs: int, outputs: int) -> nn.Module:
        """[N, inputs] to [N, outputs], no bias."""
        if self._is_float:
            return nn.Linear(inputs, outputs, bias=False)
        layer: nn.Module = qnn.QuantLinear(
            inputs,
            outputs,
            bias=False,
            weight_quant=_WEIGHT_QUANTIZERS[self.config.weights, "layer"],
        )
        return layer

    def _relu(self) -> nn.Module:
        """ReLU, quantized to `activation_bits`; with one bit the sign, -1 or +1, instead."""
        if self._is_float:
            return nn.ReLU()
        if self.config.activation_bits == 1:
            return self._sign()
        layer: nn.Module = qnn.QuantReLU(
            act_quant=FixedPointActivation, bit_width=self.config.activation_bits
        )
        return layer

    def _branch(self) -> nn.Module:
        """Quantizer of a branch before a residual addition: signed, steps as after `_relu`."""
        if self._is_float:
            return nn.Identity()
        quantizer: nn.Module = qnn.QuantIdentity(
            act_quant=SignedFixedPointActivation, bit_width=self.config.activation_bits + 1
        )
        return quantizer

    def _sign(self) -> nn.Module:
        """-1 below zero, else +1."""
        quantizer: nn.Module = qnn.QuantIdentity(
            act_quant=SignedBinaryActPerTensorConst, min_val=-1.0, max_val=1.0
        )
        return quantizer
