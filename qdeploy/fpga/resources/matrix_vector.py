# SPDX-License-Identifier: Apache-2.0
"""Cost of the matrix-vector unit: dot products counted exactly, the rest from its sizes."""

from __future__ import annotations

from qdeploy.fpga.compressors.dot_products import KINDS, Shape, Size
from qdeploy.fpga.compressors.netlist import SHORTEST_SHIFT
from qdeploy.fpga.compressors.sliced_products import Products, size
from qdeploy.fpga.memory import MemoryStyle
from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.memories import constants, dsps, lut_rams
from qdeploy.fpga.resources.streams import fifo_memory
from qdeploy.fpga.resources.terms import Parameters, Terms, clog2, integer

_DISTINCT = 10  # words of a memory whose columns hardly ever are equal


def matrix_vector_unit(parameters: Parameters) -> Terms:
    """Parameters as `qdeploy.fpga.matrix_vector.module.Unit.parameters` gives them."""
    p = parameters
    mw, mh, simd, pe, planes, lanes = integer(p, "MW", "MH", "SIMD", "PE", "PLANES", "LANES")
    element_bits, weight_width = integer(p, "ELEMENT_BITS", "WEIGHT_WIDTH")
    sum_bits, total_bits, output_bits = integer(p, "SUM_BITS", "TOTAL_BITS", "OUTPUT_BITS")
    groups, scale_bits, per_row, steps = integer(p, "GROUPS", "MULTIPLIER_BITS", "PER_ROW", "STEPS")
    words, blocks, serial = mw // simd, mh // pe, pe // lanes
    depth = words * planes * blocks
    core = _products(p, depth)
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
    counted = counted.plus(constants(weight_width, depth, _style(p["WEIGHTS"])))
    counted = counted.plus(Cost(lut=-pe * _paired_products(p, depth)))
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
    counted = counted.plus(_elements(p, depth))
    # Where multipliers serve several rows, the totals of these go round; the last is in the slice.
    totals = multiplied * total_bits if multiplied < pe else 0
    going_round = totals if groups > 1 else 0
    if going_round and serial > SHORTEST_SHIFT:
        counted = counted.plus(Cost(lut=totals))
    else:
        counted = counted.plus(Cost(ff=totals * (serial - 1 if going_round else 1)))
    searched = max(1, stages) * total_bits + stages * (stages - 1) / 2
    if stages == 1 and mh == lanes:
        # A constant threshold ends in one zero on average: a bit that no sum needs.
        searched -= 2
    counted = counted.plus(Cost(ff=pe * held + lanes * (searched + 2 * output_bits)))
    counters = clog2(words) + clog2(planes) + clog2(blocks) + clog2(depth)
    rows = clog2(mh // lanes)
    return Terms(
        counted,
        lut={
            "unit": 1,
            "counters": counters + rows,
            "ring": ring,
            "serial": lanes * held * -(-serial // 4),
            "totals": going_round,
            # Other totals stay in the slices, or are zero for the first group.
            "first": multiplied * total_bits if groups > 1 and multiplied == pe else 0,
            "compared": lanes * stages * total_bits,
            "outputs": lanes * output_bits,
            "ring words": simd * element_bits * (((1 << ring) - 1) // 64),
        },
        ff={
            "unit": 1,
            "counters": counters,
            "ring": ring,
            "scales": clog2(groups) + 1 if scale_bits else 0,
            "rows": rows * max(1, stages),
        },
    )


def _elements(parameters: Parameters, depth: int) -> Cost:
    """Registers of the elements, and scales that are multiplied with them; the weights: `depth`."""
    mw, simd, planes, bits = integer(parameters, "MW", "SIMD", "PLANES", "ELEMENT_BITS")
    if "SCALED_BITS" not in parameters:
        return Cost(ff=simd * bits)
    share, flip, factor_bits, scaled_bits = integer(
        parameters, "SHARE", "FLIP", "SCALE_BITS", "SCALED_BITS"
    )
    scales = constants(factor_bits * simd // share, mw // simd * planes)
    in_slices = dsps(bits, factor_bits) > 0
    # The address of the weights waits for the scaled elements. Slices have registers of their own,
    # with which no shift register begins.
    registers = clog2(depth) + (0 if in_slices and not flip else simd * bits)
    if in_slices and parameters.get("PRODUCTS") == "dsp":
        registers += simd * scaled_bits
    return scales.plus(Cost(ff=registers))


def _products(parameters: Parameters, depth: int) -> Size:
    if parameters["WEIGHTS"] != "constant":
        products: Products = "dsp" if parameters.get("PRODUCTS") == "dsp" else "lut"
        # A block RAM, or a register that several columns share, is no part of a shift register.
        registered = _style(parameters["WEIGHTS"]) == "distributed" and depth > _DISTINCT
        shape, pe = dot_products(parameters), int(parameters["PE"])
        return size(shape, pe, products, registered_codes=registered)
    luts, registers, latency = integer(parameters, "PRODUCT_LUTS", "PRODUCT_REGISTERS", "LATENCY")
    return Size(0, 0, luts, registers, latency)


def _paired_products(parameters: Parameters, depth: int) -> float:
    """LUT sites that a row needs less where several weights read the same column of the memory.

    Of one-bit elements the products of three are added in two LUTs, which share a site if they have
    five different inputs: if a weight is constant or equal to another one. The weights of a memory
    of `depth` words are taken as random.
    """
    kind, simd, element_bits, weight_bits = integer(
        parameters, "KIND", "SIMD", "ELEMENT_BITS", "WEIGHT_BITS"
    )
    in_luts = parameters["WEIGHTS"] != "constant" and parameters.get("PRODUCTS") != "dsp"
    if element_bits > 1 or KINDS[kind] == "ternary" or not in_luts:
        return 0
    columns = 1 << min(depth, _DISTINCT)
    different = (columns - 2) * (columns - 3) * (columns - 4) / columns**3
    return weight_bits * (simd // 3) * (1 - different)


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
