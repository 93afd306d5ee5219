# SPDX-License-Identifier: Apache-2.0
"""Which kernel each layer of a network gets, and why."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.cpu.fast import NO_LLVMLITE, form_of
from qdeploy.cpu.parts import Part, split, why_no_kernel
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork, Threshold

if TYPE_CHECKING:  # llvmlite may be missing
    from qdeploy.cpu.program.planning import NoKernel, Plan


@dataclass(frozen=True)
class KernelChoice:
    """How a network runs on a kind of processor.

    Attributes:
        form: as `Session.form` says it there.
        layers: what computes each layer and why, by its name; empty in the portable form of a
            processor without kernels.
    """

    form: str
    layers: dict[str, str]


def kernel_choice(network: IntegerNetwork, target: str | None = None) -> KernelChoice:
    """Plan the network, without generating code.

    Args:
        network: any.
        target: name of a kind of processor, in any case; this machine's by default.

    Raises:
        UserError: if there is no such target.
    """
    try:
        from qdeploy.cpu.kernels.targets import TARGETS, host_targets
        from qdeploy.cpu.lstm.sequences import planned
        from qdeploy.cpu.program.planning import NoKernel, plan
    except ImportError:
        return KernelChoice(f"portable form ({NO_LLVMLITE})", {})

    if target is None:
        found = host_targets()
    else:
        found = tuple(t for t in TARGETS if t.name.casefold() == target.casefold())
        if not found:
            raise UserError(
                f"there are no kernels for '{target}'",
                remedy=f"choose one of {', '.join(t.name for t in TARGETS)}",
            )
    if not found:
        return KernelChoice("portable form (there are no kernels for this processor)", {})
    layers: dict[str, str] = {}
    missing = []
    parts = split(network)
    for part in parts:
        try:
            if part.lstm:
                layers[part.lstm.name] = planned(part.lstm, found[0]).description
                continue
            layers |= _kernels(part, plan(part, found[0]))
        except NoKernel as why:
            missing.append(str(why))
            layers |= _without(part, why)
    if len(missing) == len(parts):
        return KernelChoice(f"portable form (no kernel for {missing[0]})", layers)
    return KernelChoice(form_of(found[0].name, missing), layers)


def _kernels(part: Part, planned: Plan) -> dict[str, str]:
    steps: dict[str, dict[str, None]] = defaultdict(dict)
    for step in planned.steps:
        steps[step.layer][step.description] = None
    layers = {name: "; ".join(descriptions) for name, descriptions in steps.items()}
    makers = {node.output: node.name for node in part.nodes}
    for node in part.nodes:
        if node.name not in layers:
            fused = isinstance(node, Threshold) and node.input in makers
            layers[node.name] = (
                f"with the sums of '{makers[node.input]}'" if fused else "nothing to compute"
            )
    return layers


def _without(part: Part, why: NoKernel) -> dict[str, str]:
    layers = {}
    for node in part.nodes:
        reason = why_no_kernel(node, part.network)
        if node.name == why.node:
            reason = why.reason
        layers[node.name] = (
            f"ONNX Runtime, no kernel: {reason}" if reason else f"ONNX Runtime, as '{why.node}'"
        )
    return layers
