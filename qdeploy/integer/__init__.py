# SPDX-License-Identifier: Apache-2.0
"""The integer network: types, exact value ranges, numpy reference, file format."""

from qdeploy.integer.builder import Builder
from qdeploy.integer.network import (
    ArgMax,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Threshold,
)
from qdeploy.integer.ranges import accumulator_bounds, accumulator_range, threshold_range
from qdeploy.integer.reference import run, run_codes
from qdeploy.integer.storage import load, save
from qdeploy.integer.tensors import Meaning, Tensor, ValueRange
from qdeploy.integer.weights import Codes, Integers, Plane, Weights

__all__ = [
    "ArgMax",
    "Builder",
    "Codes",
    "Convolution",
    "Flatten",
    "InputQuantizer",
    "IntegerNetwork",
    "Integers",
    "Linear",
    "MaxPool",
    "Meaning",
    "Node",
    "Plane",
    "Tensor",
    "Threshold",
    "ValueRange",
    "Weights",
    "accumulator_bounds",
    "accumulator_range",
    "load",
    "run",
    "run_codes",
    "save",
    "threshold_range",
]
