# SPDX-License-Identifier: Apache-2.0
"""What became of a node of the file, in one line for someone who knows PyTorch."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from qdeploy.explanation.trace import Trace, Visit
from qdeploy.explanation.wording import (
    count,
    dimensions,
    interval,
    operator_sentence,
    quotient,
    real,
    thresholds,
)
from qdeploy.integer import (
    ArgMax,
    Concat,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
)
from qdeploy.lowering.monotone import Clip
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, Mixed, QuantizedConstant, RealInput

# Operators behind which a scale and an offset are still pending.
_TRANSPARENT = (MaxPool, SumPool, Flatten, Slice, Reshape, Transpose, Upsample, Pad, Concat)

# What affine nodes and functions do to their input x; {} is a constant operand.
_FORMULAS = {
    "BatchNormalization": "a·x + b per channel",
    "Relu": "max(0, x)",
    "LeakyRelu": "slope·x below 0",
    "DequantizeLinear": "scale·(x - zero point)",
    "Mul": "{}·x",
    "Div": "x / {}",
    "Add": "x + {}",
    "Sub": "x - {}",
}

# What quantizers with an algebra of their own compute.
_QUANTIZERS = {
    "MultiThreshold": "out_scale · (thresholds reached) + out_bias",
    "Trunc": "round(x / 2^bits)",
}


def sentence(trace: Trace, visit: Visit) -> str:
    """What became of a node."""
    value = visit.value
    if visit.blocked_by is not None:
        return f"not reached because of '{layer_name(visit.blocked_by)}'"
    if visit.error is not None:
        return "cannot be lowered"
    if isinstance(value, Constant):
        return f"constant of shape {dimensions(value.array.shape)}, known at compile time"
    if isinstance(value, QuantizedConstant):
        return _quantized_constant(trace, visit, value)
    value = value.source if isinstance(value, Mixed) else value
    before = _input(trace, visit)
    if isinstance(value, RealInput):
        return _real_input(trace, visit, value, before)
    assert isinstance(value, Activation)
    if visit.created or isinstance(before, RealInput):
        return "; ".join(_parts(trace, visit, value, before))
    if visit.node.op_type in ("Softmax", "Sigmoid"):
        return "applied to the real output; the integers stay as they are"
    if before and _pending(before) == _pending(value):
        return "nothing to compute at inference"
    return f"{_formula(trace, visit)}: {_absorbed(trace, visit)}"


def _parts(
    trace: Trace, visit: Visit, value: Activation, before: Activation | RealInput | None
) -> list[str]:
    """What a node computes with integers, operator by operator."""
    operators = [trace.operator(name) for name in visit.created]
    parts = [formula] if (formula := _QUANTIZERS.get(visit.node.op_type)) else []
    parts += [_input_quantizer(trace)] if isinstance(before, RealInput) else []
    parts += [operator_sentence(operator, trace.walk.builder.tensors) for operator in operators]
    weighted = [op for op in operators if isinstance(op, (Convolution, Linear))]
    if weighted and _plain_weights(trace, visit):
        kinds = " + ".join(plane.kind for plane in weighted[0].weights.planes)
        parts.append(f"the file holds its weights as integers ({kinds})")
    if weighted and any(value.offset) and not _has_offset(before):
        parts.append(f"the bias is {_absorbed(trace, visit)}")
    return parts


def _plain_weights(trace: Trace, visit: Visit) -> bool:
    operands = [trace.walk.values.get(name) for name in visit.node.input[:2]]
    return any(isinstance(operand, Constant) for operand in operands)


def _input(trace: Trace, visit: Visit) -> Activation | RealInput | None:
    """The first input that is no constant."""
    values = [trace.walk.values.get(name) for name in visit.node.input]
    sources = (value.source if isinstance(value, Mixed) else value for value in values)
    return next((v for v in sources if isinstance(v, (Activation, RealInput))), None)


def _pending(value: Activation | RealInput) -> tuple[object, ...]:
    functions = value.functions if isinstance(value, Activation) else ()
    return value.scale, value.offset, functions


def _real_input(
    trace: Trace, visit: Visit, value: RealInput, before: Activation | RealInput | None
) -> str:
    if before is None or _pending(before) == _pending(value):
        return f"wires only: the input is read as {dimensions(value.shape)}"
    return f"{_formula(trace, visit)}: {_absorbed(trace, visit)}"


def _input_quantizer(trace: Trace) -> str:
    quantizer, source = trace.walk.quantizer, trace.source
    assert quantizer is not None
    tensor = trace.walk.builder.tensors[source.input]
    codes = interval(tensor.range.low, tensor.range.high, quantizer.step)
    if source.input_type is not None:
        return f"the input holds the numbers {source.input_type}, one integer each"
    if source.indices:
        return f"the input holds indices {codes}"
    return (
        f"input quantizer: {count(len(quantizer.boundaries), 'float32 comparison')} per value, "
        f"codes {codes}, 1 means {real(tensor.meaning.scale[0])}"
    )


def _has_offset(value: Activation | RealInput | None) -> bool:
    return bool(value.offset if isinstance(value, RealInput) else value and any(value.offset))


def _quantized_constant(trace: Trace, visit: Visit, value: QuantizedConstant) -> str:
    operands = [trace.walk.values.get(name) for name in visit.node.input]
    if any(isinstance(operand, QuantizedConstant) for operand in operands):
        if visit.node.op_type in ("Add", "Sub", "Sum"):
            return f"the {len(value.planes)} planes stay apart: multi-bit weights"
        return f"rearranged at compile time to {dimensions(value.shape)}"
    for reader in trace.readers_through(visit, lambda v: v.is_constant):
        for name in reader.created:
            operator = trace.operator(name)
            if not isinstance(operator, (Convolution, Linear)):
                continue
            if operator.weights.planes[0].codes.size == prod(value.shape):
                return f"weights: {_weights(trace, operator, value)}"
    low = min(int(plane.codes.min(initial=0)) for plane in value.planes)
    high = max(int(plane.codes.max(initial=0)) for plane in value.planes)
    scales = sum(plane.scale.size for plane in value.planes)
    text = f"{dimensions(value.shape)} codes in {interval(low, high)}"
    readers = [f"'{layer_name(v.node)}'" for v in trace.readers(visit)]
    return f"{text}, {count(scales, 'scale')}, for {' and '.join(readers) or 'nobody'}"


def _weights(trace: Trace, operator: Convolution | Linear, value: QuantizedConstant) -> str:
    weights = operator.weights
    kinds = " + ".join(plane.kind for plane in weights.planes)
    text = f"{kinds} codes {dimensions(weights.shape)}"
    if not weights.is_scaled:
        (plane,) = value.planes
        scales = set(plane.scale.ravel())
        if len(scales) == 1:
            return f"{text}, scale {real(Fraction(scales.pop()))} leaves the sum"
        return f"{text}, {plane.scale.size} scales (one per output channel) leave the sum"
    kept = [plane.multipliers for plane in weights.planes if plane.is_scaled]
    bits = max(int(multipliers.max()).bit_length() for multipliers in kept)
    number = sum(multipliers.size for multipliers in kept)
    text += f", {count(number, 'multiplier')} of {count(bits, 'bit')} inside the sum"
    tensors = trace.walk.builder.tensors
    own = {abs(scale) for scale in tensors[operator.output].meaning.scale}
    before = set(tensors[operator.input].meaning.scale)
    if len(own) == len(before) == 1:
        return f"{text}, scale {real(own.pop() / before.pop())} leaves it"
    return f"{text}, a scale per output channel leaves it"


def _formula(trace: Trace, visit: Visit) -> str:
    node, value = visit.node, visit.value
    if node.op_type == "Clip" and isinstance(value, Activation) and value.functions:
        clip, *_ = value.functions[-1]
        if isinstance(clip, Clip):
            ends = ["" if end is None else real(end) for end in (clip.low, clip.high)]
            return f"x limited to {'..'.join(ends)}"
    operands = [trace.walk.values.get(name) for name in node.input]
    constant = next((v.array for v in operands if isinstance(v, Constant)), None)
    operand = "c per channel"
    if constant is not None and constant.size == 1:
        operand = real(float(constant.reshape(-1)[0]))
    formula = _FORMULAS.get(node.op_type, "scale and offset change")
    return formula.format(operand).replace("+ -", "- ")


def _absorbed(trace: Trace, visit: Visit) -> str:
    """Who takes the pending scale, offset and functions of a node's output."""
    takers = []
    for reader in trace.readers_through(visit, lambda v: _is_transparent(trace, v)):
        operators = [trace.operator(name) for name in reader.created]
        quantizers = [operator for operator in operators if isinstance(operator, Threshold)]
        if reader.state != "lowered":
            takers.append(f"'{layer_name(reader.node)}', which is not lowered")
        elif any(isinstance(operator, Requantize) for operator in operators):
            wide = [operator for operator in operators if isinstance(operator, Requantize)]
            takers += [f"the {quotient(q)} of '{q.name}'" for q in wide]
        elif quantizers:
            named = [(thresholds(q).removeprefix("1 "), q.name) for q in quantizers]
            takers += [f"the {number} of '{name}'" for number, name in named]
        elif isinstance(visit.value, RealInput) and trace.source.input_type is None:
            takers.append(f"the boundaries of the input quantizer '{layer_name(reader.node)}'")
        elif operators and isinstance(operators[-1], ArgMax):
            takers.append("nothing: it does not change which class is the largest")
        elif operators and not isinstance(operators[-1], _TRANSPARENT):
            takers.append(f"the scale of '{operators[-1].name}'")
        else:
            takers.append("the meaning of the output, real = scale · integer + offset")
    return f"absorbed into {' and '.join(dict.fromkeys(takers))}"


def _is_transparent(trace: Trace, visit: Visit) -> bool:
    """Whether what was pending before the node still is behind it."""
    if visit.state != "lowered" or visit.is_constant:
        return False
    if isinstance(visit.value, Activation) and isinstance(_input(trace, visit), RealInput):
        return False
    return all(isinstance(trace.operator(name), _TRANSPARENT) for name in visit.created)
