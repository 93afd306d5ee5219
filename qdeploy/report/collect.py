# SPDX-License-Identifier: Apache-2.0
"""Gather a report from the results of a build's stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from qdeploy import __version__
from qdeploy.build import Build
from qdeploy.fpga.board import Board
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.estimation import Estimate
from qdeploy.fpga.schedule.record import FILE_NAME as SCHEDULE_FILE
from qdeploy.fpga.schedule.record import ScheduleRecord
from qdeploy.fpga.solver.record import FILE_NAME as FOLDING_FILE
from qdeploy.fpga.solver.record import FoldingRecord
from qdeploy.integer import Convolution, IntegerNetwork, Linear, Node
from qdeploy.report.contents import (
    Layer,
    Performance,
    Report,
    Sizes,
    StageSummary,
    Tensor,
    Version,
)
from qdeploy.report.hardware import board_resources, layer_hardware, pipeline_schedule
from qdeploy.stages import RECORD, Outcome
from qdeploy.verification import Verification
from qdeploy.verification.wording import sentences

NOT_ROUTED = (
    "Cycles are measured in simulation; frames per second are those cycles at the board's clock, "
    "which is assumed: nothing has been placed and routed."
)
_WHAT = {
    "float": "trained in float32, float weights and activations",
    "trained": "trained with quantizers, evaluated in float32",
    "integer": "integer network, numpy reference",
    "cpu": "cpu.onnx in ONNX Runtime",
    "rtl": "generated RTL in Verilator",
}


def collect(
    build: Build, board: Board, outcomes: Mapping[str, Outcome], skipped: list[str]
) -> Report:
    """The report of a build.

    Args:
        build: the build folder.
        board: the board it is for.
        outcomes: the stages that this run asked for.
        skipped: what could not be done for lack of a tool.
    """
    network = build.network
    x = network.input_tensor
    verification = Verification.model_validate_json(
        build.file("verify", "verify.json").read_bytes()
    )
    design = load_design(build.file("generate", "rtl")) if "generate" in outcomes else None
    estimate = None
    if "estimate" in outcomes:
        text = build.file("estimate", "estimate.json").read_bytes()
        estimate = Estimate.model_validate_json(text)
    folding, schedule = None, None
    if "map" in outcomes:
        text = build.file("map", FOLDING_FILE).read_bytes()
        folding = FoldingRecord.model_validate_json(text)
        text = build.file("map", SCHEDULE_FILE).read_bytes()
        record = ScheduleRecord.model_validate_json(text)
        schedule = pipeline_schedule(record, verification.fifos)
    seen = {t.layer: (t.observed_low, t.observed_high) for t in verification.extremes}
    sizes = json.loads(build.file("pack", "pack.json").read_text())
    summaries = {
        "lower": f"{len(network.nodes)} integer operators, {network.codes():,} weight codes",
        "pack": f"cpu.onnx, {sizes['file_bytes']:,} bytes",
        "verify": f"{verification.frames} samples, equal in {', '.join(verification.compared)}",
    }
    if folding:
        summaries["map"] = f"folded to {folding.cycles:,} cycles per frame, {folding.proof()}"
    if design:
        summaries["generate"] = f"{len(design.nodes)} hardware nodes, {len(design.files)} files"
        summaries["shell"] = f"registers and DMA streams, {len(design.streams)} streams observed"
    if estimate:
        summaries["estimate"] = f"{estimate.total.lut:,} LUT by {estimate.tool}"
    return Report(
        name=network.name,
        version=__version__,
        board=board.name,
        images=verification.frames,
        input=Tensor(shape=x.shape, bits=x.range.bits, low=x.range.low, high=x.range.high),
        stages=[_stage(name, outcome, summaries) for name, outcome in outcomes.items()],
        layers=[_layer(network, node, seen, design, estimate) for node in network.nodes],
        versions=_versions(verification),
        comparisons=sentences(verification),
        sizes=Sizes(
            float_bytes=sizes["float_bytes"],
            packed_bytes=sizes["weight_bytes"],
            file_bytes=sizes["file_bytes"],
        ),
        performance=_performance(verification, design),
        resources=board_resources(estimate) if estimate else [],
        schedule=schedule,
        skipped=skipped,
        notes=[*skipped, *network.notes, *_remarks(verification, folding, design, estimate)],
    )


def _stage(name: str, outcome: Outcome, summaries: Mapping[str, str]) -> StageSummary:
    made = sorted(
        path.name for path in outcome.directory.rglob("*") if path.is_file() and path.name != RECORD
    )
    return StageSummary(
        name=name,
        seconds=outcome.seconds,
        reused=outcome.reused,
        summary=summaries.get(name, ", ".join(made)),
    )


def _layer(
    network: IntegerNetwork,
    node: Node,
    seen: Mapping[str, tuple[int, int]],
    design: Design | None,
    estimate: Estimate | None,
) -> Layer:
    tensor = network.tensors[node.output]
    weights: dict[str, Any] = {}
    if isinstance(node, (Convolution, Linear)):
        plane, *others = node.weights.planes
        every = np.stack([plane.codes, *(other.codes for other in others)])
        codes, counts = np.unique(every, return_counts=True)
        scales = plane.multipliers.reshape(-1, plane.multipliers.shape[-1])
        weights = {
            "weights": node.weights.describe(),
            "codes": every.size,
            "macs": plane.codes.size // len(plane.codes) * prod(tensor.shape),
            "code_counts": dict(zip(codes.tolist(), counts.tolist(), strict=True)),
            "multipliers": scales.tolist() if plane.is_scaled and not others else [],
        }
    return Layer(
        name=node.name,
        kind=node.kind,
        shape=tensor.shape,
        bits=tensor.range.bits,
        low=tensor.range.low,
        high=tensor.range.high,
        seen=seen.get(node.name),
        **weights,
        **(layer_hardware(node.name, design, estimate) if design else {}),
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
        slowed_by=verification.slowed_by,
    )


def _remarks(
    verification: Verification,
    folding: FoldingRecord | None,
    design: Design | None,
    estimate: Estimate | None,
) -> list[str]:
    remarks = []
    if verification.trained_differences:
        remarks.append(
            f"Evaluated in float32, the trained network predicts "
            f"{verification.trained_differences} samples differently from the integers."
        )
    if not verification.labelled:
        remarks.append("There were no labelled test data: outputs were compared, not accuracies.")
    if folding:
        remarks.append(folding.describe())
    if design:
        remarks.append(NOT_ROUTED)
    if estimate:
        remarks.append(
            f"LUTs are counted after {estimate.tool} synth_xilinx, with pairs packed into sites "
            f"({estimate.total.lut_cells:,} LUT cells unpacked). The whole accelerator with its "
            "FIFOs is included, the DMA and the processor interface are not. FINN's column is its "
            "formula for its own HLS operators."
        )
    return remarks
