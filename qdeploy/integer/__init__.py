# SPDX-License-Identifier: Apache-2.0
"""The integer network: types, exact value ranges, numpy reference, file format."""

from qdeploy.integer.builder import Builder
from qdeploy.integer.lstm import LstmLayer, StepFunction
from qdeploy.integer.network import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    Lstm,
    MaxPool,
    Node,
    OutputFunction,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
    readers_of,
    weights_of,
)
from qdeploy.integer.quotients import (
    FLOAT64_NUMERATORS,
    INT64_NUMERATORS,
    ROUNDED_QUOTIENT,
    Quotient,
)
from qdeploy.integer.ranges import accumulator_bounds, accumulator_range, threshold_range
from qdeploy.integer.reference import run, run_codes
from qdeploy.integer.storage import load, save
from qdeploy.integer.tensors import Meaning, Tensor, ValueRange
from qdeploy.integer.weights import Codes, Integers, Plane, Weights

__all__ = [
    "FLOAT64_NUMERATORS",
    "INT64_NUMERATORS",
    "ROUNDED_QUOTIENT",
    "Add",
    "ArgMax",
    "Builder",
    "Codes",
    "Concat",
    "Convolution",
    "Embedding",
    "Flatten",
    "InputQuantizer",
    "IntegerNetwork",
    "Integers",
    "Linear",
    "Lstm",
    "LstmLayer",
    "MaxPool",
    "Meaning",
    "Node",
    "OutputFunction",
    "Pad",
    "Plane",
    "Quotient",
    "Requantize",
    "Reshape",
    "Slice",
    "StepFunction",
    "SumPool",
    "Tensor",
    "Threshold",
    "Transpose",
    "Upsample",
    "ValueRange",
    "Weights",
    "accumulator_bounds",
    "accumulator_range",
    "load",
    "readers_of",
    "run",
    "run_codes",
    "save",
    "threshold_range",
    "weights_of",
]
