# SPDX-License-Identifier: Apache-2.0
"""The hardware in a report: what each layer and the whole design take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

from qdeploy.fpga.design import Design
from qdeploy.fpga.estimation import Estimate
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.schedule.record import ScheduledNode, ScheduleRecord
from qdeploy.fpga.usage import Usage
from qdeploy.report.contents import Activity, Amounts, Fifo, Resources, ScaleForm, Schedule
from qdeploy.verification import FifoPeak

_RESOURCES: dict[Literal["LUT", "FF", "BRAM36", "DSP"], str] = {
    "LUT": "lut",
    "FF": "ff",
    "BRAM36": "bram36",
    "DSP": "dsp",
}
_UNITS = ("matrix_vector_unit", "depthwise_unit")


def layer_hardware(layer: str, design: Design, estimate: Estimate | None) -> dict[str, Any]:
    """The hardware columns of a `Layer`; none if it became a part of another layer's hardware."""
    nodes = [node for node in design.nodes if node.layer == layer]
    if not nodes:
        return {}
    columns: dict[str, Any] = {
        "cycles": max(node.cycles for node in nodes),
        "predicted": _amounts(reduce(Cost.plus, (node.predicted for node in nodes))),
        "used": _amounts(estimate.by_layer()[layer]) if estimate else None,
    }
    for unit in (node for node in nodes if node.operator in _UNITS):
        columns |= {
            "pe": unit.pe,
            "simd": unit.simd,
            "weight_memory": unit.weight_memory,
            "products": unit.products,
            "scale_form": None if unit.scale_form == "none" else unit.scale_form,
            "scale_forms": [
                ScaleForm(
                    **form.model_dump(exclude={"predicted"}), predicted=_amounts(form.predicted)
                )
                for form in unit.scale_forms
            ],
        }
    return columns


def board_resources(estimate: Estimate) -> list[Resources]:
    """The whole design against its board."""
    used, model, board = estimate.total, estimate.predicted, estimate.available
    finn = (estimate.finn_lut, None, estimate.finn_bram36, estimate.finn_dsp)
    return [
        Resources(
            name=name,
            used=getattr(used, key),
            predicted=round(getattr(model, key), 1),
            finn=by_finn,
            available=getattr(board, key),
        )
        for (name, key), by_finn in zip(_RESOURCES.items(), finn, strict=True)
    ]


def pipeline_schedule(record: ScheduleRecord, measured: Sequence[FifoPeak]) -> Schedule:
    """Layers from the first cycle of their first node to the last of their last; FIFOs."""
    peaks = {peak.name: peak.model_dump(exclude={"name"}) for peak in measured}
    layers: dict[str, list[ScheduledNode]] = {}
    for node in record.nodes:
        layers.setdefault(node.layer, []).append(node)
    return Schedule(
        interval=record.interval,
        activities=[
            Activity(
                layer=layer,
                first=min(node.start for node in nodes),
                last=max(node.end for node in nodes),
            )
            for layer, nodes in layers.items()
        ],
        fifos=[
            Fifo(**fifo.model_dump(exclude={"layer"}), **peaks.get(fifo.name, {}))
            for fifo in record.fifos
        ],
    )


def _amounts(spent: Cost | Usage) -> Amounts:
    return Amounts(**{key: round(getattr(spent, key), 1) for key in _RESOURCES.values()})
