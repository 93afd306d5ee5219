# SPDX-License-Identifier: Apache-2.0
"""Cost of the operators that compute on elements."""

from __future__ import annotations

from collections.abc import Callable

from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.memories import dsps, shift_luts
from qdeploy.fpga.resources.terms import Parameters, Terms, address_bits, clog2, integer


def max_pool(parameters: Parameters) -> Terms:
    """Parameters of max_pool.v."""
    pe, bits, kernel = integer(parameters, "PE", "BITS", "KERNEL_WORDS")
    count = clog2(kernel + 1)
    # Up to four bits are compared in LUTs, more on a carry chain, which gives a clock enable.
    short = {1: 1, 2: 2, 3: 2, 4: 3}.get(bits, 0)
    return Terms(
        lut={
            "pool": 1,
            "count": count,
            "short elements": pe * short,
            "long elements": 0 if short else pe * (bits / 2 + 1),
        },
        ff={"pool": 2, "count": count, "word": pe * bits},
    )


def arg_max(parameters: Parameters) -> Terms:
    """Parameters of arg_max.v."""
    classes, pe, bits, index = integer(parameters, "CLASSES", "PE", "BITS", "INDEX_BITS")
    several = classes > pe  # words of a vector
    count = clog2(classes // pe + 1) if several else 0
    return Terms(
        lut={
            "class": 1,
            "count": count,
            "index": index * several,
            # The value of a vector's only word does not go on from its last match.
            "compared": bits * (pe - 1 + several),
            "selected": bits * max(0, pe - 2 + several),
            # These LUTs make the clock enable, too, and share nothing.
            "selected last": bits * several * (pe > 1),
        },
        ff={
            "class": 2,
            "bits": 2 * bits * several,
            "index": index * (1 + several),
            "count": count,
            "place": clog2(pe),
        },
    )


def threshold(parameters: Parameters) -> Terms:
    """Parameters of threshold.v; its memories are beside it."""
    channels, pe, bits = integer(parameters, "CHANNELS", "PE", "INPUT_BITS")
    steps, output_bits = integer(parameters, "STEPS", "OUTPUT_BITS")
    lut, ff = _search(pe, bits, steps, channels // pe, output_bits)
    return Terms(lut={"threshold": 1, **lut}, ff={"threshold": 1, **ff})


def _search(
    lanes: int, bits: int, steps: int, words: int, output_bits: int
) -> tuple[dict[str, float], dict[str, float]]:
    """LUTs and flip-flops of row_output.v with thresholds."""
    stages, word = steps.bit_length(), clog2(words)
    return (
        {"word": word, "comparators": lanes * stages * bits, "outputs": lanes * output_bits},
        {
            "stages": stages,
            "word": word * stages,
            "compared": lanes * stages * bits,
            "found": lanes * stages * (stages - 1) / 2,
            "outputs": lanes * output_bits,
        },
    )


def top_k(parameters: Parameters) -> Terms:
    """Parameters of top_k.v."""
    places, bits, index = integer(parameters, "K", "BITS", "INDEX_BITS")
    return Terms(
        lut={
            "top": 1,
            "index": index,
            "comparators": places * bits,
            "moved": (places - 1) * (bits + index),
        },
        ff={"top": 1, "filled": places - 1, "index": index, "places": places * (bits + index)},
    )


def stream_add(parameters: Parameters) -> Terms:
    """Parameters of stream_add.v."""
    inputs, pe, bits, output_bits = integer(parameters, "INPUTS", "PE", "INPUT_BITS", "OUTPUT_BITS")
    factor_bits, factors, signed = integer(
        parameters, "MULTIPLIER_BITS", "MULTIPLIERS", "INPUT_SIGNED"
    )
    each = [factors >> i * factor_bits & (1 << factor_bits) - 1 for i in range(inputs)]
    # A power of two costs nothing.
    multiplied = [value for value in each if value & (value - 1)]
    slices = dsps(bits + signed, factor_bits)
    absorbed = slices > 0 and len(multiplied) == inputs  # sums are made in the slices, too
    logic = 0 if slices else sum(bits + value.bit_length() for value in multiplied)
    plain = 0 if absorbed else bits * (inputs - len(multiplied))
    return Terms(
        Cost(dsp=pe * len(multiplied) * slices),
        lut={
            "add": 1,
            # The highest bit is the carry out of the chain.
            "sums": 0 if absorbed else pe * (inputs - 1) * (output_bits - 1),
            "products": pe * logic,
        },
        ff={
            "add": 1,
            "products": pe * (logic + plain),
            "signs": pe * signed * len(multiplied) if logic else 0,
            "sums": 0 if absorbed else pe * output_bits,
        },
    )


def sum_pool(parameters: Parameters) -> Terms:
    """Parameters of sum_pool.v."""
    pe, fold, pixels, output_bits = integer(parameters, "PE", "FOLD", "PIXELS", "OUTPUT_BITS")
    (signed,) = integer(parameters, "INPUT_SIGNED")
    counters = clog2(fold + 1) + clog2(pixels + 1)
    shifted = fold >= _SHORTEST_SHIFT
    return Terms(
        Cost(shift_luts(pe * output_bits, fold) if shifted else 0),
        lut={
            "pool": 1,
            "counters": counters,
            "sums": pe * output_bits,
            "signs": pe * output_bits if signed else 0,
        },
        ff={
            "pool": 1,
            "counters": counters,
            "sums": pe * output_bits,
            "kept": pe * output_bits * (1 if shifted else fold),
        },
    )


def element_scale(parameters: Parameters) -> Terms:
    """Parameters of element_scale.v; its memory is beside it."""
    simd, bits, flip = integer(parameters, "SIMD", "ELEMENT_BITS", "FLIP")
    scale_bits, scaled_bits = integer(parameters, "SCALE_BITS", "SCALED_BITS")
    slices, shorter = dsps(bits, scale_bits), min(bits, scale_bits)
    return Terms(
        Cost(dsp=simd * slices),
        lut={
            "flips": simd * flip if slices else 0,
            "selections": simd * scaled_bits if shorter == 1 else 0,
            "additions": 0 if slices else simd * (shorter - 1) * max(bits, scale_bits),
        },
        ff={"products": 0 if slices else simd * scaled_bits},
    )


def depthwise_unit(parameters: Parameters) -> Terms:
    """Parameters of depthwise_unit.v; its memories are beside it."""
    channels, pe, kernel, lanes = integer(parameters, "CHANNELS", "PE", "KERNEL_WORDS", "LANES")
    bits, weight_bits, sum_bits = integer(parameters, "INPUT_BITS", "WEIGHT_BITS", "SUM_BITS")
    steps, output_bits = integer(parameters, "STEPS", "OUTPUT_BITS")
    address = address_bits(channels // pe * kernel)
    multiplied = weight_bits > 2
    (signed,) = integer(parameters, "INPUT_SIGNED")
    slices = dsps(bits + 1 - signed, weight_bits) if multiplied else 0
    product = bits + 1 + (weight_bits if multiplied else 1)
    parts = pe // lanes
    # A slice adds up, too, if nothing compares its sums.
    taken = bits + product + (0 if steps else sum_bits)
    lut, ff = _search(lanes if steps else 0, sum_bits, steps, channels // lanes, output_bits)
    return Terms(
        Cost(dsp=pe * slices),
        lut={
            "unit": 1,
            "counters": address + clog2(kernel + 1),
            "sums": 0 if slices and not steps else pe * (sum_bits + bits + 1),
            "products": pe * bits * weight_bits if multiplied and not slices else 0,
            "serial": lanes * sum_bits * -(-parts // 4) if parts > 1 else 0,
            **lut,
        },
        ff={
            "unit": 1,
            "counters": address + clog2(kernel + 1),
            "channels": pe * (bits + product + sum_bits - (taken if slices else 0)),
            "serial": pe * sum_bits if parts > 1 else 0,
            **ff,
        },
    )


# Yosys makes a shift register of a LUT from this length on.
_SHORTEST_SHIFT = 3
ELEMENTS: dict[str, Callable[[Parameters], Terms]] = {
    "arg_max": arg_max,
    "depthwise_unit": depthwise_unit,
    "element_scale": element_scale,
    "max_pool": max_pool,
    "stream_add": stream_add,
    "sum_pool": sum_pool,
    "threshold": threshold,
    "top_k": top_k,
}
