# SPDX-License-Identifier: Apache-2.0
"""A network in parts, each one operator of a packed model: runs of layers with kernels, and others.

Parts exchange integers. A part whose layers have kernels is as large as it can be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qdeploy.integer import Embedding, IntegerNetwork, Lstm, Node

_LOWEST = -(1 << 31)
_WITH, _WITHOUT, _ALONE = range(3)


@dataclass(frozen=True, eq=False)
class Part:
    """Nodes of a network that are computed together.

    Attributes:
        network: whose nodes they are.
        nodes: in topological order.
        inputs: tensors that are read and written elsewhere; of the first part the network's input,
            which it quantizes.
        outputs: tensors that are read elsewhere, or the network's output.
        begins: whether it is the first part.
    """

    network: IntegerNetwork
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    begins: bool

    @property
    def lstm(self) -> Lstm | None:
        """The LSTM that is all of the part, between others."""
        node = self.nodes[0] if len(self.nodes) == 1 and not self.begins else None
        return node if isinstance(node, Lstm) else None


def whole(network: IntegerNetwork) -> Part:
    """The network as one part."""
    return joined(network, [network.nodes])[0]


def split(network: IntegerNetwork) -> tuple[Part, ...]:
    """The fewest parts that hold layers with kernels only, or layers without only, or one LSTM."""
    stages = {network.input: 0}
    found: dict[int, list[Node]] = defaultdict(list)
    for node in network.nodes:
        stage = max(stages[name] for name in node.inputs)
        kind = _kind(node, network)
        while stage % 3 != kind or (kind == _ALONE and stage in found):
            stage += 1
        stages[node.output] = stage
        found[stage].append(node)
    return joined(network, [found[stage] for stage in sorted(found)] or [()])


def joined(network: IntegerNetwork, groups: Iterable[Sequence[Node]]) -> tuple[Part, ...]:
    """Parts of these nodes, which in this order are all of the network's."""
    groups, parts = list(groups), []
    for index, nodes in enumerate(groups):
        begins = index == 0
        made = [*([network.input] if begins else []), *(node.output for node in nodes)]
        read = dict.fromkeys(name for node in nodes for name in node.inputs)
        others = [node for group in groups if group is not nodes for node in group]
        wanted = {network.output, *(name for node in others for name in node.inputs)}
        inputs = (network.input,) if begins else tuple(n for n in read if n not in made)
        outputs = tuple(name for name in made if name in wanted)
        parts.append(Part(network, tuple(nodes), inputs, outputs, begins))
    return tuple(parts)


def _kind(node: Node, network: IntegerNetwork) -> int:
    if why_no_kernel(node, network):
        return _WITHOUT
    return _ALONE if isinstance(node, Lstm) else _WITH


def why_no_kernel(node: Node, network: IntegerNetwork) -> str:
    """Why no processor has a kernel for the node; empty if one may have."""
    if isinstance(node, Embedding):
        return "embeddings run in ONNX Runtime's operators"
    ends = {network.input, network.output}
    if isinstance(node, Lstm) and ends.intersection((node.input, node.output)):
        return "an LSTM at an end of a network runs in ONNX Runtime's operators"
    ranges = [network.tensors[name].range for name in (*node.inputs, node.output)]
    fit = all(fits_32_bits(values.low, values.high) for values in ranges)
    return "" if fit else "its integers do not fit 32 bits"


def fits_32_bits(low: int, high: int) -> bool:
    """Whether kernels can hold the integers from `low` to `high`."""
    return low >= _LOWEST and high < -_LOWEST
