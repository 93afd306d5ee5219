# SPDX-License-Identifier: Apache-2.0
"""The three comparisons of a network: source file, back ends, ranges."""

from qdeploy.verification.backends import predictions, require_equal, verify
from qdeploy.verification.contents import (
    Difference,
    Extremes,
    FifoPeak,
    Rescaling,
    SourceComparison,
    Verification,
)
from qdeploy.verification.samples import Samples, load_data, random_data
from qdeploy.verification.source import compare_source

__all__ = [
    "Difference",
    "Extremes",
    "FifoPeak",
    "Rescaling",
    "Samples",
    "SourceComparison",
    "Verification",
    "compare_source",
    "load_data",
    "predictions",
    "random_data",
    "require_equal",
    "verify",
]
