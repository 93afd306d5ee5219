# SPDX-License-Identifier: Apache-2.0
"""The fully connected networks of FINN (Umuroglu et al., arXiv 1612.07119): TFC, SFC, LFC."""

from __future__ import annotations

from torch import Tensor, nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.networks.network import Network

SIZE = 28
CLASSES = 10


class Tfc(Network):
    """Images [N, 1, 28, 28] in 0 .. 1 to logits [N, 10]: three hidden layers of 64.

    The input is quantized like the activations; with one bit, whether a pixel is bright.
    """

    input_shape = (1, SIZE, SIZE)
    standard_channels: tuple[int, ...] = (64, 64, 64)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.input = self._input(config.activation_bits)
        self.flatten = nn.Flatten()
        width = SIZE * SIZE
        layers: list[nn.Module] = []
        for outputs in self.channels:
            layers += [self._linear(width, outputs), nn.BatchNorm1d(outputs), self._relu()]
            width = outputs
        self.hidden = nn.Sequential(*layers)
        self.fc = self._linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        centred = 2 * x - 1 if self.config.activation_bits == 1 else x
        logits: Tensor = self.fc(self.hidden(self.flatten(self.input(centred))))
        return logits


class Sfc(Tfc):
    """Three hidden layers of 256."""

    standard_channels = (256, 256, 256)


class Lfc(Tfc):
    """Three hidden layers of 1024."""

    standard_channels = (1024, 1024, 1024)
