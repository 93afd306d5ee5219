# SPDX-License-Identifier: Apache-2.0
"""What a node became, in one line for someone who knows PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.explanation.trace import Trace, Visit
from qdeploy.integer import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Node,
    Pad,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
    Weights,
)
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, RealInput

# Operators that keep scale · integer + offset pending for what follows.
_TRANSPARENT = (MaxPool, SumPool, Flatten, Reshape, Transpose, Upsample, Pad, Concat)


def sentence(trace: Trace, visit: Visit) -> str:
    """What became of a node."""
    value = visit.value
    if visit.blocked_by is not None:
        return f"not reached because of '{layer_name(visit.blocked_by)}'"
    if visit.error is not None:
        return "cannot be lowered"
    if isinstance(value, Constant):
        return f"a constant of shape {dimensions(value.array.shape)}, known at compile time"
    if isinstance(value, QuantizedConstant):
        return _quantized_constant(trace, visit, value)
    if isinstance(value, RealInput):
        return _real_input(trace, visit, value)
    assert isinstance(value, Activation)
    before = _input(trace, visit)
    if isinstance(before, RealInput):
        return _input_quantizer(trace, value)
    if visit.created:
        parts = [_operator(trace, trace.operator(name)) for name in visit.created]
        if any(value.offset) and not (isinstance(before, Activation) and any(before.offset)):
            parts.append("the bias is added to the pending offset")
        return "; ".join(parts)
    return _absorbed(trace, visit, value, before)


def dimensions(shape: tuple[int, ...]) -> str:
    """16x3x3, "scalar" without axes."""
    return "x".join(map(str, shape)) or "scalar"


def number(value: int) -> str:
    """With thousands separators."""
    return f"{value:,}"


def interval(low: int, high: int) -> str:
    """Both ends, with thousands separators."""
    return f"{number(low)}..{number(high)}"


def real(value: Fraction) -> str:
    """The fraction itself where it is short, else four digits."""
    exact = str(value)
    return exact if len(exact) <= 9 else f"{float(value):.4g}"


def _input(trace: Trace, visit: Visit) -> Any:
    """The first input that is no constant."""
    values = [trace.walk.values.get(name) for name in visit.node.input]
    return next((v for v in values if isinstance(v, (Activation, RealInput))), None)


def _real_input(trace: Trace, visit: Visit, value: RealInput) -> str:
    before = _input(trace, visit)
    if before is None or (before.scale, before.offset) == (value.scale, value.offset):
        return f"nothing to compute: the input has the shape {dimensions(value.shape)}"
    return (
        f"{_formula(visit)}, absorbed by {_joined(_absorbers(trace, visit))}: "
        "its boundaries move instead of the pixels"
    )


def _input_quantizer(trace: Trace, value: Activation) -> str:
    quantizer = trace.walk.quantizer
    assert quantizer is not None
    codes = trace.walk.builder.tensors[value.tensor].range
    return (
        f"input quantizer: {_count(len(quantizer.boundaries), 'float32 comparison')} per value, "
        f"codes {interval(codes.low, codes.high)}, one step = {real(value.scale[0])}"
    )


def _quantized_constant(trace: Trace, visit: Visit, value: QuantizedConstant) -> str:
    for operator in _readers_with_weights(trace, visit):
        if operator.weights.planes[0].codes.size == value.codes.size:
            return f"weights: {_weights(trace, operator, operator.weights, value)}"
    codes = f"{dimensions(value.codes.shape)} codes {interval(*_ends(value.codes))}"
    return f"constant: {codes}, {_count(value.scale.size, 'scale')}; joins the pending offset"


def _readers_with_weights(trace: Trace, visit: Visit) -> Iterator[Convolution | Linear]:
    for reader in trace.readers[visit.node.output[0]]:
        if reader.is_constant:
            yield from _readers_with_weights(trace, reader)
        for name in reader.created:
            operator = trace.operator(name)
            if isinstance(operator, (Convolution, Linear)):
                yield operator


def _weights(
    trace: Trace, operator: Convolution | Linear, weights: Weights, value: QuantizedConstant
) -> str:
    kinds = " + ".join(plane.kind for plane in weights.planes)
    text = f"{kinds} codes {dimensions(weights.shape)}"
    scales = set(value.scale.ravel())
    if not weights.is_scaled:
        if len(scales) == 1:
            return f"{text}, scale {real(scales.pop())} leaves the sum"
        return f"{text}, {len(value.scale.ravel())} scales (one per output channel) leave the sum"
    kept = [plane.multipliers for plane in weights.planes if plane.is_scaled]
    bits = max(int(multipliers.max()).bit_length() for multipliers in kept)
    count = sum(multipliers.size for multipliers in kept)
    text += f", {_count(count, 'multiplier')} of {bits} bits inside the sum"
    own = {abs(s) for s in trace.walk.builder.tensors[operator.output].meaning.scale}
    before = set(trace.walk.builder.tensors[operator.input].meaning.scale)
    if len(own) == len(before) == 1:
        return f"{text}, scale {real(own.pop() / before.pop())} leaves it"
    return f"{text}, a scale per output channel leaves it"


def _operator(trace: Trace, operator: Node) -> str:
    before = trace.walk.builder.tensors[operator.input]
    after = trace.walk.builder.tensors[operator.output]
    accumulator = (
        f"accumulator {after.range.bits} bits ({interval(after.range.low, after.range.high)})"
    )
    if isinstance(operator, Convolution):
        return f"integer {_convolution(operator)}, {accumulator}"
    if isinstance(operator, Linear):
        return f"integer Linear {dimensions(operator.weights.shape)}, {accumulator}"
    if isinstance(operator, Threshold):
        codes = interval(after.range.low, after.range.high)
        return f"comparisons only: {_thresholds(operator)}, codes {codes}"
    if isinstance(operator, MaxPool):
        return f"{_window('MaxPool', operator)} on integers: the order of values is kept"
    if isinstance(operator, SumPool):
        return f"{_window('SumPool', operator)}, the division joins the scale; {accumulator}"
    if isinstance(operator, Add):
        terms = " + ".join(
            f"{m} · {name}" if m != 1 else name
            for m, name in zip(operator.multipliers, operator.inputs, strict=True)
        )
        return f"integer Add: {terms}, {accumulator}"
    if isinstance(operator, ArgMax):
        return "index of the largest integer"
    if isinstance(operator, Pad):
        return f"padding with the code {operator.pad_code}, to {dimensions(after.shape)}"
    if isinstance(operator, Upsample):
        return f"every value repeated {dimensions(operator.factors)} times"
    if isinstance(operator, Concat):
        return f"wires only: {len(operator.inputs)} branches side by side"
    if isinstance(operator, (Flatten, Reshape, Transpose)):
        return f"wires only ({dimensions(before.shape)} → {dimensions(after.shape)})"
    return f"integer {operator.kind} → {dimensions(after.shape)}"


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


def _window(name: str, operator: MaxPool | SumPool) -> str:
    text = f"{name} {_sizes(operator.kernel)}"
    if operator.strides != operator.kernel:
        text += f" stride {_sizes(operator.strides)}"
    return f"{text} padding {_sizes(operator.pads)}" if any(operator.pads) else text


def _sizes(sizes: tuple[int, ...]) -> str:
    """One number where all are equal."""
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))


def _absorbed(trace: Trace, visit: Visit, value: Activation, before: Any) -> str:
    if isinstance(before, Activation) and (before.scale, before.offset, before.functions) == (
        value.scale,
        value.offset,
        value.functions,
    ):
        return "nothing to compute at inference"
    return f"{_formula(visit)}, absorbed by {_joined(_absorbers(trace, visit))}"


_FORMULAS = {
    "BatchNormalization": "a·x + b per channel",
    "Relu": "max(0, x)",
    "Clip": "limits",
    "LeakyRelu": "steeper above 0",
    "Mul": "a factor",
    "Div": "a divisor",
    "Add": "a summand",
    "Sub": "a difference",
}


def _formula(visit: Visit) -> str:
    return _FORMULAS.get(visit.node.op_type, "scale and offset")


def _absorbers(trace: Trace, visit: Visit) -> list[str]:
    """Who takes the pending scale, offset and functions of a node's output."""
    found = []
    name = visit.node.output[0]
    if name == trace.source.output:
        found.append("the meaning of the output (real = scale · integer + offset)")
    for reader in trace.readers[name]:
        operators = [trace.operator(created) for created in reader.created]
        thresholds = [operator for operator in operators if isinstance(operator, Threshold)]
        if thresholds:
            found += [f"the {_thresholds(t)} of '{t.name}'" for t in thresholds]
        elif isinstance(visit.value, RealInput) and isinstance(reader.value, Activation):
            found.append(f"the input quantizer '{layer_name(reader.node)}'")
        elif reader.state != "lowered":
            found.append(f"'{layer_name(reader.node)}', which is not lowered")
        elif all(isinstance(operator, _TRANSPARENT) for operator in operators):
            found += _absorbers(trace, reader)
        else:
            found.append(f"the scale of '{operators[-1].name}'")
    return list(dict.fromkeys(found))


def _joined(parts: list[str]) -> str:
    return " and ".join(parts) or "nothing: no node reads it"


def _thresholds(operator: Threshold) -> str:
    channels, count = operator.thresholds.shape
    rows = f" × {channels} channels" if channels > 1 else ""
    return f"{_count(count, 'threshold')}{rows}"


def _count(count: int, what: str) -> str:
    return f"{number(count)} {what}" if count == 1 else f"{number(count)} {what}s"


def _ends(codes: Any) -> tuple[int, int]:
    return int(np.min(codes, initial=0)), int(np.max(codes, initial=0))
