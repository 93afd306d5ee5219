# SPDX-License-Identifier: Apache-2.0
"""The walk of the lowering, carried on past the first node that fails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Node
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, Value
from qdeploy.lowering.walk import Walk


@dataclass(frozen=True, eq=False)
class Visit:
    """One node of the file and what the walk made of it.

    Attributes:
        position: in the file.
        node: as in the file.
        value: what its output is; None if it failed or was not reached.
        created: names of the integer operators that it appended and the output needs.
        error: why it failed.
        blocked_by: the failed node that it depends on.
    """

    position: int
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
    """All visits of one file.

    Args:
        walk: before its first node.
    """

    def __init__(self, walk: Walk) -> None:
        self.source = walk.source
        self.walk = walk
        self.visits: list[Visit] = []
        self._readers: dict[str, list[Visit]] = defaultdict(list)
        blocked: dict[str, onnx.NodeProto] = {}
        for position, node in enumerate(self.source.nodes):
            visit = self._visit(position, node, blocked)
            failed = node if visit.error else visit.blocked_by
            if failed is not None:
                blocked.update(dict.fromkeys(node.output, failed))
            self.visits.append(visit)
        self._operators = {operator.name: operator for operator in self.walk.builder.nodes}
        if self.complete:
            needed = self._needed()
            self.visits = [self._used(visit, needed) for visit in self.visits]
        for visit in self.visits:
            for name in dict.fromkeys(visit.node.input):
                self._readers[name].append(visit)

    @property
    def complete(self) -> bool:
        """Whether every node was lowered."""
        return all(visit.state == "lowered" for visit in self.visits)

    def operator(self, name: str) -> Node:
        """An integer operator as it is at the end: later quantizers may have turned its signs."""
        return self._operators[name]

    def readers(self, visit: Visit) -> list[Visit]:
        """Who reads the output of `visit`."""
        found = [reader for name in visit.node.output for reader in self._readers[name]]
        return list({reader.position: reader for reader in found}.values())

    def readers_through(self, visit: Visit, through: Callable[[Visit], bool]) -> list[Visit]:
        """The first readers behind `visit` for which `through` does not hold.

        A visit for which it holds is looked through; it is in the answer only if it gives the
        network's output, and so is `visit` itself.
        """
        found: dict[int, Visit] = {}
        waiting, seen = [visit], {visit.position}
        while waiting:
            present = waiting.pop(0)
            if present.node.output[0] == self.source.output:
                found[present.position] = present
            for reader in self.readers(present):
                if not through(reader):
                    found[reader.position] = reader
                elif reader.position not in seen:
                    seen.add(reader.position)
                    waiting.append(reader)
        return [found[position] for position in sorted(found)]

    def layers(self) -> dict[str, list[Visit]]:
        """Visits by layer of the PyTorch model; constants belong to the layer that reads them."""
        owners = {visit.position: self._owner(visit) for visit in self.visits}
        groups: dict[str, list[Visit]] = {}
        for visit in sorted(self.visits, key=lambda v: (owners[v.position].position, v.position)):
            groups.setdefault(layer_name(owners[visit.position].node), []).append(visit)
        return groups

    def _visit(
        self, position: int, node: onnx.NodeProto, blocked: dict[str, onnx.NodeProto]
    ) -> Visit:
        cause = next((blocked[name] for name in node.input if name in blocked), None)
        if cause is not None:
            return Visit(position, node, blocked_by=cause)
        present = len(self.walk.builder.nodes)
        try:
            self.walk.visit(node)
        except UserError as error:
            return Visit(position, node, error=error)
        created = tuple(operator.name for operator in self.walk.builder.nodes[present:])
        return Visit(position, node, value=self.walk.values[node.output[0]], created=created)

    def _needed(self) -> set[str]:
        """Integer tensors on the way to the output; transpositions that cancel are not."""
        output = self.walk.values[self.source.output]
        needed = {output.tensor} if isinstance(output, Activation) else set()
        for operator in reversed(self.walk.builder.nodes):
            if operator.output in needed:
                needed.update(operator.inputs)
        return needed

    def _used(self, visit: Visit, needed: set[str]) -> Visit:
        created = tuple(name for name in visit.created if self.operator(name).output in needed)
        return replace(visit, created=created)

    def _owner(self, visit: Visit) -> Visit:
        """The first reader that is no constant, looking through constants only."""
        if not visit.is_constant:
            return visit
        readers = self.readers_through(visit, lambda reader: reader.is_constant)
        return readers[0] if readers else visit
