# SPDX-License-Identifier: Apache-2.0
"""Quantized twins of our networks, with random weights."""

from typing import Any

from qdeploy.networks import NetworkConfig, build_network
from qdeploy.networks.network import Network
from qdeploy.quantizers.config import quantization_config
from qdeploy.quantizers.quantize import quantize


def quantized_network(
    name: str = "digits_cnn", channels: tuple[int, ...] | None = None, **quantization: Any
) -> Network:
    """In training mode; `quantization` as in a build file."""
    network = build_network(NetworkConfig(name=name, channels=channels))
    return quantize(network, quantization_config(**quantization))
