# SPDX-License-Identifier: Apache-2.0
"""Which kernel each layer of a network gets, and why."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from qdeploy.cpu.fast import NO_LLVMLITE
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork, Threshold


@dataclass(frozen=True)
class KernelChoice:
    """How a network runs on a kind of processor.

    Attributes:
        form: as `Session.form` says it there.
        layers: what computes each layer and why, by its name; in the portable form only the layer
            that has no kernel.
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
    try:
        planned = plan(network, found[0])
    except NoKernel as why:
        layers = {why.node: f"no kernel: {why.reason}"}
        return KernelChoice(f"portable form (no kernel for {why})", layers)
    steps: dict[str, dict[str, None]] = defaultdict(dict)
    for step in planned.steps:
        steps[step.layer][step.description] = None
    layers = {name: "; ".join(descriptions) for name, descriptions in steps.items()}
    makers = {node.output: node.name for node in network.nodes}
    for node in network.nodes:
        if node.name not in layers:
            fused = isinstance(node, Threshold) and node.input in makers
            layers[node.name] = (
                f"with the sums of '{makers[node.input]}'" if fused else "nothing to compute"
            )
    return KernelChoice(f"generated {found[0].name} kernels", layers)
