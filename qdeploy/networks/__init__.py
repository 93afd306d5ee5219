# SPDX-License-Identifier: Apache-2.0
"""PyTorch networks by name; torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qdeploy.networks.config import NetworkConfig

if TYPE_CHECKING:
    from qdeploy.networks.network import Network

__all__ = ["NetworkConfig", "build_network"]


def build_network(config: NetworkConfig) -> Network:
    """The float network that `config` names, with random weights and in training mode.

    Raises:
        UserError: if `config` gives another number of channels than the network lets one choose.
    """
    from qdeploy.networks.convolutional import Cnv, LaqCnn, LeNet5, SignalCnn, VggSmall
    from qdeploy.networks.digits_cnn import DigitsCnn
    from qdeploy.networks.lstm import language_model
    from qdeploy.networks.mlp import LaqMlp, Lfc, Sfc, Tfc
    from qdeploy.networks.resnet import ResNet18, ResNet20

    networks: dict[str, Callable[[NetworkConfig], Network]] = {
        "digits_cnn": DigitsCnn,
        "tfc": Tfc,
        "sfc": Sfc,
        "lfc": Lfc,
        "laq_mlp": LaqMlp,
        "lenet5": LeNet5,
        "cnv": Cnv,
        "laq_cnn": LaqCnn,
        "vgg_small": VggSmall,
        "resnet18": ResNet18,
        "resnet20": ResNet20,
        "signal_cnn": SignalCnn,
        "char_lstm": language_model,
        "word_lstm": language_model,
    }
    return networks[config.name](config)
