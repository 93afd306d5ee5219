# SPDX-License-Identifier: Apache-2.0
"""Random parameters of the operators of hw/rtl, in the ranges that real networks have."""

import random
from collections.abc import Callable

import numpy as np

from qdeploy.fpga.matrix_vector import Matrix, Outputs
from qdeploy.fpga.matrix_vector.module import Unit
from qdeploy.fpga.solver.units import divisors
from qdeploy.integer import ValueRange


def _unit(rng: random.Random) -> Unit:
    numpy_rng = np.random.default_rng(rng.getrandbits(32))
    kind = rng.choice(["xnor", "binary", "binary", "ternary", "ternary", "integer"])
    bits = 1 if kind == "xnor" else rng.choice([1, 2, 2, 3, 4, 8])
    constant = rng.random() < 0.25
    channels, kernel = rng.choice([8, 16, 32, 64, 128]), 1 if constant else rng.choice([1, 1, 9])
    # Yosys takes minutes to read the contents of larger memories, and for larger trees.
    limit = 4_000 if constant else 20_000
    height = rng.choice([h for h in (10, 16, 32, 64, 128, 256) if h * channels * kernel <= limit])
    scaled = not constant and kind != "xnor" and rng.random() < 0.4
    planes = rng.choice([1, 1, 2]) if scaled else 1
    products = "dsp" if kind == "integer" and rng.random() < 0.5 else "lut"
    limit = 1 << rng.choice([2, 3, 7] if products == "dsp" else [1, 2, 3])
    choices = {"ternary": [-1, 0, 1], "integer": list(range(-limit, limit))}.get(kind, [-1, 1])
    width = channels * kernel
    codes = numpy_rng.choice(choices, (planes, height, width))
    multipliers = element_scales = None
    if scaled and rng.random() < 0.3:
        element_scales = numpy_rng.integers(1, 1 << rng.choice([2, 4, 8]), (planes, kernel))
    elif scaled:
        rows = rng.choice([1, 1, height])
        multipliers = numpy_rng.integers(1, 1 << rng.choice([4, 8]), (planes, rows, kernel))
    group = width if multipliers is None else channels
    simd = rng.choice([d for d in divisors(group) if d <= 64 and d * 32 >= min(width, 256)])
    pe = rng.choice([d for d in divisors(height) if d * simd <= 1024 and d <= 32])
    if constant:
        simd, pe = width, height
    shared = multipliers is not None and rng.random() < 0.5
    words = (group if shared else planes * width) // simd
    lanes = next(d for d in divisors(pe) if pe // d <= words)
    signed = kind != "xnor" and bits > 1 and rng.random() < 0.3
    elements = ValueRange(-(1 << bits - 1), (1 << bits - 1) - 1)
    if not signed:
        elements = ValueRange(0, (1 << bits) - 1)
    matrix = Matrix(
        codes,
        multipliers,
        ValueRange(-1, 1) if kind == "xnor" else elements,
        bipolar=kind == "xnor",
        element_scales=element_scales,
    )
    steps = rng.choice([1, 1, 3, 3, 7, 15, 0])
    if steps:
        reach = int(abs(codes).sum(-1).max()) << bits
        spread = numpy_rng.integers(-reach, reach, (height, steps)) // 4
        outputs = Outputs(np.sort(spread, axis=1), 0, steps.bit_length())
    else:
        outputs = Outputs(None, 0, rng.choice([12, 16, 20]))
    style = rng.choice(["block", "block", "distributed"])
    words_total = planes * (width // simd) * (height // pe)
    if pe * simd * words_total > 40_000:
        style = "block"
    if words_total < 8:  # of which Yosys takes many columns apart
        style = "distributed"
    if constant:
        style = "constant"
        products = "lut"
    return Unit(matrix, outputs, simd, pe, lanes, style, shared, products)


def _fifo(rng: random.Random) -> dict[str, int]:
    depth = rng.choice([2, 2, 2, 4, 9, 16, 32, 50, 64, 128, 512, 1024, 2048])
    return {"WIDTH": rng.choice([1, 2, 4, 8, 16, 24, 32, 64, 100, 128]), "DEPTH": depth}


def _width_converter(rng: random.Random) -> dict[str, int]:
    narrow = rng.choice([1, 2, 4, 6, 8, 12, 16, 32])
    widths = [narrow, narrow * rng.choice([2, 3, 4, 5, 8, 16])]
    rng.shuffle(widths)
    return {"IN_WIDTH": widths[0], "OUT_WIDTH": widths[1]}


def _image(rng: random.Random) -> dict[str, int]:
    return {
        "WIDTH": rng.choice([1, 2, 4, 8, 16, 32, 64, 128]),
        "FOLD": rng.choice([1, 1, 2, 4, 8, 16]),
        "HEIGHT": rng.choice([5, 8, 12, 14, 16, 28, 30, 32]),
        "IMAGE_WIDTH": rng.choice([5, 8, 12, 14, 16, 28, 30, 32]),
    }


def _padding(rng: random.Random) -> dict[str, int]:
    border = rng.choice([1, 1, 2])
    return _image(rng) | dict.fromkeys(("TOP", "LEFT", "BOTTOM", "RIGHT"), border)


def _sliding_window(rng: random.Random) -> dict[str, int]:
    kernel, stride = rng.choice([(3, 1), (3, 1), (3, 2), (2, 2), (5, 1)])
    image, whole_rows, signal = _image(rng), rng.random() < 0.3, rng.random() < 0.2
    if whole_rows:
        image["FOLD"] = 1
    if signal:
        image |= {"HEIGHT": 1, "IMAGE_WIDTH": rng.choice([34, 64, 128, 130])}
    return image | {
        "KERNEL_HEIGHT": 1 if signal else kernel,
        "KERNEL_WIDTH": kernel,
        "STRIDE_HEIGHT": 1 if signal else stride,
        "STRIDE_WIDTH": stride,
        "DILATION_HEIGHT": 1,
        "DILATION_WIDTH": 1,
        "DEPTHWISE": 0 if whole_rows else rng.choice([0, 1]),
        "WHOLE_ROWS": int(whole_rows),
    }


def _max_pool(rng: random.Random) -> dict[str, int]:
    return {
        "PE": rng.choice([1, 2, 4, 8, 16, 32, 64]),
        "BITS": rng.choice([1, 2, 2, 3, 4, 8]),
        "SIGNED": rng.choice([0, 1]),
        "KERNEL_WORDS": rng.choice([2, 3, 4, 4, 9]),
    }


def _arg_max(rng: random.Random) -> dict[str, int]:
    classes = rng.choice([4, 10, 12, 100])
    return {
        "CLASSES": classes,
        "PE": rng.choice([d for d in divisors(classes) if d <= 10]),
        "BITS": rng.choice([6, 8, 10, 12, 16, 20]),
        "SIGNED": rng.choice([0, 1]),
        "INDEX_BITS": 8,
    }


def _threshold(rng: random.Random) -> dict[str, int]:
    channels, steps = rng.choice([1, 3, 8, 16, 64]), rng.choice([1, 3, 3, 7, 15, 255])
    return {
        "CHANNELS": channels,
        "PE": rng.choice([d for d in divisors(channels) if d <= 16]),
        "INPUT_BITS": rng.choice([4, 8, 12, 16]),
        "INPUT_SIGNED": rng.choice([0, 1]),
        "STEPS": steps,
        "OUTPUT_BITS": steps.bit_length(),
        "BASE": 0,
    }


def _stream_fork(rng: random.Random) -> dict[str, int]:
    return {"WIDTH": rng.choice([2, 8, 32, 64]), "COPIES": rng.choice([2, 2, 3, 4, 5, 6, 8])}


def _stream_concat(rng: random.Random) -> dict[str, int]:
    inputs, bits = rng.choice([2, 2, 3, 4]), rng.choice([2, 4, 5])
    words = sum(rng.randrange(1, 1 << bits) << i * bits for i in range(inputs))
    width = rng.choice([2, 4, 8, 16, 32, 64])
    return {"WIDTH": width, "INPUTS": inputs, "COUNT_BITS": bits, "WORDS": words}


def _upsample(rng: random.Random) -> dict[str, int]:
    image = _image(rng)
    del image["HEIGHT"]
    return image | dict.fromkeys(("ROWS", "COLUMNS"), rng.choice([2, 2, 3]))


def _top_k(rng: random.Random) -> dict[str, int]:
    return {
        "CLASSES": rng.choice([10, 100, 1000]),
        "K": rng.choice([1, 2, 3, 5, 5]),
        "BITS": rng.choice([6, 8, 12, 16, 20]),
        "SIGNED": rng.choice([0, 1]),
        "INDEX_BITS": rng.choice([10, 16]),
    }


def _stream_add(rng: random.Random) -> dict[str, int]:
    bits, weighted = rng.choice([2, 2, 4, 8]), rng.random() < 0.4
    return {
        "INPUTS": 2,
        "PE": rng.choice([1, 2, 4, 8, 16, 32]),
        "INPUT_BITS": bits,
        "INPUT_SIGNED": rng.choice([0, 1]),
        "MULTIPLIER_BITS": 4 if weighted else 2,
        "MULTIPLIERS": 0b0101_0011 if weighted else 0b0101,
        "OUTPUT_BITS": bits + (4 if weighted else 1),
    }


def _sum_pool(rng: random.Random) -> dict[str, int]:
    bits, pixels = rng.choice([2, 2, 4, 8]), rng.choice([4, 16, 49, 64])
    return {
        "PE": rng.choice([1, 2, 4, 8, 16]),
        "INPUT_BITS": bits,
        "INPUT_SIGNED": rng.choice([0, 1]),
        "PIXELS": pixels,
        "FOLD": rng.choice([1, 1, 2, 4, 8, 32]),
        "OUTPUT_BITS": bits + (pixels - 1).bit_length(),
    }


def _depthwise_unit(rng: random.Random) -> dict[str, int]:
    channels, bits, weight_bits = (
        rng.choice([16, 32, 64]),
        rng.choice([2, 4, 8]),
        rng.choice([1, 2, 2, 3, 4, 8]),
    )
    pe = rng.choice([d for d in divisors(channels) if d <= 16])
    kernel, steps = rng.choice([9, 9, 25]), rng.choice([0, 1, 3, 3, 15])
    return {
        "CHANNELS": channels,
        "PE": pe,
        "KERNEL_WORDS": kernel,
        "INPUT_BITS": bits,
        "INPUT_SIGNED": rng.choice([0, 1]),
        "BIPOLAR": 0,
        "WEIGHT_BITS": weight_bits,
        "SUM_BITS": bits + weight_bits + 5,
        "STEPS": steps,
        "LANES": next(d for d in divisors(pe) if pe // d <= kernel) if steps else pe,
        "OUTPUT_BITS": steps.bit_length() if steps else bits + weight_bits + 5,
        "BASE": 0,
    }


def _element_scale(rng: random.Random) -> dict[str, int]:
    bits, scale_bits = rng.choice([1, 1, 2, 2, 3, 4, 8]), rng.choice([2, 3, 4, 6, 8, 10])
    simd = rng.choice([2, 4, 8, 16])
    largest = ((1 << bits) - 1) * ((1 << scale_bits) - 1)
    return {
        "SIMD": simd,
        "ELEMENT_BITS": bits,
        "FLIP": int(bits > 1 and rng.random() < 0.3),
        "SHARE": rng.choice([1, simd, simd]),
        "SCALE_BITS": scale_bits,
        "SCALED_BITS": largest.bit_length(),
    }


SAMPLERS: dict[str, Callable[[random.Random], Unit | dict[str, int]]] = {
    "matrix_vector_unit": _unit,
    "fifo": _fifo,
    "width_converter": _width_converter,
    "padding": _padding,
    "sliding_window": _sliding_window,
    "max_pool": _max_pool,
    "arg_max": _arg_max,
    "threshold": _threshold,
    "stream_fork": _stream_fork,
    "stream_concat": _stream_concat,
    "stream_add": _stream_add,
    "upsample": _upsample,
    "sum_pool": _sum_pool,
    "depthwise_unit": _depthwise_unit,
    "top_k": _top_k,
    "element_scale": _element_scale,
}
