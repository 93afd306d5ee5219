# SPDX-License-Identifier: Apache-2.0
"""The forward walk: one visit per node, no fixed point.

Each operator type has one handler, found by name. A handler either says what became of its node or
raises a UserError that names the layer, the reason and the remedy; it never gives up silently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import (
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    Meaning,
    Node,
    OutputFunction,
    Reshape,
    Transpose,
)
from qdeploy.lowering.channels_last import channels_last
from qdeploy.lowering.constant_channels import without_constant_channels
from qdeploy.lowering.inputs import typed_input
from qdeploy.lowering.limits import limited
from qdeploy.lowering.mixing import MOVING, at_output, elementwise
from qdeploy.lowering.monotone import Channelwise, Clip
from qdeploy.lowering.source import CHANNELS_LAST_DOMAIN, MAXIMUM_ELEMENTS, Source, layer_name
from qdeploy.lowering.values import Activation, Constant, Mixed, QuantizedConstant, RealInput, Value
from qdeploy.lowering.weights import negated

Handler = Callable[["Walk", onnx.NodeProto], Value]
Pending = TypeVar("Pending", Activation, RealInput)
HANDLERS: dict[str, Handler] = {}

# What numpy and Python say to parameters that an operator cannot have. The file is untrusted, and
# its operators' schemas do not cover everything.
_MALFORMED = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)

QUANTIZER_REMEDY = "put a quantized activation (brevitas.nn.QuantReLU, QuantIdentity) before it"


def handles(*operators: str) -> Callable[[Handler], Handler]:
    """Register a handler for ONNX operator types."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(operators, handler))
        return handler

    return register


