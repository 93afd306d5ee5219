# SPDX-License-Identifier: Apache-2.0
"""Cost of the operators that move words."""

from __future__ import annotations

from collections.abc import Callable

from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.memories import block_memory, lut_rams, shift_luts, single_port_rams
from qdeploy.fpga.resources.terms import Parameters, Terms, clog2, integer

# fifo.v in style "auto": the deepest shift register. Memories of these operators: the least
# words and bits of a block RAM.
_DEEPEST_SHIFT, _BLOCK_WORDS, _BLOCK_BITS = 33, 256, 8192
# Yosys' price of a block RAM of 36 kbit in LUTs, where it may choose.
_RAMS_PER_BLOCK = 256


def fifo_memory(width: int, depth: int) -> int:
    """LUTs of the memory in a FIFO of style "auto"."""
    if depth == 2 or _in_block(width, depth):
        return 0
    if depth <= _DEEPEST_SHIFT:
        return shift_luts(width, depth)
    return lut_rams(width, 1 << clog2(depth))


def fifo(parameters: Parameters) -> Terms:
    """Parameters of fifo.v: WIDTH, DEPTH."""
    width, depth = integer(parameters, "WIDTH", "DEPTH")
    memory = depth > 2
    ring = depth > _DEEPEST_SHIFT
    block = _in_block(width, depth)
    return Terms(
        block_memory(width, 1 << clog2(depth), written=True)
        if block
        else Cost(fifo_memory(width, depth)),
        lut={
            "registers": not memory,
            "words of registers": 0 if memory else width,
            "memory": memory,
            "words of memory": width * (-(-depth // 64) - 1) if ring and not block else 0,
            "addresses": clog2(depth) * (3 if ring else 2) if memory else 0,
        },
        ff={
            "state": 2,
            "words": 0 if block else width if memory else 2 * width,
            "addresses": clog2(depth) * (3 if ring else 1) if memory else 0,
        },
    )


def width_converter(parameters: Parameters) -> Terms:
    """Parameters of width_converter.v: IN_WIDTH, OUT_WIDTH."""
    wide_in, wide_out = integer(parameters, "IN_WIDTH", "OUT_WIDTH")
    narrow = wide_in >= wide_out
    ratio = max(wide_in // wide_out, wide_out // wide_in)
    return Terms(
        lut={
            "narrowing": narrow,
            "widening": not narrow,
            "count": clog2(ratio + 1),
            "narrowed": wide_in - wide_out if narrow else 0,
        },
        ff={
            "narrowing": narrow,
            "widening": not narrow,
            "count": clog2(ratio + 1),
            "word": max(wide_in, wide_out),
        },
    )


def padding(parameters: Parameters) -> Terms:
    """Parameters of padding.v."""
    width, fold, height, image = integer(parameters, "WIDTH", "FOLD", "HEIGHT", "IMAGE_WIDTH")
    top, left, bottom, right = integer(parameters, "TOP", "LEFT", "BOTTOM", "RIGHT")
    counters = clog2(top + height + bottom + 1) + clog2((left + image + right) * fold + 1)
    return Terms(
        lut={"padding": 1, "counters": counters, "word": width},
        ff={"padding": 1, "counters": counters, "word": width},
    )


def sliding_window(parameters: Parameters) -> Terms:
    """Parameters of sliding_window.v."""
    width, fold, height, image = integer(parameters, "WIDTH", "FOLD", "HEIGHT", "IMAGE_WIDTH")
    kernel = integer(parameters, "KERNEL_HEIGHT", "KERNEL_WIDTH")
    stride = integer(parameters, "STRIDE_HEIGHT", "STRIDE_WIDTH")
    dilation = integer(parameters, "DILATION_HEIGHT", "DILATION_WIDTH")
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    windows = [
        (size - r) // s + 1 for size, r, s in zip((height, image), reach, stride, strict=True)
    ]
    columns = (windows[1] - 1) * stride[1] + reach[1]
    span = ((reach[0] - 1) * columns + reach[1]) * fold
    next_row = (stride[0] * columns - (windows[1] - 1) * stride[1]) * fold
    capacity = 1 << clog2(span + max(next_row, span))
    counters = sum(
        clog2(n + 1)
        for n in (height, image * fold, fold, kernel[0], kernel[1], windows[0], windows[1])
        if n > 1
    )
    block = _in_block(width, capacity)
    (whole_rows,) = integer(parameters, "WHOLE_ROWS")
    pixels = kernel[1] if whole_rows else 1
    memory = (
        block_memory(width, capacity, written=True) if block else Cost(lut_rams(width, capacity))
    )
    memory = Cost(*(pixels * amount for amount in memory))
    return Terms(
        memory,
        lut={
            "window": 1,
            "rows": height > 1,
            "addresses": pixels * clog2(capacity),
            # Where windows do not overlap, the one after a window begins where that ends.
            "steps back": clog2(capacity) if kernel > stride else 0,
            "counters": counters,
            "words of memory": 0 if block else pixels * width * ((capacity - 1) // 64),
        },
        ff={
            "window": 1,
            "addresses": clog2(capacity),
            "counters": counters,
            "word": 0 if block else pixels * width,
        },
    )


def stream_fork(parameters: Parameters) -> Terms:
    """Parameters of stream_fork.v: WIDTH, COPIES."""
    (copies,) = integer(parameters, "COPIES")
    return Terms(lut={"fork": 1, "copies": copies}, ff={"copies": copies})


def stream_concat(parameters: Parameters) -> Terms:
    """Parameters of stream_concat.v."""
    width, inputs, count = integer(parameters, "WIDTH", "INPUTS", "COUNT_BITS")
    return Terms(
        lut={
            "concat": 1,
            "inputs": inputs,
            "count": count,
            "words": width * -(-(2 * inputs - 1) // 5),
        },
        ff={"inputs": inputs, "count": count},
    )


def upsample(parameters: Parameters) -> Terms:
    """Parameters of upsample.v."""
    width, fold, image = integer(parameters, "WIDTH", "FOLD", "IMAGE_WIDTH")
    repeats = integer(parameters, "ROWS", "COLUMNS")
    depth = image * fold
    word = clog2(fold + 1) if fold > 1 else 0
    rams, blocks = single_port_rams(width, depth), block_memory(width, depth, written=True)
    block = rams >= _RAMS_PER_BLOCK * blocks.bram36
    return Terms(
        blocks if block else Cost(rams),
        lut={
            "upsample": 1,
            "addresses": clog2(depth),
            "pixels": clog2(depth) + word if fold > 1 else 0,
            "word": width,
        },
        ff={
            "upsample": 2,
            "addresses": clog2(depth) * (2 if fold > 1 else 1),
            "counters": word + sum(clog2(n + 1) for n in repeats),
            "word": width * (1 if block else 2),
        },
    )


def _in_block(width: int, depth: int) -> bool:
    return depth >= _BLOCK_WORDS and width * depth >= _BLOCK_BITS


STREAMS: dict[str, Callable[[Parameters], Terms]] = {
    "fifo": fifo,
    "padding": padding,
    "sliding_window": sliding_window,
    "stream_concat": stream_concat,
    "stream_fork": stream_fork,
    "upsample": upsample,
    "width_converter": width_converter,
}
