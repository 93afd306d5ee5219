# SPDX-License-Identifier: Apache-2.0
"""Quantizers for ordinary brevitas.nn layers: `QuantConv2d(..., weight_quant=SyqTernaryPixel)`.

The names are looked up on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeploy.quantizers.activations import FixedPointActivation, SignedFixedPointActivation
    from qdeploy.quantizers.syq import (
        SyqBinaryLayer,
        SyqBinaryPixel,
        SyqBinaryRow,
        SyqTernaryLayer,
        SyqTernaryPixel,
        SyqTernaryRow,
    )

__all__ = [
    "FixedPointActivation",
    "SignedFixedPointActivation",
    "SyqBinaryLayer",
    "SyqBinaryPixel",
    "SyqBinaryRow",
    "SyqTernaryLayer",
    "SyqTernaryPixel",
    "SyqTernaryRow",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "syq" if name.startswith("Syq") else "activations"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
