# SPDX-License-Identifier: Apache-2.0
"""Flatten, Reshape, Transpose and friends, max pooling, and the choice of a class."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import ArgMax, Flatten, MaxPool
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, RealInput, Value
from qdeploy.lowering.walk import Walk, handles


@handles("Constant")
def constant(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Constant 1..21."""
    values = list(attributes(node).values())
    if len(values) != 1 or isinstance(values[0], (str, onnx.SparseTensorProto)):
        raise UserError(f"constant '{node.name}' is not a tensor", layer=layer_name(node))
    return Constant(np.asarray(values[0]))


@handles("Identity", "Dropout")
def identity(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Identity, and Dropout in inference."""
    return walk.value(node)


@handles("Shape")
def shape(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Shape, for one sample: the batch axis counts as 1."""
    value = walk.value(node)
    if isinstance(value, (Activation, RealInput)):
        return Constant(np.array((1, *value.shape), np.int64))
    return Constant(np.array(_array(value).shape, np.int64))


@handles("Gather")
def gather(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Gather 1..13 of a shape."""
    axis = attributes(node).get("axis", 0)
    return Constant(np.take(walk.array(node, 0), walk.array(node, 1).astype(np.int64), axis=axis))


@handles("Unsqueeze")
def unsqueeze(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Unsqueeze 1..13 of a constant."""
    axes = attributes(node).get("axes") or walk.array(node, 1).tolist()
    return Constant(np.expand_dims(walk.array(node, 0), tuple(axes)))


@handles("Concat")
def concat(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Concat 4..13 of constants, as in computed shapes."""
    parts = [np.atleast_1d(walk.array(node, index)) for index in range(len(node.input))]
    return Constant(np.concatenate(parts, axis=attributes(node)["axis"]))


@handles("Transpose")
def transpose(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Transpose 1..21 of weights."""
    value = walk.value(node)
    if isinstance(value, Constant):
        return Constant(value.array.transpose(attributes(node).get("perm")))
    if isinstance(value, QuantizedConstant):
        order = attributes(node).get("perm") or list(range(value.codes.ndim))[::-1]
        scale = value.scale.reshape(
            (1,) * (value.codes.ndim - value.scale.ndim) + value.scale.shape
        )
        return QuantizedConstant(value.codes.transpose(order), scale.transpose(order))
    raise UserError(
        f"Transpose (node '{node.name}') of an activation",
        layer=layer_name(node),
        remedy="only weights can be transposed; keep activations channels first",
    )


@handles("Flatten", "Reshape")
def flatten(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Flatten 1..21 and Reshape 5..21 that keep the batch axis and flatten the rest."""
    value = walk.value(node)
    if isinstance(value, Constant) and node.op_type == "Reshape":
        return Constant(value.array.reshape(walk.array(node, 1)))
    if isinstance(value, (Constant, QuantizedConstant)):
        raise UserError(f"{node.op_type} of weights (node '{node.name}')", layer=layer_name(node))
    elements = int(np.prod(value.shape))
    if node.op_type == "Flatten":
        target = [1, elements] if attributes(node).get("axis", 1) == 1 else [elements, 1]
    else:
        target = [int(size) for size in walk.array(node, 1).ravel()]
    if len(target) == 2 and target[0] in (0, 1, -1) and target[1] in (-1, elements):
        return _flattened(walk, node, value, elements)
    same = [size or old for size, old in zip(target, (1, *value.shape), strict=False)]
    if same[1:] == list(value.shape):
        return value
    raise UserError(
        f"{node.op_type} (node '{node.name}') from {('N', *value.shape)} to {target}",
        layer=layer_name(node),
        remedy="only flattening to [N, features] is supported",
    )


def _flattened(
    walk: Walk, node: onnx.NodeProto, value: Activation | RealInput, elements: int
) -> Value:
    if len(value.shape) == 1:
        return value
    if isinstance(value, RealInput):
        return replace(value, shape=(elements,))
    repeats = elements // value.shape[0]
    name = walk.unique(layer_name(node))
    flat = walk.add(
        Flatten(name=name, input=value.tensor, output=name, origin=(node.name,)),
        _per_element(value.scale, repeats),
    )
    return replace(flat, offset=_per_element(value.offset, repeats), relu=value.relu)


def _per_element(channels: tuple[Any, ...], repeats: int) -> tuple[Any, ...]:
    """One value per channel to one per element of the flattened tensor."""
    return channels if len(channels) == 1 else tuple(c for c in channels for _ in range(repeats))


@handles("MaxPool")
def max_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX MaxPool 1..22, two spatial axes: commutes with every rising function."""
    value = walk.value(node)
    pending = isinstance(value, Activation) and value.relu
    x = walk.with_positive_scale(
        value if isinstance(value, Activation) and pending else walk.activation(node)
    )
    given = attributes(node)
    kernel = tuple(given["kernel_shape"])
    strides = tuple(given.get("strides", (1,) * len(kernel)))
    plain = (
        not any(given.get("pads", ()))
        and set(given.get("dilations", (1,))) == {1}
        and not given.get("ceil_mode", 0)
        and given.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )
    if len(kernel) != 2 or not plain or min(x.scale) < 0:
        raise UserError(
            f"MaxPool (node '{node.name}') with kernel {kernel} and "
            + ("a negative scale before it" if plain else "padding, dilation or ceil mode"),
            layer=layer_name(node),
            remedy="use a 2-D max pool without padding, dilation and ceil_mode, after a quantizer",
        )
    name = walk.unique(layer_name(node))
    y = walk.add(
        MaxPool(
            name=name,
            input=x.tensor,
            output=name,
            origin=(node.name,),
            kernel=kernel,
            strides=strides,
        ),
        x.scale,
    )
    return replace(y, offset=x.offset, relu=x.relu)


@handles("ArgMax")
def arg_max(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ArgMax 1..13 over the features."""
    if attributes(node).get("axis", 0) not in (1, -1):
        raise UserError(f"ArgMax (node '{node.name}') over axis 0", layer=layer_name(node))
    return choose_class(walk, walk.activation(node), walk.unique(layer_name(node)))


def choose_class(walk: Walk, x: Activation, name: str) -> Activation:
    """Append the index of the largest value.

    Raises:
        UserError: if the real values are not ordered as the integers are.
    """
    x = walk.with_positive_scale(x)
    if len(set(x.scale)) != 1 or len(set(x.offset)) != 1 or x.scale[0] <= 0 or len(x.shape) != 1:
        raise UserError(
            "the class cannot be chosen among integers: the logits have different scales or "
            "offsets per class",
            layer=name,
            remedy="use one weight scale and no bias in the last layer, or ask for logits",
        )
    return walk.add(ArgMax(name=name, input=x.tensor, output=name), (Fraction(1),))


def _array(value: Value) -> NDArray[Any]:
    return value.array if isinstance(value, Constant) else np.empty(0)
