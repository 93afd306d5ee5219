# SPDX-License-Identifier: Apache-2.0
"""The options of a matrix-vector unit: PE, SIMD, weight memory, what multiplies, sharing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Literal, NamedTuple

from qdeploy.fpga.compressors.sliced_products import Products, legal_products, size
from qdeploy.fpga.lut_memory import lut_sites
from qdeploy.fpga.memory import MemoryStyle
from qdeploy.fpga.resources import cost
from qdeploy.fpga.resources.matrix_vector import dot_products
from qdeploy.fpga.resources.memories import block_memory
from qdeploy.fpga.resources.terms import Parameters, integer
from qdeploy.fpga.solver.dominance import undominated
from qdeploy.fpga.solver.problem import Option, fifo_cost

WEIGHT_MEMORIES: tuple[MemoryStyle, ...] = ("block", "distributed")
WeightMemory = Literal["block", "distributed", "constant"]
# A word with more products than this takes seconds to count and a board of its own.
_MOST_PRODUCT_BITS = 2048
# Block RAM is not tried where one of 36 kbit saves fewer LUTs.
_LEAST_SAVED = 32
# Words of a matrix-vector unit wait for its sums, thresholds and queue.
_UNIT_DELAY = 8


class UnitFolding(NamedTuple):
    """What a user wants of a matrix-vector unit.

    Attributes:
        pe: outputs per cycle.
        simd: inputs per cycle.
        memory: where the weights live; None: what costs less.
    """

    pe: int
    simd: int
    memory: WeightMemory | None = None


@dataclass(frozen=True)
class UnitShape:
    """What the options of a matrix-vector unit depend on.

    Attributes:
        rows: MH.
        group_columns: columns that share a scale; SIMD divides them.
        groups: of a row, over all planes.
        planes: how often a vector is read per row block.
        vectors: per frame.
        parameters: by SIMD, with PE and LANES 1, as `Unit.parameters` gives them.
        constant: the same for weights as logic, None if they are too many or have scales.
        values: attributes that make the node such a unit.
    """

    rows: int
    group_columns: int
    groups: int
    planes: int
    vectors: int
    parameters: Callable[[int], Parameters]
    constant: Callable[[], Parameters] | None
    values: dict[str, int | str]

    @property
    def lead(self) -> int:
        """A vector must be there before its first sums leave."""
        return ceil(1024 / self.vectors)


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def unit_options(
    shape: UnitShape, only: UnitFolding | None = None, products: Products | None = None
) -> list[Option]:
    """Options of a matrix-vector unit that no other dominates, none if it cannot have `products`.

    Args:
        shape: the unit.
        only: its folding if it is given.
        products: what multiplies, if it is given.
    """
    pes, simds = divisors(shape.rows), divisors(shape.group_columns)
    if only:
        pes, simds = [only.pe], [only.simd] if only.simd in simds else []
    memory = only.memory if only else None
    options: list[Option] = []
    for simd in simds if memory != "constant" else ():
        one = shape.parameters(simd)
        scaled = "SCALED_BITS" in one
        bits = simd * dot_products(one).element_bits * int(one["WEIGHT_BITS"])
        if bits > _MOST_PRODUCT_BITS and options:
            break
        for pe, multiplied_by in product(pes, legal_products(dot_products(one))):
            if products in (None, multiplied_by):
                latency = size(dot_products(one), pe, multiplied_by).latency + scaled
                core = {**one, "PE": pe, "PRODUCTS": multiplied_by, "LATENCY": latency}
                options += _kept_weights(shape, core, pe, simd, memory)
    whole = only is None or only[:2] == (shape.rows, shape.group_columns)
    if shape.constant and whole and memory in (None, "constant") and products != "dsp":
        options.append(_option(shape, shape.constant()))
    return list(undominated(options, times=True))


def _kept_weights(
    shape: UnitShape, one: Parameters, pe: int, simd: int, wanted: WeightMemory | None
) -> Iterator[Option]:
    """Options with weights in a memory; its kinds are those worth a try, or the wanted one."""
    group_words = shape.group_columns // simd
    words = group_words * shape.groups
    depth, width = words * shape.rows // pe, pe * simd * int(one["WEIGHT_BITS"])
    saved = lut_sites(depth, width) / block_memory(width, depth).bram36
    useful = WEIGHT_MEMORIES if saved >= _LEAST_SAVED else WEIGHT_MEMORIES[-1:]
    memories = [m for m in WEIGHT_MEMORIES if m == wanted] if wanted else useful
    scaled = int(one["MULTIPLIER_BITS"]) > 0
    for memory, shared in product(memories, (0, 1) if scaled else (0,)):
        if memory == "block" and depth == 1:
            continue
        turns = group_words if shared else words
        lanes = next(d for d in divisors(pe) if pe // d <= turns)
        multipliers = lanes if shared else pe
        taken = {
            "LANES": lanes,
            "SCALE_LANES": multipliers,
            "WEIGHTS": memory,
            "WEIGHT_WIDTH": width,
        }
        yield _option(shape, {**one, **taken}, shared)


def _option(shape: UnitShape, parameters: Parameters, shared: int = 0) -> Option:
    mw, simd, pe, lanes, element_bits, output_bits, latency = integer(
        parameters, "MW", "SIMD", "PE", "LANES", "ELEMENT_BITS", "OUTPUT_BITS", "LATENCY"
    )
    words, rounds = mw // simd, shape.planes * shape.rows // pe
    return Option(
        cycles=shape.vectors * words * rounds,
        cost=cost("matrix_vector_unit", parameters).plus(fifo_cost(simd * element_bits)),
        input_bits=(simd * element_bits,),
        output_bits=lanes * output_bits,
        tail=(rounds - 1) * words + latency + _UNIT_DELAY,
        values={
            **shape.values,
            "PE": pe,
            "SIMD": simd,
            "weight_memory": parameters["WEIGHTS"],
            "shared_multipliers": shared,
            "products": parameters["PRODUCTS"],
        },
    )
