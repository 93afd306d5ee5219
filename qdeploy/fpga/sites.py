# SPDX-License-Identifier: Apache-2.0
"""LUT sites that a mapped xc7 netlist occupies.

Yosys counts LUT cells, but a site (UG474: one LUT6 with outputs O6 and O5) holds two functions of
at most five distinct inputs together. Two cases fill both outputs:

- a CARRY4 takes S from O6 and DI from O5 of the site beside it; where S comes from no LUT at all,
  the site is spent on passing the signal through;
- other LUTs pair up if they share inputs (a placer rarely joins strangers).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Cell = Mapping[str, Any]
SHARED_INPUTS = 5
_LUT = re.compile(r"LUT[1-6]|INV")


def occupied_sites(cells: Iterable[Cell]) -> int:
    """Sites for the LUTs of one module in Yosys' JSON format (memories are not counted)."""
    luts: dict[int, frozenset[int]] = {}  # inputs by output net
    carries, fixed, dual_outputs = [], 0, set()
    for cell in cells:
        kind, ports = cell["type"], cell["connections"]
        if _LUT.fullmatch(kind):
            inputs = (bit for port, bits in ports.items() if port[0] == "I" for bit in bits)
            luts[ports["O"][0]] = frozenset(bit for bit in inputs if isinstance(bit, int))
        elif kind == "LUT6_2":
            fixed += 1
            dual_outputs |= {bits[0] for port, bits in ports.items() if port in {"O5", "O6"}}
        elif kind == "CARRY4":
            carries.append(ports)
    beside_carries = _beside_carries(luts, carries, dual_outputs)
    return fixed + beside_carries + _paired(luts)


def _beside_carries(
    luts: dict[int, frozenset[int]], carries: list[Mapping[str, Any]], dual_outputs: set[int]
) -> int:
    """Sites next to carry chains; takes the LUTs in them out of `luts`."""
    sites = 0
    placed: set[int] = set()
    for ports in carries:
        for select, data in zip(ports["S"], ports["DI"], strict=True):
            if isinstance(select, str) or select in dual_outputs or select in placed:
                continue  # a constant, or a site that is counted already
            sites += 1
            if select not in luts:  # a register: the site passes it through
                continue
            placed.add(select)
            inputs = luts.pop(select)
            if data in luts and len(inputs | luts[data]) <= SHARED_INPUTS:
                placed.add(data)
                del luts[data]
    return sites


def _paired(luts: Mapping[int, frozenset[int]]) -> int:
    """Sites when each LUT, largest first, takes the partner with most inputs in common."""
    readers: dict[int, set[int]] = defaultdict(set)
    for output, inputs in luts.items():
        for bit in inputs:
            readers[bit].add(output)
    waiting = set(luts)
    sites = 0
    for output in sorted(luts, key=lambda lut: (-len(luts[lut]), lut)):
        if output not in waiting:
            continue
        sites += 1
        waiting.discard(output)
        inputs = luts[output]
        if len(inputs) > SHARED_INPUTS:
            continue
        common = Counter(other for bit in inputs for other in readers[bit] & waiting)
        partners = [p for p in common if len(inputs | luts[p]) <= SHARED_INPUTS]
        waiting.discard(max(partners, key=lambda p: (common[p], -p), default=output))
    return sites
