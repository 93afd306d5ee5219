# SPDX-License-Identifier: Apache-2.0
"""Fully connected networks: FINN's TFC, SFC, LFC (arXiv 1612.07119) and the one of LAQ."""

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
    input_bits: int | None = None
    standard_channels: tuple[int, ...] = (64, 64, 64)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.flatten = nn.Flatten()
        width = SIZE * SIZE
        layers: list[nn.Module] = []
        for outputs in self.channels:
            layers += [nn.Linear(width, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
            width = outputs
        self.hidden = nn.Sequential(*layers)
        self.fc = nn.Linear(width, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.fc(self.hidden(self.flatten(x)))
        return logits


class Sfc(Tfc):
    """Three hidden layers of 256."""

    standard_channels = (256, 256, 256)


class Lfc(Tfc):
    """Three hidden layers of 1024."""

    standard_channels = (1024, 1024, 1024)


class LaqMlp(Tfc):
    """Three hidden layers of 2048, and batch normalization of the logits (arXiv 1802.08635)."""

    input_bits = 8
    standard_channels = (2048, 2048, 2048)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.bn = nn.BatchNorm1d(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.bn(super().forward(x))
        return logits
