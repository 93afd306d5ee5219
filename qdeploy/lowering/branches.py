# SPDX-License-Identifier: Apache-2.0
"""Where branches meet: residual Add and Concat of two quantized tensors.

    s1·x1 + s2·x2 = u · (m1·x1 + m2·x2)        s1 / s2 = m1 / m2 in lowest terms, u = s1 / m1

Concat needs no common scale: each channel keeps its own, and the next layer takes it into its
weights.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import reduce
from itertools import chain
from math import gcd, prod

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Add, Concat, Node, Threshold
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.multiples import multiplied
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import summed

# Beyond this the exact sum is wider than anyone wants; such ratios come from unrelated scales.
MAXIMUM_RATIO_BITS = 10
# Of a sum of step functions; more are cheaper apart.
MAXIMUM_STEPS = 255
# Constants that are joined are shapes: a few numbers.
MAXIMUM_SHAPE = 1 << 16


@handles("Sum", "Mean")
def total(walk: Walk, node: onnx.NodeProto) -> Activation | QuantizedConstant:
    """ONNX Sum and Mean 8..13 of activations of one shape, Sum also of quantized weights."""
    count, layer = len(node.input), layer_name(node)
    values = [walk.value(node, index) for index in range(count)]
    weights = [value for value in values if isinstance(value, QuantizedConstant)]
    if node.op_type == "Sum" and len(weights) == count:
        return reduce(lambda left, right: summed(left, right, layer), weights)
    y = walk.activation(node)
    for index in range(1, count):
        y = add(walk, node, y, walk.activation(node, index))
    if node.op_type == "Sum":
        return y
    scale, offset = (tuple(v / count for v in values) for values in (y.scale, y.offset))
    return replace(y, scale=scale, offset=offset)


def add(
    walk: Walk, node: onnx.NodeProto, left: Activation, right: Activation, sign: int = 1
) -> Activation:
    """The sum left + sign · right, of one shape.

    Raises:
        UserError: if the ratio of their scales is no small rational and no rounding was allowed.
    """
    if left.shape != right.shape:
        raise UserError(
            f"{node.op_type} (node '{node.name}') of shapes {left.shape} and {right.shape}",
            layer=layer_name(node),
            remedy="only branches of equal shape can be added",
        )
    order = movement.untransposed(walk, left)
    if order != movement.untransposed(walk, right):
        order = tuple(range(len(left.shape)))
    left, right = (movement.transpose(walk, x, order, f"{x.tensor}.back") for x in (left, right))
    axis = right.axis if left.uniform else left.axis
    scale, (m, n) = _common_scale(walk, node, left, right)
    inputs = [left.tensor, right.tensor]
    if len(m) > 1:
        inputs = [
            _times(walk, node, x, factors, axis).tensor for x, factors in ((left, m), (right, n))
        ]
        m, n = (1,), (1,)
    channels = max(len(left.offset), len(right.offset))
    offset = tuple(
        left.offset[c % len(left.offset)] + sign * right.offset[c % len(right.offset)]
        for c in range(channels)
    )
    name = walk.unique(layer_name(node))
    multipliers = (m[0], sign * n[0])
    first, second = (walk.builder.producer(tensor) for tensor in inputs)
    operator: Node | None = None
    if isinstance(first, Threshold) and isinstance(second, Threshold):
        operator = sum_of_steps(name, first, second, multipliers)
    operator = operator or Add(
        name=name,
        input=inputs[0],
        others=(inputs[1],),
        output=name,
        multipliers=multipliers,
    )
    y = walk.add(replace(operator, origin=(node.name,)), scale)
    y = Activation(y.tensor, y.shape, scale, offset, axis)
    back = tuple(map(order.index, range(len(order))))
    return movement.transpose(walk, y, back, f"{name}.moved")


def sum_of_steps(
    name: str, first: Threshold, second: Threshold, multipliers: tuple[int, int]
) -> Threshold | None:
    """One step function for the sum of two of the same tensor, as multi-bit activations have it.

    A step of height h is h equal thresholds. None if one rises and the other falls, or if there
    would be too many thresholds.
    """
    terms = (first, second)
    steps = [m * term.step for m, term in zip(multipliers, terms, strict=True)]
    heights = [int(step[0]) for step in steps]
    alike = all(len(step) == 1 for step in steps) and heights[0] * heights[1] > 0
    if first.input != second.input or not alike:
        return None
    unit = gcd(*heights)
    repeated = [
        term.thresholds.repeat(abs(height) // unit, axis=1)
        for term, height in zip(terms, heights, strict=True)
    ]
    if sum(part.shape[1] for part in repeated) > MAXIMUM_STEPS:
        return None
    rows = max(map(len, repeated))
    joined = [np.broadcast_to(part, (rows, part.shape[1])) for part in repeated]
    return Threshold(
        name=name,
        input=first.input,
        output=name,
        thresholds=np.sort(np.concatenate(joined, axis=1), axis=1),
        base=multipliers[0] * first.base + multipliers[1] * second.base,
        step=np.array([unit if heights[0] > 0 else -unit]),
    )


def _common_scale(
    walk: Walk, node: onnx.NodeProto, left: Activation, right: Activation
) -> tuple[tuple[Fraction, ...], tuple[tuple[int, ...], tuple[int, ...]]]:
    """One scale (or one per channel) for both branches, and the integer factors of each."""
    channels = max(len(left.scale), len(right.scale))
    pairs = [
        (left.scale[c % len(left.scale)], right.scale[c % len(right.scale)])
        for c in range(channels)
    ]
    aligned = left.uniform or right.uniform or left.axis == right.axis
    if not aligned or any(not a or not b for a, b in pairs):
        raise _unequal(node, left, right, "which vary along different axes or are 0")
    exact = [a / b for a, b in pairs]
    ratios = exact
    if walk.rescale_bits is not None:
        rounded = {ratio: _rounded(ratio, walk.rescale_bits) for ratio in exact}
        ratios = [rounded[ratio] for ratio in exact]
        error = max(float(abs(r / ratio - 1)) for ratio, r in rounded.items())
        if error:
            walk.notes.append(
                f"{layer_name(node)}: the scale of one branch was rounded to "
                f"{walk.rescale_bits} bits of the other's, which changes it by {error:.2e}"
            )
    largest = max(max(abs(r.numerator), r.denominator) for r in ratios)
    if walk.rescale_bits is None and largest.bit_length() > MAXIMUM_RATIO_BITS:
        raise _unequal(node, left, right, "whose ratio is no small rational")
    if len(set(ratios)) == 1:
        ratios = ratios[:1]
    m, n = tuple(r.numerator for r in ratios), tuple(r.denominator for r in ratios)
    # The larger scale stays exact, so that only the smaller branch is rounded.
    scale = tuple(
        a / m[c % len(m)] if abs(a) >= abs(b) else b / n[c % len(n)]
        for c, (a, b) in enumerate(pairs)
    )
    return scale, (m, n)


def _times(
    walk: Walk, node: onnx.NodeProto, x: Activation, factors: tuple[int, ...], axis: int
) -> Activation:
    """Each index of `axis` times its integer; what the result means is up to the caller."""
    order = (axis, *(k for k in range(len(x.shape)) if k != axis))
    layer = layer_name(node)
    first = movement.transpose(walk, x, order, f"{layer}.channels")
    plain = replace(first, scale=(Fraction(1),), offset=(Fraction(0),))
    image = movement.reshape(
        walk, plain, (first.shape[0], prod(first.shape[1:]), 1), f"{layer}.image"
    )
    y = replace(multiplied(walk, node, image, factors), scale=(Fraction(1),))
    y = movement.reshape(walk, y, first.shape, f"{layer}.shape")
    back = tuple(map(order.index, range(len(order))))
    return movement.transpose(walk, y, back, f"{layer}.back")


def _rounded(ratio: Fraction, bits: int) -> Fraction:
    """The nearest ratio of two integers of at most `bits` bits (not 0)."""
    limit = (1 << bits) - 1
    if abs(ratio) > 1:
        return 1 / _rounded(1 / ratio, bits)
    return ratio.limit_denominator(limit) or Fraction(1 if ratio > 0 else -1, limit)


def _unequal(node: onnx.NodeProto, left: Activation, right: Activation, why: str) -> UserError:
    first, second = (f"{float(min(branch.scale)):.6g}" for branch in (left, right))
    return UserError(
        f"{node.op_type} (node '{node.name}') of branches with scales {first} ({left.tensor}) and "
        f"{second} ({right.tensor}), {why}",
        layer=layer_name(node),
        remedy="share one quantizer between the branches in training (one "
        "brevitas.nn.QuantIdentity for both), or allow rounding with --rescale-bits 8",
    )


@handles("Concat")
def concat(walk: Walk, node: onnx.NodeProto) -> Activation | Constant:
    """ONNX Concat 4..13 of activations along the channels, or of constants (computed shapes)."""
    values = [walk.value(node, index) for index in range(len(node.input))]
    axis = int(attributes(node).get("axis", 0))
    if all(isinstance(value, Constant) for value in values):
        if sum(v.array.size for v in values if isinstance(v, Constant)) > MAXIMUM_SHAPE:
            raise ValueError("computed shapes of too many elements")
        arrays = [np.atleast_1d(walk.array(node, index)) for index in range(len(values))]
        return Constant(np.concatenate(arrays, axis=axis))
    branches = [walk.activation(node, index) for index in range(len(values))]
    rank = len(branches[0].shape)
    along_channels = axis in (1, -rank) and all(b.uniform or b.axis == 0 for b in branches)
    if not along_channels or len({b.shape[1:] for b in branches}) != 1:
        raise UserError(
            f"Concat (node '{node.name}') of {[b.shape for b in branches]} along axis {axis}",
            layer=layer_name(node),
            remedy="only branches of equal size along the channels (axis 1) can be joined",
        )
    name = walk.unique(layer_name(node))
    operator = Concat(
        name=name,
        input=branches[0].tensor,
        others=tuple(b.tensor for b in branches[1:]),
        output=name,
        origin=(node.name,),
    )
    scale = _joined([b.scale for b in branches], branches)
    y = walk.add(operator, scale)
    return Activation(y.tensor, y.shape, scale, _joined([b.offset for b in branches], branches))


def _joined(parts: list[tuple[Fraction, ...]], branches: list[Activation]) -> tuple[Fraction, ...]:
    """Values per channel behind each other; one value if all are equal."""
    if len(set(chain(*parts))) == 1:
        return parts[0][:1]
    return tuple(
        chain.from_iterable(
            part * branch.shape[0] if len(part) == 1 else part
            for part, branch in zip(parts, branches, strict=True)
        )
    )
