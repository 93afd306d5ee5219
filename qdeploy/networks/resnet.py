# SPDX-License-Identifier: Apache-2.0
"""ResNet-20 for 32x32 images (He et al., arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.networks.network import Network

CLASSES = 10
IMAGE_BITS = 8
BLOCKS = 3  # per stage


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, added as integers of one scale."""

    def __init__(self, network: Network, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = network._convolution(inputs, outputs, 3, 1, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = network._relu()
        self.conv2 = network._convolution(outputs, outputs, 3, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.branch = network._branch()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                network._convolution(inputs, outputs, 1, 0, stride),
                nn.BatchNorm2d(outputs),
                network._branch(),
            )
        self.act2 = network._relu()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.branch(self.bn2(self.conv2(y)))
        result: Tensor = self.act2(y + self.shortcut(x))
        return result


class ResNet20(Network):
    """Images [N, 3, 32, 32] in 0 .. 1 to logits [N, 10]: three stages of three blocks.

    Both branches of a block are quantized with the same steps before they are added. Shortcuts that
    change the shape are 1x1 convolutions.
    """

    input_shape = (3, 32, 32)
    standard_channels = (16, 32, 64)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.input = self._input(IMAGE_BITS)
        width = self.channels[0]
        self.conv1 = self._convolution(self.input_shape[0], width, 3, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = self._relu()
        blocks = []
        for stage, outputs in enumerate(self.channels):
            for index in range(BLOCKS):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(_Block(self, width, outputs, stride))
                width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AvgPool2d(self.input_shape[1] // 4)
        self.flatten = nn.Flatten()
        self.fc = self._linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.blocks(self.act1(self.bn1(self.conv1(self.input(x)))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits
