# SPDX-License-Identifier: Apache-2.0
"""Errors of a bitstream build in the words of the network: which layer is to blame."""

from __future__ import annotations

from pathlib import Path

from qdeploy.bitstream.project import TIMING
from qdeploy.bitstream.results import Timing, timing
from qdeploy.bitstream.run import Failure
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.fpga.design import Design


def phase_error(failure: Failure, project: Path, design: Design, tool: str) -> QdeployError:
    """The error to raise for a phase that failed.

    Args:
        failure: of `run_phases`.
        project: folder of the project.
        design: that was built.
        tool: to blame if Vivado was stopped from outside.
    """
    cause = failure.cause
    remedy = f"{cause.remedy}; log: {failure.log}"
    if cause.kind == "utilization":
        node = max(design.nodes, key=lambda each: each.predicted.lut)
        every = sum(each.predicted.lut for each in design.nodes)
        return UserError(
            f"{cause.problem}; the largest operator is {node.name} ({node.operator}, "
            f"{node.predicted.lut:,.0f} of {every:,.0f} LUTs by the resource model)",
            layer=node.layer,
            remedy=remedy,
        )
    too_slow = None
    if cause.kind == "timing" and (project / TIMING).is_file():
        too_slow = timing_error(timing(project / TIMING, design), design)
    return too_slow or ToolError(
        tool if cause.kind == "stopped" else "Vivado",
        f"phase {failure.phase}: {cause.problem}",
        command=failure.command,
        remedy=remedy,
    )


def timing_error(found: Timing, design: Design) -> UserError | None:
    """The error for a routed design that is too slow for its clock; names the worst operator."""
    if min(found.slack, found.hold_slack) >= 0:
        return None
    node = next((node for node in design.nodes if node.name == found.node), None)
    where = f"operator {node.name} ({node.operator})" if node else "logic around the operators"
    if found.slack < 0:
        problem = (
            f"too slow for {design.clock_mhz:g} MHz by {-found.slack:.3f} ns, reaches "
            f"{found.reachable_mhz(design.clock_mhz):.1f} MHz: the worst path ends in {where}"
        )
    else:
        problem = f"hold time is short of {-found.hold_slack:.3f} ns in {where}"
    return UserError(
        f"{problem}, from {found.source} to {found.destination}",
        layer=node.layer if node else None,
        remedy="lower clock_mhz in hw/boards, or fold otherwise: compile with other --fps, or with "
        "another pe and simd of this layer",
    )
