# SPDX-License-Identifier: Apache-2.0
"""Numbers and integer operators as people read them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qdeploy.integer import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    Flatten,
    Linear,
    Lstm,
    MaxPool,
    Node,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
    ValueRange,
)


def dimensions(shape: tuple[int, ...]) -> str:
    """16x3x3; "scalar" without axes."""
    return "x".join(map(str, shape)) or "scalar"


def count(number: int, what: str) -> str:
    """1 scale, 2 scales, 1,000 scales."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def interval(low: int, high: int, step: int = 1) -> str:
    """Both ends, with thousands separators, and what lies between them."""
    if step > 1 and high - low == step:
        return f"{low:,} and {high:,}"
    return f"{low:,}..{high:,}" + (f" in steps of {step}" if step > 1 else "")


def real(value: Fraction | float) -> str:
    """The fraction itself where it is short, else four digits."""
    exact = str(value)
    return exact if isinstance(value, Fraction) and len(exact) <= 9 else f"{float(value):.4g}"


def thresholds(operator: Threshold) -> str:
    """3 thresholds × 64 channels."""
    channels, number = operator.thresholds.shape
    return count(number, "threshold") + (f" × {channels} channels" if channels > 1 else "")


def quotient(operator: Requantize) -> str:
    """Factors × 64 channels."""
    channels = max(operator.quotient.multiplier.size, operator.quotient.addend.size)
    return f"factors × {channels} channels" if channels > 1 else "factors"


def operator_sentence(operator: Node, tensors: dict[str, Tensor]) -> str:
    """What an integer operator computes."""
    before, after = tensors[operator.input], tensors[operator.output]
    if isinstance(operator, Convolution):
        return f"integer {_convolution(operator)}, {_accumulator(after.range)}"
    if isinstance(operator, Linear):
        shape = dimensions(operator.weights.shape)
        return f"integer Linear {shape}, {_accumulator(after.range)}"
    if isinstance(operator, (Threshold, Requantize)):
        steps = operator.step if isinstance(operator, Threshold) else np.ones(1, np.int64)
        codes = interval(after.range.low, after.range.high, int(np.abs(steps).min()))
        return f"{_quantizer(operator)}, codes {codes}"
    if isinstance(operator, MaxPool):
        return f"{_window(operator)} on integers"
    if isinstance(operator, SumPool):
        return f"{_window(operator)}, the division joins the scale; {_accumulator(after.range)}"
    if isinstance(operator, Add):
        terms = zip(operator.multipliers, operator.inputs, strict=True)
        total = " + ".join(name if m == 1 else f"{m}·{name}" for m, name in terms)
        return f"integer sum {total}, {_accumulator(after.range)}"
    if isinstance(operator, (ArgMax, Embedding, Lstm)):
        return _of_vectors(operator)
    if isinstance(operator, Pad):
        return f"padding with the code {operator.pad_code}, to {dimensions(after.shape)}"
    if isinstance(operator, Upsample):
        return f"every value repeated {dimensions(operator.factors)} times"
    if isinstance(operator, Concat):
        return f"wires only: {len(operator.inputs)} branches side by side"
    if isinstance(operator, Slice):
        return f"wires only: a part of {dimensions(before.shape)}, {dimensions(after.shape)}"
    if isinstance(operator, (Flatten, Reshape, Transpose)):
        return f"wires only ({dimensions(before.shape)} → {dimensions(after.shape)})"
    return f"integer {operator.kind} → {dimensions(after.shape)}"


def _of_vectors(operator: ArgMax | Embedding | Lstm) -> str:
    if isinstance(operator, ArgMax):
        many = f"indices of the {operator.count} largest integers"
        return "index of the largest integer" if operator.count == 1 else many
    if isinstance(operator, Embedding):
        return f"one of {len(operator.table)} rows of {operator.table.shape[1]} integers"
    layer = operator.layer
    return (
        f"integer LSTM of {layer.input_size} inputs and {layer.hidden_size} units, "
        f"{_accumulator(layer.sums)}, sigmoid and tanh by thresholds, cell state {layer.state}"
    )


def _accumulator(values: ValueRange) -> str:
    return f"accumulator {count(values.bits, 'bit')} ({interval(values.low, values.high)})"


def _quantizer(operator: Threshold | Requantize) -> str:
    if isinstance(operator, Threshold):
        return f"comparisons only: {thresholds(operator)}"
    rule = operator.quotient.rounding.lower().replace("_", " ")
    return f"(p·x + q) / d with integer {quotient(operator)}, rounded {rule}"


def _convolution(operator: Convolution) -> str:
    settings = []
    if set(operator.strides) != {1}:
        settings.append(f"stride {_sizes(operator.strides)}")
    if any(operator.pads):
        settings.append(f"padding {_sizes(operator.pads)}")
    if set(operator.dilations) != {1}:
        settings.append(f"dilation {_sizes(operator.dilations)}")
    if operator.groups != 1:
        settings.append(f"{operator.groups} groups")
    text = f"Convolution {dimensions(operator.weights.shape)}"
    return f"{text} ({', '.join(settings)})" if settings else text


def _window(operator: MaxPool | SumPool) -> str:
    text = f"{operator.kind} {dimensions(operator.kernel)}"
    if operator.strides != operator.kernel:
        text += f" stride {_sizes(operator.strides)}"
    if isinstance(operator, MaxPool) and set(operator.dilations) != {1}:
        text += f" dilation {_sizes(operator.dilations)}"
    return f"{text} padding {_sizes(operator.pads)}" if any(operator.pads) else text


def _sizes(sizes: tuple[int, ...]) -> str:
    """One number where all are equal."""
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))
