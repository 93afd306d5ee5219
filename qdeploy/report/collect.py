# SPDX-License-Identifier: Apache-2.0
"""Gather a report from the results of a build's stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from qdeploy import __version__
from qdeploy.build import Build
from qdeploy.fpga.board import Board
from qdeploy.fpga.design import Design, load_design
from qdeploy.integer import Convolution, IntegerNetwork, Linear, Node
from qdeploy.report.contents import (
    Layer,
    Performance,
    Report,
    Resources,
    Sizes,
    StageSummary,
    Version,
)
from qdeploy.stages import RECORD, Outcome
from qdeploy.verification import Verification

_WHAT = {
    "float": "trained in float32, float weights and activations",
    "trained": "trained with quantizers, evaluated in float32",
    "integer": "integer network, numpy reference",
    "cpu": "cpu.onnx in ONNX Runtime",
    "rtl": "generated RTL in Verilator",
}


def collect(
    build: Build, board: Board, outcomes: Mapping[str, Outcome], notes: list[str]
) -> Report:
    """The report of a build.

    Args:
        build: the build folder.
        board: the board it is for.
        outcomes: the stages that this run asked for.
        notes: what could not be done and why.
    """
    network = build.network
    verification = Verification.model_validate_json(
        build.file("verify", "verify.json").read_bytes()
    )
    design = load_design(build.file("generate", "rtl")) if "generate" in outcomes else None
    estimate = (
        json.loads(build.file("estimate", "estimate.json").read_text())
        if "estimate" in outcomes
        else None
    )
    sizes = json.loads(build.file("pack", "pack.json").read_text())
    return Report(
        name=network.name,
        version=__version__,
        board=board.name,
        images=verification.frames,
        stages=[_stage(name, outcome) for name, outcome in outcomes.items()],
        layers=[_layer(network, node, design, estimate) for node in network.nodes],
        versions=_versions(verification),
        sizes=Sizes(
            float_bytes=sizes["float_bytes"],
            packed_bytes=sizes["weight_bytes"],
            file_bytes=sizes["file_bytes"],
        ),
        performance=_performance(verification, design),
        resources=_resources(design, estimate, board),
        notes=[*notes, *_remarks(verification, design)],
    )


def _stage(name: str, outcome: Outcome) -> StageSummary:
    files = sorted(p for p in outcome.directory.rglob("*") if p.is_file() and p.name != RECORD)
    kilobytes = sum(path.stat().st_size for path in files) / 1000
    made = files[0].name if len(files) == 1 else f"{len(files)} files"
    return StageSummary(
        name=name,
        seconds=outcome.seconds,
        reused=outcome.reused,
        summary=f"{made}, {kilobytes:,.1f} kB",
    )


def _layer(
    network: IntegerNetwork, node: Node, design: Design | None, estimate: dict[str, Any] | None
) -> Layer:
    tensor = network.tensors[node.output]
    weights: dict[str, Any] = {}
    if isinstance(node, (Convolution, Linear)):
        plane = node.weights.planes[0]
        codes, counts = np.unique(plane.codes, return_counts=True)
        scales = plane.multipliers.reshape(-1, plane.multipliers.shape[-1])
        weights = {
            "weights": node.weights.describe(),
            "codes": plane.codes.size,
            "code_counts": dict(zip(codes.tolist(), counts.tolist(), strict=True)),
            "multipliers": scales.tolist() if plane.is_scaled else [],
        }
    hardware: dict[str, Any] = {}
    nodes = [n for n in design.nodes if n.layer == node.name] if design else []
    if nodes:
        unit = next((n for n in nodes if n.operator == "matrix_vector_unit"), None)
        hardware = {
            "cycles": max(n.cycles for n in nodes),
            "pe": unit.pe if unit else None,
            "simd": unit.simd if unit else None,
            "scale_form": unit.scale_form if unit and weights.get("multipliers") else None,
        }
        if estimate:
            hardware["luts"] = sum(estimate["node_luts"].get(n.name, 0.0) for n in nodes)
    return Layer(
        name=node.name,
        kind=node.kind,
        shape=tensor.shape,
        bits=tensor.range.bits,
        low=tensor.range.low,
        high=tensor.range.high,
        **weights,
        **hardware,
    )


def _versions(verification: Verification) -> list[Version]:
    equal = {"trained": verification.trained_differences == 0, "integer": None} | dict.fromkeys(
        verification.compared, True
    )
    names = ["float", "trained"] if verification.trained_differences is not None else []
    return [
        Version(
            name=name,
            what=_WHAT[name],
            correct=verification.correct.get(name),
            equal=equal.get(name),
        )
        for name in [*names, "integer", *verification.compared]
    ]


def _performance(verification: Verification, design: Design | None) -> Performance | None:
    if design is None or verification.interval_cycles is None:
        return None
    return Performance(
        predicted_cycles=design.cycles_per_frame,
        measured_cycles=verification.interval_cycles,
        latency_cycles=verification.latency_cycles or 0,
        clock_mhz=design.clock_mhz,
        frames_per_second=design.clock_mhz * 1e6 / verification.interval_cycles,
        slowest=design.critical_node,
    )


def _resources(
    design: Design | None, estimate: dict[str, Any] | None, board: Board
) -> list[Resources]:
    if design is None or estimate is None:
        return []
    finn = {
        "LUT": sum(node.finn_luts for node in design.nodes),
        "FF": None,
        "BRAM36": sum(node.finn_bram18 for node in design.nodes) / 2,
        "DSP": sum(node.finn_dsps for node in design.nodes),
    }
    return [
        Resources(name=name, used=estimate[key], finn=finn[name], available=available)
        for name, key, available in (
            ("LUT", "luts", board.resources.lut),
            ("FF", "ffs", board.resources.ff),
            ("BRAM36", "bram36", board.resources.bram36),
            ("DSP", "dsps", board.resources.dsp),
        )
    ]


def _remarks(verification: Verification, design: Design | None) -> list[str]:
    remarks = []
    if verification.trained_differences:
        remarks.append(
            f"Evaluated in float32, the trained network predicts "
            f"{verification.trained_differences} samples differently from the integers."
        )
    if not verification.labelled:
        remarks.append("There were no labelled test data: outputs were compared, not accuracies.")
    if design:
        remarks.append(
            "Cycles are measured in simulation; frames per second are cycles at the board's clock. "
            "LUTs are Yosys' synthesis for xc7 without placing and routing; the clock is assumed. "
            "Included is the accelerator with its FIFOs, not the DMA and the processor interface."
        )
    return remarks
