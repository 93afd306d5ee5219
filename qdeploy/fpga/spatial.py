# SPDX-License-Identifier: Apache-2.0
"""Hardware nodes of operators that move over images: borders, windows, pooling, upsampling."""

from __future__ import annotations

from math import prod

from qdeploy.fpga.graph_builder import Graph
from qdeploy.integer import Convolution, MaxPool, Pad, SumPool, Threshold, Upsample


def add_padding(
    graph: Graph,
    layer: str,
    x: str,
    pads: tuple[int, int, int, int],
    code: int,
    output: str = "",
) -> str:
    """`x` with a border of `code`; returns the tensor, `x` itself if there is no border."""
    if not any(pads) and not output:
        return x
    _, height, width, channels = graph.shapes[x]
    top, left, bottom, right = pads
    shape = (1, height + top + bottom, width + left + right, channels)
    padded = output or graph.tensor(f"{layer}_padded", shape, graph.types[x])
    graph.hardware(
        "FMPadding",
        layer,
        [x],
        [padded],
        "" if output else "_padding",
        ImgDim=(height, width),
        Padding=pads,
        NumChannels=channels,
        SIMD=1,
        inputDataType=graph.types[padded],
        pad_code=code,
    )
    return padded


def add_windows(
    graph: Graph,
    layer: str,
    x: str,
    kernel: tuple[int, ...],
    strides: tuple[int, int],
    dilations: tuple[int, int] = (1, 1),
    *,
    depthwise: bool = False,
) -> str:
    """The windows of `x`; returns their tensor [1, H, W, kernel · channels]."""
    _, height, width, channels = graph.shapes[x]
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [
        (size - extent) // stride + 1
        for size, extent, stride in zip((height, width), extents, strides, strict=True)
    ]
    shape = (1, *sizes, prod(kernel) * channels)
    windows = graph.tensor(f"{layer}_windows", shape, graph.types[x])
    graph.hardware(
        "ConvolutionInputGenerator",
        layer,
        [x],
        [windows],
        "_window",
        ConvKernelDim=kernel,
        IFMChannels=channels,
        IFMDim=(height, width),
        OFMDim=sizes,
        SIMD=1,
        # FINN refuses a stride beyond the frame; there is only one window then anyway.
        Stride=[min(pair) for pair in zip(strides, (height, width), strict=True)],
        Dilation=dilations,
        inputDataType=graph.types[x],
        outputDataType=graph.types[x],
        depthwise=int(depthwise),
    )
    return windows


def add_depthwise(
    graph: Graph,
    node: Convolution,
    weights: str,
    behind: Threshold | None,
    thresholds: str | None,
) -> None:
    """A convolution with one kernel [KH, KW] per channel.

    Args:
        graph: where it goes.
        node: the convolution.
        weights: constant [C, 1, KH, KW].
        behind: the threshold in the same unit, if any.
        thresholds: its constant [C or 1, T].
    """
    (x,) = graph.inputs(node)
    x = add_padding(graph, node.name, x, node.pads, node.pad_code)
    kernel = node.weights.shape[2:]
    windows = add_windows(graph, node.name, x, kernel, node.strides, node.dilations, depthwise=True)
    _, height, width, channels = graph.shapes[node.output]
    sums, output = graph.types[node.output], node.output if behind is None else behind.output
    graph.hardware(
        "VVAU",
        node.name,
        [windows, weights, *([thresholds] if thresholds else [])],
        [output],
        PE=1,
        SIMD=1,
        Dim=(height, width),
        Channels=channels,
        Kernel=kernel,
        resType="lut",
        mem_mode="internal_embedded",
        inputDataType=graph.types[windows],
        weightDataType=graph.types[weights],
        accDataType=sums,
        outputDataType=graph.types[output],
        noActivation=int(behind is None),
        ActVal=0 if behind is None else int(behind.base[0]),
        numSteps=0 if behind is None else behind.thresholds.shape[1],
    )
    if behind is not None:
        graph.forget(node.output)


def add_max_pool(graph: Graph, node: MaxPool) -> None:
    """Padding is the smallest code there is, so that it never wins."""
    (x,) = graph.inputs(node)
    smallest = graph.network.tensors[node.input].range.low
    x = add_padding(graph, node.name, x, node.pads, smallest)
    windows = add_windows(
        graph, node.name, x, node.kernel, node.strides, node.dilations, depthwise=True
    )
    _pool(graph, node, windows, "MaxPool")


def add_sum_pool(graph: Graph, node: SumPool) -> None:
    """Sums over windows; over whole frames without keeping them."""
    (x,) = graph.inputs(node)
    shape = graph.shapes[x]
    if node.kernel == shape[1:3] and not any(node.pads):
        graph.hardware(
            "GlobalAccPool",
            node.name,
            [x],
            [node.output],
            NumChannels=shape[-1],
            PE=1,
            inputDataType=graph.types[x],
            outputDataType=graph.types[node.output],
            numInputVectors=shape[:-1],
        )
        return
    x = add_padding(graph, node.name, x, node.pads, 0)
    windows = add_windows(graph, node.name, x, node.kernel, node.strides, depthwise=True)
    _pool(graph, node, windows, "AccPool")


def add_pad(graph: Graph, node: Pad) -> None:
    """A border as a layer of its own."""
    (x,) = graph.inputs(node)
    add_padding(graph, node.name, x, node.pads, node.pad_code, node.output)


def add_upsample(graph: Graph, node: Upsample) -> None:
    """Pixels and rows repeated."""
    (x,) = graph.inputs(node)
    _, height, width, channels = graph.shapes[x]
    graph.hardware(
        "UpsampleNearestNeighbour",
        node.name,
        [x],
        [node.output],
        SIMD=1,
        HI=height,
        WI=width,
        HO=height * node.factors[0],
        WO=width * node.factors[1],
        NumChannels=channels,
        inputDataType=graph.types[x],
    )


def _pool(graph: Graph, node: MaxPool | SumPool, windows: str, function: str) -> None:
    _, height, width, channels = graph.shapes[node.output]
    graph.hardware(
        "Pool",
        node.name,
        [windows],
        [node.output],
        Channels=channels,
        PE=1,
        KernelSize=node.kernel,
        Function=function,
        OutImgDims=(height, width),
        InputDataType=graph.types[windows],
        OutputDataType=graph.types[node.output],
    )
