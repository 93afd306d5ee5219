# SPDX-License-Identifier: Apache-2.0
"""Bits of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from qdeploy.quantizers.quantizer import WeightQuantizer


def quantized_layers(network: nn.Module) -> Iterator[tuple[str, Any, WeightQuantizer]]:
    """Name, layer and quantizer of all layers whose weights a quantizer of ours handles."""
    for name, layer in network.named_modules():
        quantizer = getattr(getattr(layer, "weight_quant", None), "tensor_quant", None)
        if isinstance(quantizer, WeightQuantizer):
            yield name, layer, quantizer


def average_bits(network: nn.Module) -> float | None:
    """Bits of all codes per weight, as the papers count; None without quantizers of ours."""
    bits, weights = 0.0, 0
    with torch.no_grad():
        for _, layer, quantizer in quantized_layers(network):
            bits += quantizer.code_bits(layer.weight)
            weights += layer.weight.numel()
    return bits / weights if weights else None
