# SPDX-License-Identifier: Apache-2.0
"""Feed-forward convolutional networks: LeNet-5, CNV, VGG-small in two forms, one for signals."""

from __future__ import annotations

from torch import Tensor, nn

from qdeploy.networks.config import NetworkConfig
from qdeploy.networks.network import Network

CLASSES = 10


class _Convolutional(Network):
    """Convolutions and pools, then fully connected layers; batch normalization, ReLU."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.flatten = nn.Flatten()

    def _convolutions(
        self, widths: tuple[int, ...], kernel: int, padding: int, pooled: tuple[int, ...]
    ) -> nn.Sequential:
        """Convolutions of the given output channels, 2x2 pooling behind those of `pooled`."""
        layers: list[nn.Module] = []
        channels = self.input_shape[0]
        for index, width in enumerate(widths):
            layers += [
                nn.Conv2d(channels, width, kernel, padding=padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            if index in pooled:
                layers.append(nn.MaxPool2d(2))
            channels = width
        return nn.Sequential(*layers)

    def _fully_connected(self, inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
        """Hidden layers of the given widths, then the classes."""
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, CLASSES, bias=False))

    features: nn.Sequential
    classifier: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.classifier(self.flatten(self.features(x)))
        return logits


class LeNet5(_Convolutional):
    """Images [N, 1, 28, 28] in 0 .. 1 to logits [N, 10]: 20C5 - P2 - 50C5 - P2 - 500 - 10.

    The variant that the papers on quantization use (Caffe's).
    """

    input_shape = (1, 28, 28)
    standard_channels = (20, 50, 500)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        first, second, hidden = self.channels
        self.features = self._convolutions((first, second), 5, 0, pooled=(0, 1))
        self.classifier = self._fully_connected(second * 4 * 4, (hidden,))


class Cnv(_Convolutional):
    """Images [N, 3, 32, 32] in 0 .. 1 to logits [N, 10]: FINN's CNV (arXiv 1612.07119).

    2x 64C3 - P2 - 2x 128C3 - P2 - 2x 256C3 - 512 - 512 - 10, no padding: 59.5 million MACs.
    """

    input_shape = (3, 32, 32)
    standard_channels = (64, 128, 256, 512)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        one, two, three, hidden = self.channels
        widths = (one, one, two, two, three, three)
        self.features = self._convolutions(widths, 3, 0, pooled=(1, 3))
        self.classifier = self._fully_connected(three, (hidden, hidden))


class VggSmall(_Convolutional):
    """Images [N, 3, 32, 32] in 0 .. 1 to logits [N, 10].

    2x 128C3 - P2 - 2x 256C3 - P2 - 2x 512C3 - P2 - 10, padding 1 (as in Zhang et al., LQ-Nets).
    """

    input_shape = (3, 32, 32)
    standard_channels = (128, 256, 512)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        one, two, three = self.channels
        widths = (one, one, two, two, three, three)
        self.features = self._convolutions(widths, 3, 1, pooled=(1, 3, 5))
        self.classifier = self._fully_connected(three * 4 * 4, ())


class LaqCnn(_Convolutional):
    """Images [N, 3, 32, 32] in 0 .. 1 to logits [N, 10]: LAQ's and ALQ's network for CIFAR-10.

    VGG-small with two hidden layers: 2x 128C3 - P2 - 2x 256C3 - P2 - 2x 512C3 - P2 - 2x 1024 - 10,
    padding 1 (Hou & Kwok, arXiv 1802.08635).
    """

    input_shape = (3, 32, 32)
    standard_channels = (128, 256, 512, 1024)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        one, two, three, hidden = self.channels
        widths = (one, one, two, two, three, three)
        self.features = self._convolutions(widths, 3, 1, pooled=(1, 3, 5))
        self.classifier = self._fully_connected(three * 4 * 4, (hidden, hidden))


class SignalCnn(Network):
    """Signals [N, 2, 128] in 0 .. 1 to logits [N, 10]: three 1-D convolutions, average pooling."""

    input_shape = (2, 128)
    standard_channels = (32, 32, 64)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = self.input_shape[0]
        layers: list[nn.Module] = []
        for index, width in enumerate(self.channels):
            layers += [
                nn.Conv1d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            if index < len(self.channels) - 1:
                layers.append(nn.MaxPool1d(2))
            channels = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AvgPool1d(self.input_shape[1] // 4)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.fc(self.flatten(self.pool(self.features(x))))
        return logits
