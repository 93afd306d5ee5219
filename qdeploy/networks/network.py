# SPDX-License-Identifier: Apache-2.0
"""What all networks share: their configuration, input shape, and the choice of layers.

With `weights = "float"` the layers are those of torch.nn, else those of brevitas.nn. Both variants
have the same names, so that a quantized network starts from the parameters of a float one.
"""

from __future__ import annotations

import brevitas.nn as qnn
from torch import nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers import FixedPointActivation, syq

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

    Args:
        config: table [network].
        input_shape: shape of one input, without the batch axis.
    """

    def __init__(self, config: NetworkConfig, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config = config
        self.input_shape = input_shape

    @property
    def _is_float(self) -> bool:
        return self.config.weights == "float"

    def _input(self, bits: int) -> nn.Module:
        """Quantizer of the network's input: `bits` bits, bits - 1 after the binary point."""
        if self._is_float:
            return nn.Identity()
        quantizer: nn.Module = qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=bits)
        return quantizer

    def _convolution(self, inputs: int, outputs: int, kernel: int, padding: int) -> nn.Module:
        """[N, inputs, H, W] to [N, outputs, H', W'], no bias."""
        if self._is_float:
            return nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        layer: nn.Module = qnn.QuantConv2d(
            inputs,
            outputs,
            kernel,
            padding=padding,
            bias=False,
            weight_quant=_WEIGHT_QUANTIZERS[self.config.weights, self.config.granularity],
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
        """ReLU, quantized to `activation_bits`."""
        if self._is_float:
            return nn.ReLU()
        layer: nn.Module = qnn.QuantReLU(
            act_quant=FixedPointActivation, bit_width=self.config.activation_bits
        )
        return layer
