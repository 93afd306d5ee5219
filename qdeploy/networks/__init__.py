# SPDX-License-Identifier: Apache-2.0
"""PyTorch networks by name; torch is imported when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.networks.config import NetworkConfig

if TYPE_CHECKING:
    from qdeploy.networks.network import Network

__all__ = ["NetworkConfig", "build_network"]


def build_network(config: NetworkConfig) -> Network:
    """The network `config` names, with random weights and in training mode."""
    from qdeploy.networks.digits_cnn import DigitsCnn

    networks = {"digits_cnn": DigitsCnn}
    return networks[config.name](config)
