# SPDX-License-Identifier: Apache-2.0
"""The walk of the lowering, carried on past the first node that fails."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Node
from qdeploy.lowering.source import Source, layer_name
from qdeploy.lowering.values import Constant, QuantizedConstant, Value
from qdeploy.lowering.walk import Walk


@dataclass(frozen=True, eq=False)
class Visit:
    """One node of the file and what the walk made of it.

    Attributes:
        node: as in the file.
        value: what its output is; None if it failed or was not reached.
        created: names of the integer operators that it appended.
        error: why it failed.
        blocked_by: the failed node that it depends on.
    """

    node: onnx.NodeProto
    value: Value | None = None
    created: tuple[str, ...] = ()
    error: UserError | None = None
    blocked_by: onnx.NodeProto | None = None

    @property
    def is_constant(self) -> bool:
        """Whether its output is known at compile time."""
        return isinstance(self.value, (Constant, QuantizedConstant))

    @property
    def state(self) -> Literal["lowered", "failed", "not reached"]:
        """How the walk left it."""
        if self.error is not None:
            return "failed"
        return "lowered" if self.blocked_by is None else "not reached"


class Trace:
    """All visits of one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.walk = Walk(source)
        self.visits: list[Visit] = []
        self.readers: dict[str, list[Visit]] = defaultdict(list)
        blocked: dict[str, onnx.NodeProto] = {}
        for node in source.nodes:
            visit = self._visit(node, blocked)
            failed = node if visit.error else visit.blocked_by
            if failed is not None:
                blocked.update(dict.fromkeys(node.output, failed))
            self.visits.append(visit)
            for name in dict.fromkeys(node.input):
                self.readers[name].append(visit)

    @property
    def complete(self) -> bool:
        """Whether every node was lowered."""
        return all(visit.state == "lowered" for visit in self.visits)

    def operator(self, name: str) -> Node:
        """An integer operator as it is at the end: later quantizers may have turned its signs."""
        return next(node for node in self.walk.builder.nodes if node.name == name)

    def layers(self) -> dict[str, list[Visit]]:
        """Visits by layer of the PyTorch model; constants belong to the layer that reads them."""
        groups: dict[str, list[Visit]] = {}
        for visit in sorted(self.visits, key=self._position):
            groups.setdefault(layer_name(self._owner(visit).node), []).append(visit)
        return groups

    def _visit(self, node: onnx.NodeProto, blocked: dict[str, onnx.NodeProto]) -> Visit:
        cause = next((blocked[name] for name in node.input if name in blocked), None)
        if cause is not None:
            return Visit(node, blocked_by=cause)
        present = len(self.walk.builder.nodes)
        try:
            self.walk.visit(node)
        except UserError as error:
            return Visit(node, error=error)
        created = tuple(operator.name for operator in self.walk.builder.nodes[present:])
        return Visit(node, value=self.walk.values[node.output[0]], created=created)

    def _owner(self, visit: Visit) -> Visit:
        """The first reader that is no constant, following constants only."""
        while visit.is_constant and self.readers[visit.node.output[0]]:
            visit = self.readers[visit.node.output[0]][0]
        return visit

    def _position(self, visit: Visit) -> tuple[int, int]:
        """Constants stand directly before what reads them."""
        return self.visits.index(self._owner(visit)), self.visits.index(visit)
