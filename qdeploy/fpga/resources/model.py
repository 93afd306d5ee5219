# SPDX-License-Identifier: Apache-2.0
"""Cost of an operator from its Verilog parameters: what can be counted, plus fitted terms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.elements import ELEMENTS
from qdeploy.fpga.resources.matrix_vector import matrix_vector_unit
from qdeploy.fpga.resources.streams import STREAMS
from qdeploy.fpga.resources.terms import Parameters, Terms

_FORMULAS: dict[str, Callable[[Parameters], Terms]] = {
    "matrix_vector_unit": matrix_vector_unit,
    **STREAMS,
    **ELEMENTS,
}


@dataclass(frozen=True)
class Coefficients:
    """LUTs and flip-flops per unit of each term."""

    lut: Mapping[str, float]
    ff: Mapping[str, float]


def operators() -> tuple[str, ...]:
    """The modules of hw/rtl that the model knows."""
    return tuple(_FORMULAS)


def terms(operator: str, parameters: Parameters) -> Terms:
    """What the cost of an operator is made of; see `cost`."""
    return _FORMULAS[operator](parameters)


def cost(operator: str, parameters: Parameters) -> Cost:
    """Predicted cost of one instance.

    Args:
        operator: a module of hw/rtl that `operators` names.
        parameters: its Verilog parameters by name; for "matrix_vector_unit" those that
            `qdeploy.fpga.matrix_vector.module.Unit.parameters` gives.
    """
    made_of, coefficients = terms(operator, parameters), _coefficients()[operator]
    lut = sum(coefficients.lut.get(name, 0.0) * value for name, value in made_of.lut.items())
    ff = sum(coefficients.ff.get(name, 0.0) * value for name, value in made_of.ff.items())
    total = made_of.counted.plus(Cost(lut, ff))
    if operator == "matrix_vector_unit" and "SCALED_BITS" in parameters:
        return total.plus(cost("element_scale", parameters))
    return total


@cache
def _coefficients() -> dict[str, Coefficients]:
    text = resources.files(__package__).joinpath("coefficients.json").read_text()
    return {name: Coefficients(**values) for name, values in json.loads(text).items()}
