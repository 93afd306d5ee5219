# SPDX-License-Identifier: Apache-2.0
"""QuantLSTMCell, as Brevitas exports brevitas.nn.QuantLSTM: a whole sequence on integers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Integers, Lstm, Plane, Weights
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import Fractions, fractions, greatest_common_divisor, of_distinct
from qdeploy.lowering.levels import SYNONYMS, code_range
from qdeploy.lowering.lstm import LstmQuantizers, UniformQuantizer, lstm_layer
from qdeploy.lowering.quantizers import integer_of, scale_of
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, QuantizedConstant, ScaledCodes
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import MAXIMUM_MULTIPLIER_BITS

# Inputs of the node; gates in the order i, f, g, o.
_STATES = (1, 2)
_INPUT_WEIGHTS, _HIDDEN_WEIGHTS, _BIASES = 3, 7, 11  # of the first gate
_FIRST_SCALE = 15  # each quantizer has a scale, a zero point and a bit width
_QUANTIZERS = (
    "output",
    "cell_state",
    "input_acc",
    "forget_acc",
    "cell_acc",
    "output_acc",
    "input_sigmoid",
    "forget_sigmoid",
    "cell_tanh",
    "output_sigmoid",
    "hidden_state_tanh",
)
_SUMS = _QUANTIZERS[2:6]
_MAXIMUM_BITS = 24  # beyond, Brevitas' own arithmetic in float32 does not hold all codes
_MAXIMUM_LISTED_BITS = 12  # of codes that are counted by thresholds, and of what they multiply


@handles("QuantLSTMCell")
def lstm(walk: Walk, node: onnx.NodeProto) -> Activation:
    """Brevitas' QuantLSTMCell, batch first and forward, from states of zeros; its outputs alone."""
    layer = layer_name(node)
    _check_form(walk, node)
    x = walk.activation(node)
    if len(x.shape) != 2 or not x.uniform or any(x.offset):
        raise UserError(
            f"an LSTM layer reads a tensor of shape {x.shape} with {x.channels} scales or offsets",
            layer=layer,
            remedy="feed it sequences [N, T, I] behind one quantizer without zero point (io_quant)",
        )
    quantizers = {name: _quantizer(walk, node, name) for name in _QUANTIZERS}
    hidden = quantizers.pop("output")
    gates = [_gate(walk, node, gate, x.scale[0], hidden.scale) for gate in range(4)]
    i, f, g, o = gates
    input_weights = _stacked([gate.input for gate in gates])
    hidden_weights = _stacked([gate.hidden for gate in gates])
    rows, size = hidden_weights.shape
    if rows != 4 * size or input_weights.shape != (rows, x.shape[1]):
        raise ValueError(f"weights {input_weights.shape} and {hidden_weights.shape}")
    name = walk.unique(layer)
    integers = lstm_layer(
        name,
        input_weights,
        hidden_weights,
        np.concatenate([gate.bias for gate in gates]),
        (i.unit, f.unit, g.unit, o.unit),
        LstmQuantizers(
            input=UniformQuantizer(walk.builder.tensors[x.tensor].range, x.scale[0]),
            hidden=hidden,
            **quantizers,
        ),
    )
    operator = Lstm(name=name, input=x.tensor, output=name, origin=(node.name,), layer=integers)
    return walk.add(operator, (hidden.scale,))


def _check_form(walk: Walk, node: onnx.NodeProto) -> None:
    given = attributes(node)
    used = any(walk.source.uses[name] for name in node.output[1:] if name)
    states = [walk.array(node, index) for index in _STATES]
    for refused, what, remedy in (
        (not given.get("batch_first", 0), "reads [T, N, I]", "pass batch_first=True"),
        (given.get("reverse_input", 0), "runs backwards", "use one direction"),
        (given.get("cifg", 0), "couples two gates", "pass coupled_input_forget_gates=False"),
        (used, "hands out its last state", "read the last step of its outputs, y[:, -1]"),
        (any(state.any() for state in states), "starts from a state", "start from zeros"),
    ):
        if refused:
            raise UserError(f"an LSTM layer that {what}", layer=layer_name(node), remedy=remedy)


