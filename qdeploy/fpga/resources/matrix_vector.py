# SPDX-License-Identifier: Apache-2.0
"""Cost of the matrix-vector unit: dot products counted exactly, the rest from its sizes."""

from __future__ import annotations

from qdeploy.fpga.compressors.dot_products import KINDS, Shape, Size
from qdeploy.fpga.compressors.sliced_products import Products, size
from qdeploy.fpga.memory import MemoryStyle
from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.memories import constants, dsps, lut_rams
from qdeploy.fpga.resources.streams import fifo_memory
from qdeploy.fpga.resources.terms import Parameters, Terms, clog2, integer


def matrix_vector_unit(parameters: Parameters) -> Terms:
    """Parameters as `qdeploy.fpga.matrix_vector.module.Unit.parameters` gives them."""
    p = parameters
    mw, mh, simd, pe, planes, lanes = integer(p, "MW", "MH", "SIMD", "PE", "PLANES", "LANES")
    element_bits, weight_width = integer(p, "ELEMENT_BITS", "WEIGHT_WIDTH")
    sum_bits, total_bits, output_bits = integer(p, "SUM_BITS", "TOTAL_BITS", "OUTPUT_BITS")
    groups, scale_bits, per_row, steps = integer(p, "GROUPS", "MULTIPLIER_BITS", "PER_ROW", "STEPS")
    core = _products(p)
    words, blocks, serial = mw // simd, mh // pe, pe // lanes
    stages = steps.bit_length()
    multiplied = integer(p, "SCALE_LANES")[0] if scale_bits else 0
    slices = dsps(sum_bits, scale_bits)
    ring = max(5, clog2(words + 1)) if blocks * planes > 1 else 0
    # Rows wait for their turn behind the multipliers if each has one, else in front of them.
    held = 0 if serial == 1 else total_bits if multiplied == pe else sum_bits
    way = core.latency + max(1, stages) + serial + (10 if scale_bits else 7)
    queue = fifo_memory(lanes * output_bits, max(2, -(-way // (words * planes))) * serial)

    counted = Cost(pe * core.luts + core.shared_luts, pe * core.registers + core.shared_registers)
    counted = counted.plus(Cost(queue, dsp=core.slices + multiplied * slices))
    counted = counted.plus(constants(weight_width, words * planes * blocks, _style(p["WEIGHTS"])))
    if ring:
        counted = counted.plus(Cost(lut_rams(simd * element_bits, 1 << ring)))
    if scale_bits and per_row:
        turns = blocks * groups * pe // multiplied
        counted = counted.plus(constants(scale_bits * multiplied, turns))
    elif scale_bits:
        counted = counted.plus(constants(scale_bits, groups))
    for stage in range(stages):
        one = constants(total_bits, mh // lanes << stage)
        counted = counted.plus(Cost(*(lanes * amount for amount in one)))
    if not steps:
        counted = counted.plus(constants(lanes * output_bits, mh // lanes))
    # Trees of constant weights count the registers of their elements, too.
    constant = p["WEIGHTS"] == "constant"
    element_registers = 0 if constant else simd * element_bits
    if "SCALED_BITS" in p:
        share, factor_bits, flip = integer(p, "SHARE", "SCALE_BITS", "FLIP")
        if dsps(element_bits, factor_bits) and not flip:
            element_registers = 0  # those of the slices
        counted = counted.plus(constants(factor_bits * simd // share, words * planes))
        # The address of the weights waits for the scaled elements.
        counted = counted.plus(Cost(ff=clog2(words * planes * blocks)))
    counters = clog2(words) + clog2(planes) + clog2(blocks) + clog2(words * planes * blocks)
    rows = clog2(mh // lanes)
    return Terms(
        counted,
        lut={
            "unit": 1,
            "counters": counters + rows + (clog2(groups) + 1 if scale_bits else 0),
            "ring": ring,
            "data": lanes * held * -(-serial // 4)
            + multiplied * total_bits
            + (0 if slices else multiplied * sum_bits * scale_bits / 2)
            + lanes * stages * total_bits / 2
            + (0 if steps else lanes * output_bits),
            "ring words": simd * element_bits * (((1 << ring) - 1) // 64),
        },
        ff={
            "unit": 1,
            "counters": counters,
            "ring": ring,
            "elements": element_registers,
            "stages": core.latency,
            "held": pe * held,
            "scales": clog2(groups) + 1 if scale_bits else 0,
            "operands": multiplied * sum_bits,
            "totals": total_bits * pe if scale_bits else 0,
            "rows": rows * max(1, stages),
            "x": 0 if constant else lanes * max(1, stages) * total_bits,
            "x behind constants": lanes * stages * total_bits if constant else 0,
            "sums behind constants": lanes * output_bits if constant and not steps else 0,
            "outputs": lanes * output_bits,
        },
    )


def _products(parameters: Parameters) -> Size:
    if parameters["WEIGHTS"] != "constant":
        products: Products = "dsp" if parameters.get("PRODUCTS") == "dsp" else "lut"
        return size(dot_products(parameters), int(parameters["PE"]), products)
    luts, registers, latency = integer(parameters, "PRODUCT_LUTS", "PRODUCT_REGISTERS", "LATENCY")
    return Size(0, 0, luts, registers, latency)


def _style(parameter: int | str) -> MemoryStyle:
    return "block" if parameter == "block" else "auto" if parameter == "auto" else "distributed"


def dot_products(parameters: Parameters) -> Shape:
    """The shape of the dot products; to count a new one takes milliseconds."""
    scaled = "SCALED_BITS" in parameters  # then unsigned
    kind, flip, simd, element_bits, weight_bits, sum_bits = integer(
        parameters,
        *("KIND", "FLIP", "SIMD"),
        "SCALED_BITS" if scaled else "ELEMENT_BITS",
        *("WEIGHT_BITS", "SUM_BITS"),
    )
    narrow = bool(parameters.get("NARROW"))
    signed = bool(flip) and not scaled
    return Shape(KINDS[kind], simd, element_bits, signed, weight_bits, sum_bits, narrow)
