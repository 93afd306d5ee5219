# SPDX-License-Identifier: Apache-2.0
"""A small CNN for 8x8 grey images: conv - conv - max pool - fully connected."""

from __future__ import annotations

from torch import Tensor, nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.networks.network import Network

CLASSES = 10
SIZE = 8


class DigitsCnn(Network):
    """Images [N, 1, 8, 8] in 0 .. 1 to logits [N, 10], float32.

    Two 3x3 convolutions with padding 1, each with batch normalization and a ReLU, then
    max pooling 2x2 and a fully connected layer.
    """

    input_shape = (1, SIZE, SIZE)
    input_bits = 5  # 17 grey levels 0/16 .. 16/16, exact with 4 bits after the binary point
    standard_channels = (16, 32)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        first, second = self.channels
        self.conv1 = nn.Conv2d(1, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.act2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(second * (SIZE // 2) ** 2, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits
