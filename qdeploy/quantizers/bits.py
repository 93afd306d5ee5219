# SPDX-License-Identifier: Apache-2.0
"""Bits of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from qdeploy.quantizers.quantizer import WeightQuantizer

_FLOAT_BITS = 32


def quantized_layers(network: nn.Module) -> Iterator[tuple[str, Any, WeightQuantizer]]:
    """Name, layer and quantizer of all layers whose weights a quantizer of ours handles."""
    for name, layer in network.named_modules():
        quantizer = getattr(getattr(layer, "weight_quant", None), "tensor_quant", None)
        if isinstance(quantizer, WeightQuantizer):
            yield name, layer, quantizer


@torch.no_grad()
def layer_bits(network: nn.Module) -> dict[str, tuple[int, float]]:
    """Number of weights, and bits of all their codes, of every layer that has a weight matrix.

    Weights that are not quantized have 32 bits. Tables of embeddings are such layers; biases and
    the vectors of normalization are not counted.
    """
    layers = {}
    for name, layer in network.named_modules():
        weights = [
            parameter
            for own, parameter in layer.named_parameters(recurse=False)
            if "weight" in own and parameter.ndim > 1
        ]
        if weights:
            count = sum(tensor.numel() for tensor in weights)
            layers[name] = count, sum(_bits(layer, tensor) for tensor in weights)
    return layers


def average_bits(network: nn.Module) -> float | None:
    """Bits of all codes per weight, as the papers count; None for a float network."""
    layers = layer_bits(network).values()
    weights, bits = sum(count for count, _ in layers), sum(bits for _, bits in layers)
    return None if bits == _FLOAT_BITS * weights else bits / weights


def _bits(layer: Any, weights: Tensor) -> float:
    proxy = getattr(layer, "weight_quant", None)
    quantizer = getattr(proxy, "tensor_quant", None)
    if isinstance(quantizer, WeightQuantizer):
        return quantizer.code_bits(weights)
    width = None if proxy is None else proxy.bit_width()
    return weights.numel() * (_FLOAT_BITS if width is None else float(width))
