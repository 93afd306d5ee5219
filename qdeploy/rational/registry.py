# SPDX-License-Identifier: Apache-2.0
"""The operators the executor knows, by ONNX name; the modules of this package register them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Attributes = dict[str, Any]
# Attributes as in the file and inputs (None where left out) to the first output.
Meaning = Callable[..., Any]

OPERATORS: dict[str, Meaning] = {}
QUANTIZERS: set[str] = set()


def operator(*names: str) -> Callable[[Meaning], Meaning]:
    """Register what the operators of these ONNX names mean."""

    def register(function: Meaning) -> Meaning:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


def quantizer(*names: str) -> Callable[[Meaning], Meaning]:
    """Register operators that make rationals of constants too: weights become code times scale."""
    QUANTIZERS.update(names)
    return operator(*names)
