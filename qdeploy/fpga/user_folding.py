# SPDX-License-Identifier: Apache-2.0
"""What a user may want of a layer's folding, and what is nearest to what they may not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga.compressors.sliced_products import Products, legal_products
from qdeploy.fpga.mapping import node_attribute
from qdeploy.fpga.matrix_vector.module import Unit
from qdeploy.fpga.solver.options import MOST_CONSTANTS, unit_forms
from qdeploy.fpga.solver.units import UnitFolding, divisors

_KEPT = "memory 'block' or 'distributed'"


def check_folding(
    model: ModelWrapper,
    folding: Mapping[str, UnitFolding],
    products: Mapping[str, Products],
    any_form: Collection[str] = (),
) -> None:
    """Refuse what the matrix-vector units of `model` cannot have.

    Args:
        model: result of `map_network`.
        folding: by layer name.
        products: what multiplies, by layer name.
        any_form: layers whose scales may also have another form than in the graph.

    Raises:
        UserError: at the first value that is illegal, with the nearest legal ones.
    """
    for option, layers in (("folding", folding), ("products", products)):
        for layer in layers:
            operator = getCustomOp(_unit(model, layer, option))
            forms = unit_forms(operator, layer in any_form)
            units = [replace(operator.unit(model), matrix=operator.matrix_of(f)) for f in forms]
            for error in _errors(layer, units, folding.get(layer), products.get(layer)):
                raise error


def _unit(model: ModelWrapper, layer: str, option: str) -> NodeProto:
    nodes = [node for node in model.graph.node if node.op_type == "MVAU_rtl"]
    units = {node_attribute(node, "layer"): node for node in nodes}
    if layer not in units:
        raise UserError(
            f"'{option}' names '{layer}', which has no matrix-vector unit",
            remedy=f"use the layers {', '.join(units)}",
        )
    return units[layer]


def _errors(
    layer: str, units: list[Unit], wanted: UnitFolding | None, products: Products | None
) -> Iterator[UserError]:
    """What is wrong for every form of the scales that the layer may have."""
    if wanted and wanted.memory == "constant":
        yield from _constant_errors(layer, units, wanted, products)
        return
    if wanted:
        rows = units[0].matrix.codes.shape[1]
        yield from _division_errors(layer, "PE", wanted.pe, [rows], "outputs")
        columns = [unit.matrix.group_columns for unit in units]
        whole = max(columns) == units[0].matrix.codes.shape[2]
        what = "inputs" if whole else "inputs that share a multiplier"
        yield from _division_errors(layer, "SIMD", wanted.simd, columns, what)
        units = [unit for unit in units if unit.matrix.group_columns % wanted.simd == 0]
        if wanted.memory == "block":
            units = [u for u in units if u.matrix.codes.size > wanted.pe * wanted.simd]
            if not units:
                yield UserError(
                    "its weights are a single word at this folding, which needs no block RAM",
                    layer=layer,
                    remedy="use memory 'distributed' or 'constant', or a smaller PE or SIMD",
                )
    yield from _product_errors(layer, units, products)


def _division_errors(
    layer: str, name: str, value: int, numbers: Iterable[int], what: str
) -> Iterator[UserError]:
    legal = sorted({divisor for number in numbers for divisor in divisors(number)})
    if value not in legal:
        lower = [v for v in legal if v < value][-1:]
        upper = [v for v in legal if v > value][:1]
        nearest = " and ".join(map(str, lower + upper))
        yield UserError(
            f"{name} = {value} does not divide its {legal[-1]} {what}",
            layer=layer,
            remedy=f"the nearest legal values are {nearest}",
        )


def _product_errors(
    layer: str, units: list[Unit], products: Products | None
) -> Iterator[UserError]:
    shapes = [unit.arithmetic().shape for unit in units]
    legal = max((legal_products(shape) for shape in shapes), key=len)
    if products and products not in legal:
        yield UserError(
            f"DSP slices do not multiply its {shapes[0].kind} weights of {shapes[0].weight_bits} "
            f"bits and inputs of {shapes[0].element_bits} bits",
            layer=layer,
            remedy=f"products can be {' or '.join(map(repr, legal))}",
        )


def _constant_errors(
    layer: str, units: list[Unit], wanted: UnitFolding, products: Products | None
) -> Iterator[UserError]:
    matrix = units[0].matrix
    _, rows, columns = matrix.codes.shape
    if all(unit.matrix.scaled for unit in units):
        form = "post" if matrix.multipliers is not None else "pre"
        yield UserError(
            f"constant weights have no scales beside them, its scales have form '{form}'",
            layer=layer,
            remedy=f"leave out scale_form or use 'recode', or use {_KEPT}",
        )
    if rows * columns > MOST_CONSTANTS:
        yield UserError(
            f"constant weights are at most {MOST_CONSTANTS:,}, it has {rows * columns:,}",
            layer=layer,
            remedy=f"use {_KEPT}",
        )
    if wanted[:2] != (rows, columns):
        yield UserError(
            f"constant weights need all {rows} outputs and {columns} inputs at once, not "
            f"PE = {wanted.pe} and SIMD = {wanted.simd}",
            layer=layer,
            remedy=f"use PE = {rows} and SIMD = {columns}, or {_KEPT}",
        )
    if products == "dsp":
        yield UserError(
            "constant weights are logic, they take no DSP slices",
            layer=layer,
            remedy=f"use products 'lut', or {_KEPT}",
        )
