# SPDX-License-Identifier: Apache-2.0
"""The integer network as a QONNX graph in FINN's streamlined form, channels last.

A matrix product is MatMul (columns in the order kernel row, kernel column, channel), an activation
is MultiThreshold, a classification TopK: these FINN converts. What else there is are hardware nodes
already. Every tensor is float32 holding integers of an annotated type and keeps its name; the batch
axis has length 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from qdeploy.fpga.graph_builder import QONNX_OPERATORS, Graph, data_type
from qdeploy.fpga.scales import ScaledColumns, expanded
from qdeploy.fpga.spatial import (
    add_depthwise,
    add_max_pool,
    add_pad,
    add_padding,
    add_sum_pool,
    add_upsample,
    add_windows,
)
from qdeploy.integer import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    MaxPool,
    Node,
    Pad,
    SumPool,
    Threshold,
    Upsample,
    ValueRange,
)
from qdeploy.integer.weights import signed_bits


def streamlined_graph(
    network: IntegerNetwork, columns: Mapping[str, ScaledColumns]
) -> ModelWrapper:
    """The graph of a network without obstacles whose thresholds have unit steps.

    Args:
        network: the network.
        columns: the weights of its layers, by name.
    """
    graph = Graph(network)
    graph.fork(network.nodes[0].name, network.input)
    absorbed = _absorbed_thresholds(network)
    for node in network.nodes:
        if isinstance(node, Convolution) and is_depthwise(node):
            _depthwise(graph, node, columns[node.name], absorbed.get(node.output))
        elif node not in absorbed.values():
            _add(graph, node, columns)
        graph.fork(node.name, node.output)
    return graph.model()


def channels_last(values: Integers) -> Integers:
    """[N, C, H, W] to [N, H, W, C] and [N, C, L] to [N, L, C]; [N, C] stays."""
    return np.moveaxis(values, 1, -1)


def flattened_order(shape: tuple[int, ...]) -> Integers:
    """Where the network (order c, h, w) has each element of a [C, H, W] that hardware flattens.

    Hardware order is h, w, c.
    """
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(1, 2, 0).ravel()


def accumulator_type(values: ValueRange) -> str:
    """FINN's name of the smallest signed type: accumulators are two's complement."""
    return f"INT{signed_bits(values.low, values.high)}"


def is_depthwise(node: Node) -> bool:
    """One kernel per channel; other groups become one group with zeros in between."""
    if not isinstance(node, Convolution):
        return False
    return node.weights.shape[:2] == (node.groups, 1) and node.groups > 1


def _absorbed_thresholds(network: IntegerNetwork) -> dict[str, Threshold]:
    """Thresholds inside the unit of a depthwise convolution, by the tensor that they alone read.

    (Those behind other convolutions FINN finds.)
    """
    depthwise = {node.output for node in network.nodes if is_depthwise(node)}
    readers = Counter(name for node in network.nodes for name in node.inputs)
    return {
        node.input: node
        for node in network.nodes
        if isinstance(node, Threshold) and node.input in depthwise and readers[node.input] == 1
    }


def _add(graph: Graph, node: Node, columns: Mapping[str, ScaledColumns]) -> None:
    if isinstance(node, (Convolution, Linear)):
        _matrix(graph, node, columns[node.name])
    elif isinstance(node, Threshold):
        _threshold(graph, node)
    elif isinstance(node, MaxPool):
        add_max_pool(graph, node)
    elif isinstance(node, SumPool):
        add_sum_pool(graph, node)
    elif isinstance(node, Pad):
        add_pad(graph, node)
    elif isinstance(node, Upsample):
        add_upsample(graph, node)
    elif isinstance(node, Add):
        _sum(graph, node)
    elif isinstance(node, Concat):
        _concat(graph, node)
    elif isinstance(node, Flatten):
        graph.insert("Flatten", node.name, graph.inputs(node), [node.output], axis=1)
    else:
        assert isinstance(node, ArgMax)
        _arg_max(graph, node)


def _matrix(graph: Graph, node: Convolution | Linear, columns: ScaledColumns) -> None:
    matrix = expanded(columns)
    kind = weight_type(matrix)
    graph.types[node.output] = accumulator_type(graph.network.tensors[node.output].range)
    (x,) = graph.inputs(node)
    if isinstance(node, Convolution) and not _pointwise(node):
        x = add_padding(graph, node.name, x, node.pads, node.pad_code)
        kernel = node.weights.shape[2:]
        x = add_windows(graph, node.name, x, kernel, node.strides, node.dilations)
    weights = graph.constant(f"{node.name}_weights", matrix.T, kind)
    graph.insert("MatMul", node.name, [x, weights], [node.output])


def _depthwise(
    graph: Graph, node: Convolution, columns: ScaledColumns, behind: Threshold | None
) -> None:
    matrix = expanded(columns)
    weights = graph.constant(
        f"{node.name}_weights", matrix.reshape(node.weights.shape), weight_type(matrix)
    )
    graph.types[node.output] = accumulator_type(graph.network.tensors[node.output].range)
    thresholds = None
    if behind is not None:
        graph.types[node.output] = accumulator_type(_limits(graph, node.output))
        thresholds = _thresholds(graph, behind)
    add_depthwise(graph, node, weights, behind, thresholds)


def _limits(graph: Graph, name: str) -> ValueRange:
    """The values of a tensor and one beyond, which as a threshold means "never"."""
    values = graph.network.tensors[name].range
    return ValueRange(values.low, values.high + 1)


def _thresholds(graph: Graph, node: Threshold) -> str:
    limits = _limits(graph, node.input)
    # The type must hold "never", or it would become "always".
    clipped = np.clip(node.thresholds, limits.low, limits.high)
    signed = graph.types[node.input].startswith("INT")
    type_name = accumulator_type(limits) if signed else data_type(limits)
    return graph.constant(f"{node.name}_thresholds", clipped, type_name)


def _threshold(graph: Graph, node: Threshold) -> None:
    x = graph.network.tensors[node.input]
    bipolar = graph.types[node.output] == "BIPOLAR"
    graph.insert(
        "MultiThreshold",
        node.name,
        [*graph.inputs(node), _thresholds(graph, node)],
        [node.output],
        domain=QONNX_OPERATORS,
        out_dtype=graph.types[node.output],
        out_scale=2.0 if bipolar else 1.0,
        out_bias=float(node.base[0]),
        data_layout="NHWC" if len(x.shape) == 3 else "NC",
    )


def _sum(graph: Graph, node: Add) -> None:
    inputs, shape = graph.inputs(node), graph.shapes[node.output]
    graph.hardware(
        "WeightedAdd",
        node.name,
        inputs,
        [node.output],
        NumChannels=shape[-1],
        PE=1,
        inputDataTypes=[graph.types[x] for x in inputs],
        outputDataType=graph.types[node.output],
        numInputVectors=shape[:-1],
        multipliers=node.multipliers,
    )


def _concat(graph: Graph, node: Concat) -> None:
    inputs = graph.inputs(node)
    graph.hardware(
        "StreamingConcat",
        node.name,
        inputs,
        [node.output],
        SIMD=1,
        ChannelsPerStream=[graph.shapes[x][-1] for x in inputs],
        inputDataTypes=[graph.types[x] for x in inputs],
        numInputVectors=graph.shapes[node.output][:-1],
    )


def _arg_max(graph: Graph, node: ArgMax) -> None:
    count, largest = f"{node.name}_k", f"{node.name}_values"
    graph.constants[count] = np.array([node.count])
    graph.tensor(largest, (1, node.count), graph.types[node.input])
    inputs = [*graph.inputs(node), count]
    graph.insert("TopK", node.name, inputs, [largest, node.output], axis=-1, largest=1)


def _pointwise(node: Convolution) -> bool:
    """A 1x1 convolution sees single pixels; no windows are needed."""
    return node.weights.shape[2:] == (1, 1) and node.strides == (1, 1) and not any(node.pads)


def weight_type(weights: Integers) -> str:
    """FINN's name of the smallest type for weights."""
    if (np.abs(weights) == 1).all():
        return "BIPOLAR"
    if (np.abs(weights) <= 1).all():
        return "TERNARY"
    return f"INT{signed_bits(int(weights.min()), int(weights.max()))}"