class Walk:
    """State of the walk: what each source tensor is, and the integer network so far.

    Args:
        source: the file.
        rescale_bits: allow branches to meet whose scales have no small rational ratio: the ratio
            is rounded to integers of so many bits. None refuses.
    """

    def __init__(self, source: Source, rescale_bits: int | None = None) -> None:
        self.source = source
        self.rescale_bits = rescale_bits
        self.notes: list[str] = []
        self.output_function: OutputFunction = ""
        self.builder = Builder()
        self.quantizer: InputQuantizer | None = None
        self.values: dict[str, Value] = {
            name: Constant(array) for name, array in source.constants.items()
        }
        self.values[source.input] = RealInput(source.input_shape)
        self._names: set[str] = set()

    def run(self) -> Activation:
        """Visit every node; return what the output is.

        Raises:
            UserError: if a node cannot be lowered.
        """
        for node in self.source.nodes:
            self.visit(node)
        return self.result()

    def result(self) -> Activation:
        """What the output is, once every node has been visited.

        Raises:
            UserError: if it is no integer tensor.
        """
        output = self.values[self.source.output]
        if not isinstance(output, Activation):
            raise UserError(
                "the network has no quantized layer",
                remedy="train it with qdeploy's or Brevitas' quantized layers",
            )
        if output.functions:
            raise UserError(
                "the network ends in an activation function without a quantizer",
                layer=layer_name(self.source.nodes[-1]),
                remedy="remove the last Relu (or Clip...) or quantize its output",
            )
        return output

    def visit(self, node: onnx.NodeProto) -> None:
        """Lower one node.

        Raises:
            UserError: if it cannot be lowered.
        """
        handler = HANDLERS.get(node.op_type)
        if handler is None:
            raise UserError(
                f"operator {node.op_type} (node '{node.name}') is not supported",
                layer=layer_name(node),
                remedy=f"supported are {', '.join(sorted(HANDLERS))}",
            )
        try:
            scattered = any(isinstance(self.values.get(name), Mixed) for name in node.input)
            if scattered and node.op_type not in MOVING:
                value = elementwise(self, node, handler)
            elif node.domain == CHANNELS_LAST_DOMAIN:
                value = channels_last(self, node, handler)
            else:
                value = handler(self, node)
        except _MALFORMED as error:
            raise UserError(
                f"{node.op_type} (node '{node.name}') is malformed: {error}",
                layer=layer_name(node),
                remedy="export the model again; if ONNX Runtime runs the file, please report this",
            ) from error
        if isinstance(value, Constant) and value.array.size > MAXIMUM_ELEMENTS:
            raise UserError(
                f"{node.op_type} (node '{node.name}') computes {value.array.size} constants",
                layer=layer_name(node),
                remedy="export the model again",
            )
        if isinstance(value, Mixed) and node.output[0] == self.source.output:
            value = at_output(self, value, f"{layer_name(node)}.moved")
        self.values[node.output[0]] = value

    def network(self, output: Activation) -> IntegerNetwork:
        """The finished integer network whose last tensor is `output`."""
        assert self.quantizer is not None
        meaning = Meaning(output.scale, output.offset, output.axis, output.block)
        self.builder.set_meaning(output.tensor, meaning)
        network = self.builder.network(
            name=self.source.name,
            quantizer=self.quantizer,
            input_name=self.source.input,
            output_name=self.source.output,
            output=output.tensor,
        )
        network = dataclasses.replace(
            network, output_function=self.output_function, notes=tuple(self.notes)
        )
        return without_constant_channels(network)

    def value(self, node: onnx.NodeProto, index: int = 0) -> Value:
        """What input `index` of `node` is.

        Raises:
            UserError: if the node has no such input.
        """
        if index >= len(node.input) or node.input[index] not in self.values:
            raise UserError(
                f"{node.op_type} (node '{node.name}') lacks input {index}",
                layer=layer_name(node),
                remedy="export the model again",
            )
        return self.values[node.input[index]]

    def activation(self, node: onnx.NodeProto, index: int = 0) -> Activation:
        """Input `index` as an integer activation without pending functions.

        Raises:
            UserError: if it is real or constant.
        """
        value = self.value(node, index)
        if isinstance(value, RealInput) and self.source.input_type is not None:
            value = typed_input(self, node, value, self.source.input_type)
        if isinstance(value, Activation):
            plain = limited(self, node, value) if value.functions else value
            if plain is not None:
                return plain
        if isinstance(value, RealInput):
            raise UserError(
                f"{node.op_type} (node '{node.name}') would stay a float layer: its input is the "
                "network's real input",
                layer=layer_name(node),
                remedy="if the input holds pixels or fixed-point numbers, say so with --input-type "
                f"(uint8/255, fixed<16,6>...); else {QUANTIZER_REMEDY}",
            )
        what = {
            Constant: "its input is a constant",
            QuantizedConstant: "its input is a quantized constant",
            Activation: "its input comes from a Relu, Clip or LeakyRelu without a quantizer",
        }[type(value)]
        raise UserError(
            f"{node.op_type} (node '{node.name}') would stay a float layer: {what}",
            layer=layer_name(node),
            remedy=QUANTIZER_REMEDY,
        )

    def pending(self, x: Pending, function: Channelwise) -> Pending:
        """`x` with one more function for the next quantizer; a limit beyond its values is none."""
        limit, *others = function
        if isinstance(x, Activation) and not x.functions and not others and isinstance(limit, Clip):
            ends = self.builder.tensors[x.tensor].range
            if all(map(limit.keeps, x.real(ends.low) + x.real(ends.high))):
                return x
        return dataclasses.replace(x, functions=(*x.functions, function))

    def array(self, node: onnx.NodeProto, index: int) -> NDArray[Any]:
        """Input `index` as a plain constant array.

        Raises:
            UserError: if it is computed from the network's input.
        """
        value = self.value(node, index)
        if not isinstance(value, Constant):
            raise UserError(
                f"input {index} of {node.op_type} (node '{node.name}') is not a plain constant",
                layer=layer_name(node),
                remedy="export the model in eval mode with constant parameters",
            )
        return value.array

    def unique(self, name: str) -> str:
        """`name`, or `name_2` and so on if it is taken (a module may be called twice)."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def add(self, operator: Node, scale: tuple[Fraction, ...]) -> Activation:
        """Append an integer operator whose output means scale · integer."""
        tensor = self.builder.add(operator, Meaning(scale))
        return Activation(tensor.name, tensor.shape, scale)

    def with_positive_scale(self, value: Activation, wider: bool = False) -> Activation:
        """Move negative channel scales into the weights that produce the channel, if possible.

        -s · (W x) = s · ((-W) x), and binary, ternary and narrow codes are closed under negation;
        others may take a bit more where `wider`. The integer tensor must have no other reader, or
        that one would see other signs.
        """
        negative = [scale < 0 for scale in value.scale]
        if not any(negative) or value.axis:
            return value
        producer = self.builder.producer(value.tensor)
        if not isinstance(producer, (Convolution, Linear)) or self._readers(value.tensor) > 1:
            return value
        marked = np.broadcast_to(np.array(negative), (producer.weights.shape[0],))
        weights = negated(producer.weights, marked, wider)
        if weights is None:
            return value
        own = self.builder.tensors[value.tensor].meaning.scale
        turned = tuple(
            -own[c % len(own)] if marked[c] else own[c % len(own)] for c in range(len(marked))
        )
        self.builder.replace(
            value.tensor, dataclasses.replace(producer, weights=weights), Meaning(turned)
        )
        return dataclasses.replace(value, scale=tuple(abs(s) for s in value.scale))

    def _readers(self, tensor: str) -> int:
        """How many readers the source tensors have that hold `tensor`, moved or not."""
        readers = [0]
        for name, value in self.values.items():
            x = value.source if isinstance(value, Mixed) else value
            if isinstance(x, Activation) and self._unmoved(x.tensor) == tensor:
                readers.append(self.source.uses[name])
        return max(readers)

    def _unmoved(self, tensor: str) -> str:
        """Where the integers of `tensor` come from, before they were moved."""
        while isinstance(node := self.builder.producer(tensor), (Flatten, Reshape, Transpose)):
            tensor = node.input
        return tensor
