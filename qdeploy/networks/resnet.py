# SPDX-License-Identifier: Apache-2.0
"""ResNet-20 and ResNet-18 for 32x32 images (He et al., arXiv 1512.03385)."""

from __future__ import annotations

from torch import Tensor, nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.networks.network import Network
from qdeploy.quantizers.twins import Branch

CLASSES = 10


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, added as integers of one scale."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.branch = Branch()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
                Branch(),
            )
        self.act2 = nn.ReLU()

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
    standard_channels: tuple[int, ...] = (16, 32, 64)
    blocks_per_stage = 3

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width = self.channels[0]
        self.conv1 = nn.Conv2d(self.input_shape[0], width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU()
        blocks = []
        for stage, outputs in enumerate(self.channels):
            for index in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(_Block(width, outputs, stride))
                width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AvgPool2d(self.input_shape[1] >> (len(self.channels) - 1))
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(width, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.blocks(self.act1(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


class ResNet18(ResNet20):
    """Four stages of two blocks, as ResNet-18 for ImageNet but with a 3x3 first convolution."""

    standard_channels = (64, 128, 256, 512)
    blocks_per_stage = 2
