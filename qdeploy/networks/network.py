# SPDX-License-Identifier: Apache-2.0
"""What all networks share: their configuration and input shape.

They are ordinary torch modules; `qdeploy.quantize` makes their quantized twins.
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.errors import UserError
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import QuantizationConfig


class Network(nn.Module):
    """Base of the networks. Nothing has a bias, so that logits are one scale times integers.

    Attributes:
        input_shape: shape of one input, without the batch axis.
        input_dtype: its type.
        input_bits: of the twin's input quantizer; None for as many as activations have,
            0 for none.
        standard_channels: what `config.channels` is by default.
        quantization: of the twin, None in the float network.

    Args:
        config: table [network].

    Raises:
        UserError: if `config.channels` has another length.
    """

    input_shape: tuple[int, ...]
    input_dtype: torch.dtype = torch.float32
    input_bits: int | None = 8
    standard_channels: tuple[int, ...]
    quantization: QuantizationConfig | None = None

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
