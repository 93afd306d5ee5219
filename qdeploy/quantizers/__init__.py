# SPDX-License-Identifier: Apache-2.0
"""Quantized twins of torch modules, and quantizers for single brevitas.nn layers.

`quantize(module, config)`, or `QuantConv2d(..., weight_quant=SyqTernaryPixel)`.

The names are looked up on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeploy.quantizers.activations import FixedPointActivation, SignedFixedPointActivation
    from qdeploy.quantizers.alq.quantizer import AlqWeights
    from qdeploy.quantizers.loss_aware.optimizer import LossAwareAdam
    from qdeploy.quantizers.loss_aware.weights import (
        LossAwareBinary,
        LossAwareLinear,
        LossAwareLogarithmic,
        LossAwareTernary,
        LossAwareTwoScales,
    )
    from qdeploy.quantizers.multibit.activation import MultibitReLU
    from qdeploy.quantizers.multibit.quantizer import MultibitWeights
    from qdeploy.quantizers.syq import (
        SyqBinaryLayer,
        SyqBinaryPixel,
        SyqBinaryRow,
        SyqTernaryLayer,
        SyqTernaryPixel,
        SyqTernaryRow,
    )
    from qdeploy.quantizers.twins import Branch

_HOME = {
    "AlqWeights": "alq.quantizer",
    "Branch": "twins",
    "FixedPointActivation": "activations",
    "LossAwareAdam": "loss_aware.optimizer",
    "LossAwareBinary": "loss_aware.weights",
    "LossAwareLinear": "loss_aware.weights",
    "LossAwareLogarithmic": "loss_aware.weights",
    "LossAwareTernary": "loss_aware.weights",
    "LossAwareTwoScales": "loss_aware.weights",
    "MultibitReLU": "multibit.activation",
    "MultibitWeights": "multibit.quantizer",
    "SignedFixedPointActivation": "activations",
    "SyqBinaryLayer": "syq",
    "SyqBinaryPixel": "syq",
    "SyqBinaryRow": "syq",
    "SyqTernaryLayer": "syq",
    "SyqTernaryPixel": "syq",
    "SyqTernaryRow": "syq",
}
__all__ = [
    "AlqWeights",
    "Branch",
    "FixedPointActivation",
    "LossAwareAdam",
    "LossAwareBinary",
    "LossAwareLinear",
    "LossAwareLogarithmic",
    "LossAwareTernary",
    "LossAwareTwoScales",
    "MultibitReLU",
    "MultibitWeights",
    "SignedFixedPointActivation",
    "SyqBinaryLayer",
    "SyqBinaryPixel",
    "SyqBinaryRow",
    "SyqTernaryLayer",
    "SyqTernaryPixel",
    "SyqTernaryRow",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
