# SPDX-License-Identifier: Apache-2.0
"""The bitstream in a report: what Vivado counted, beside the estimates."""

from __future__ import annotations

from collections.abc import Mapping

from qdeploy.bitstream.results import Results, Taken, bitstream_of, by_layer
from qdeploy.build import Build
from qdeploy.fpga.design import Design, load_design
from qdeploy.report.collect import NOT_ROUTED
from qdeploy.report.contents import Amounts, Implementation, Layer, Report, Resources

_KEYS = {"LUT": "lut", "FF": "ff", "BRAM36": "bram36", "DSP": "dsp"}


def with_bitstream(report: Report, build: Build) -> Report:
    """The report with the bitstream of the build's present design, if it has one."""
    found = bitstream_of(build)
    if found is None:
        return report
    _, results = found
    design = load_design(build.file("generate", "rtl"))
    synthesized = by_layer(results.synthesized.nodes, design)
    routed = by_layer(results.routed.nodes, design)
    timing = results.timing
    note = (
        f"Placed and routed by Vivado {results.vivado}: its counts of the accelerator contain the "
        "FIFOs, those of the whole design also DMA, interconnect and register file."
    )
    return report.model_copy(
        update={
            "layers": [_layer(layer, synthesized, routed) for layer in report.layers],
            "resources": [_resource(part, results) for part in report.resources],
            "implementation": Implementation(
                vivado=results.vivado,
                clock_mhz=results.clock_mhz,
                slack_ns=timing.slack,
                reachable_mhz=round(timing.reachable_mhz(results.clock_mhz), 1),
                worst=_layer_of(timing.node, design),
                watts=results.power.total,
            ),
            "notes": [note, *(line for line in report.notes if line not in (NOT_ROUTED, note))],
        }
    )


def _layer(layer: Layer, *stages: Mapping[str, Taken]) -> Layer:
    synthesized, routed = (
        Amounts(**stage[layer.name].model_dump()) if layer.name in stage else None
        for stage in stages
    )
    return layer.model_copy(update={"synthesized": synthesized, "routed": routed})


def _resource(part: Resources, results: Results) -> Resources:
    key = _KEYS[part.name]
    return part.model_copy(
        update={
            "synthesized": getattr(results.synthesized.accelerator, key),
            "routed": getattr(results.routed.accelerator, key),
            "whole": getattr(results.routed.total, key),
        }
    )


def _layer_of(name: str | None, design: Design) -> str:
    return next((node.layer for node in design.nodes if node.name == name), "")