def _quantizer(walk: Walk, node: onnx.NodeProto, name: str) -> UniformQuantizer:
    given, first = attributes(node), _FIRST_SCALE + 3 * _QUANTIZERS.index(name)
    scale = scale_of(walk, node, first)
    bits = integer_of(walk, node, first + 2, "bit width")
    zero_point = integer_of(walk, node, first + 1, "zero point")
    rounding = str(given.get(f"{name}_rounding_mode", "ROUND")).upper()
    wide = name in _SUMS or name == "cell_state"
    most = _MAXIMUM_BITS if wide else _MAXIMUM_LISTED_BITS
    if (
        scale.size != 1
        or zero_point
        or not 2 <= bits <= most
        or SYNONYMS.get(rounding, rounding) != "HALF_EVEN"
    ):
        raise UserError(
            f"its quantizer '{name}' has {bits} bits, {scale.size} scales, zero point {zero_point} "
            f"and rounding mode {rounding}",
            layer=layer_name(node),
            remedy=f"use 2 to {most} bits, one scale, no zero point and ROUND",
        )
    narrow = given.get(f"{name}_narrow", given.get(f"{name}_narrow_range", 0))
    codes = code_range(bits, bool(given.get(f"{name}_signed", 1)), bool(narrow))
    return UniformQuantizer(codes, Fraction(float(scale.reshape(-1)[0])))


@dataclass(frozen=True, eq=False)
class _Gate:
    """Σ s·x·code + Σ s'·h·code' + b = unit · (Σ a·x·code + Σ a'·h·code' + bias), all integers."""

    unit: Fraction
    input: list[Plane]
    hidden: list[Plane]
    bias: Integers


def _gate(
    walk: Walk, node: onnx.NodeProto, gate: int, input_scale: Fraction, hidden_scale: Fraction
) -> _Gate:
    """The gate over the greatest common divisor of all its scales and biases.

    Raises:
        UserError: if the integers get too wide.
    """
    sides = [
        [_times(plane, scale) for plane in _weights(walk, node, first + gate).planes]
        for first, scale in ((_INPUT_WEIGHTS, input_scale), (_HIDDEN_WEIGHTS, hidden_scale))
    ]
    bias = _bias(walk, node, gate)
    parts = {part for side in sides for plane in side for part in plane.scale.ravel()}
    parts = parts.union(bias) - {0}
    unit = greatest_common_divisor(parts)
    bits = max(int(abs(part) / unit).bit_length() for part in parts)
    if bits > MAXIMUM_MULTIPLIER_BITS:
        raise UserError(
            f"the scales of its weights and its biases need integers of {bits} bits to be exact",
            layer=layer_name(node),
            remedy="use scales of few bits, as qdeploy.quantize does, or powers of two "
            "(brevitas.quant.Int8WeightPerTensorFixedPoint), and quantize the biases",
        )

    def over_unit(values: Fractions) -> Integers:
        integers: Integers = of_distinct(lambda value: int(value / unit), values).astype(np.int64)
        return integers

    input_planes, hidden_planes = (
        [Plane(plane.codes.astype(np.int16), over_unit(plane.scale)) for plane in side]
        for side in sides
    )
    rows = len(hidden_planes[0].codes)
    return _Gate(unit, input_planes, hidden_planes, np.broadcast_to(over_unit(bias), (rows,)))


def _weights(walk: Walk, node: onnx.NodeProto, index: int) -> QuantizedConstant:
    value = walk.value(node, index)
    if isinstance(value, QuantizedConstant) and len(value.shape) == 2:
        return value
    raise UserError(
        "an LSTM layer with float weights",
        layer=layer_name(node),
        remedy="pass weight_quant to brevitas.nn.QuantLSTM, or use qdeploy.quantize",
    )


def _times(plane: ScaledCodes, factor: Fraction) -> ScaledCodes:
    """Positive scales, times a positive factor; signs move to the codes."""
    scale = plane.spread_scale
    signs = np.where(scale < 0, -1, 1)
    return ScaledCodes(plane.codes * signs, of_distinct(lambda s: abs(s) * factor, scale))


def _bias(walk: Walk, node: onnx.NodeProto, gate: int) -> Fractions:
    """Real biases, [H] or [1]."""
    value = walk.value(node, _BIASES + gate)
    if isinstance(value, QuantizedConstant):
        return value.real.reshape(-1)
    return fractions(walk.array(node, _BIASES + gate)).reshape(-1)


def _stacked(gates: list[list[Plane]]) -> Weights:
    """The rows of all gates behind each other; where a gate has fewer planes, they count 0."""
    count = max(map(len, gates))
    rows = [planes + [_nothing(planes[0])] * (count - len(planes)) for planes in gates]
    return Weights(tuple(map(_plane, zip(*rows, strict=True))))


def _nothing(like: Plane) -> Plane:
    return Plane(like.codes, np.zeros((1, 1), np.int64))


def _plane(parts: tuple[Plane, ...]) -> Plane:
    """The parts below each other, with a multiplier per row and group of columns."""
    groups = {part.multipliers.shape[1] for part in parts}
    columns = groups.pop() if len(groups) == 1 else parts[0].codes.shape[1]
    multipliers = [
        np.broadcast_to(
            part.multipliers if not groups else part.expanded_multipliers(),
            (len(part.codes), columns),
        )
        for part in parts
    ]
    return Plane(np.concatenate([part.codes for part in parts]), np.concatenate(multipliers))
