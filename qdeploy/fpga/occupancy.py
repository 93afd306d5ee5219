# SPDX-License-Identifier: Apache-2.0
"""What a simulation sees of FIFOs and nodes, and why a design stands still or is slow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qdeploy.fpga.design import Design, DesignNode
from qdeploy.fpga.watched import Signal


@dataclass(frozen=True)
class Occupancy:
    """A FIFO after a simulation.

    Attributes:
        fifo: of the design.
        words: that it holds at the end.
        peak: most words that it has ever held.
    """

    fifo: DesignNode
    words: int
    peak: int

    @property
    def full(self) -> bool:
        """Whether it takes no more words."""
        return self.words == self.fifo.depth


def watched_signals(design: Design) -> list[Signal]:
    """What is counted while a design runs: of FIFOs, of other nodes, of FIFOs behind a fork."""
    return [
        *(signal for fifo in _fifos(design) for signal in _fifo_signals(fifo)),
        *(Signal(1, "1'b1", _works(node)) for node in _operators(design)),
        *(Signal(1, "1'b1", _held_up(full, empty)) for full, empty in _branches(design)),
    ]


def occupancies(design: Design, moved: Sequence[int]) -> list[Occupancy]:
    """The FIFOs of a design, in the order of the data.

    Args:
        design: of `build_simulator`.
        moved: counts of its `watched_signals` since the reset.
    """
    counts = iter(moved)
    return [
        Occupancy(fifo, written - read, peak)
        for fifo, written, read, peak in zip(_fifos(design), counts, counts, counts, strict=False)
    ]


def explain_lost_throughput(design: Design, moved: Sequence[int], frames: int) -> str:
    """Which node works longer than predicted, or which branch of a fork holds up another one.

    Args:
        design: of `build_simulator`.
        moved: counts of its `watched_signals` during a run.
        frames: of this run.
    """
    counts = iter(moved[3 * len(_fifos(design)) :])
    works = {node: next(counts) for node in _operators(design)}
    held_up = list(zip(counts, _branches(design), strict=True))
    slowest = max(works, key=lambda node: works[node])
    if works[slowest] <= frames * design.cycles_per_frame and held_up:
        cycles, (full, empty) = max(held_up, key=lambda found: found[0])
        if cycles:
            return (
                f"{full.writer} is held up in {cycles:,} cycles: {full.name} ({full.depth} words, "
                f"read by {full.reader}) is full, while {empty.name} ({empty.depth} words, read by "
                f"{empty.reader}) is empty"
            )
    return (
        f"{slowest.name} of layer '{slowest.layer}' works {works[slowest] / frames:,.1f} cycles "
        f"per frame, predicted {slowest.cycles:,}"
    )


def explain_standstill(occupancies: list[Occupancy]) -> str:
    """Which node waits for a word while a FIFO in front of it is full."""
    inputs: dict[str | None, list[Occupancy]] = {}
    for occupancy in occupancies:
        inputs.setdefault(occupancy.fifo.reader, []).append(occupancy)
    stuck = [
        f"{reader} of layer '{full.fifo.layer}' waits for a word: {_named(empty)} is empty, "
        f"while {_named(full)} is full"
        for reader, fifos in inputs.items()
        for full in fifos
        for empty in fifos
        if full.full and not empty.words
    ]
    if not stuck:
        full = ", ".join(_named(o) for o in occupancies if o.full) or "none"
        empty = ", ".join(_named(o) for o in occupancies if not o.words) or "none"
        stuck = [f"full FIFOs: {full}; empty FIFOs: {empty}"]
    return "\n  ".join(stuck)


def _named(occupancy: Occupancy) -> str:
    fifo = occupancy.fifo
    return f"{fifo.name} ({fifo.depth} words, written by {fifo.writer or 'the input'})"


def _fifos(design: Design) -> list[DesignNode]:
    return [node for node in design.nodes if node.depth is not None]


def _operators(design: Design) -> list[DesignNode]:
    return [node for node in design.nodes if node.depth is None]


def _branches(design: Design) -> Iterator[tuple[DesignNode, DesignNode]]:
    """Pairs of FIFOs that the same node writes."""
    for full in _fifos(design):
        for empty in _fifos(design):
            if full.writer and full.writer == empty.writer and full is not empty:
                yield full, empty


def _fifo_signals(fifo: DesignNode) -> list[Signal]:
    """Words in, words out, and cycles in which it holds more than ever before.

    The last are as many as the most words that it held, since words come one by one.
    """
    path, most = f"watched.{fifo.name}_instance.operator", f"{fifo.name}_most"
    register = (
        f"  reg [31:0] {most} = 0;\n"
        f"  always @(posedge ap_clk) if ({path}.count > {most}) {most} <= {path}.count;\n"
    )
    return [
        Signal(1, "1'b1", f"{path}.s_tvalid && {path}.s_tready"),
        Signal(1, "1'b1", f"{path}.m_tvalid && {path}.m_tready"),
        Signal(1, "1'b1", f"{path}.count > {most}", register),
    ]


def _works(node: DesignNode) -> str:
    """Whether it waits neither for a word nor for room.

    Padding that waits for its frame takes no word before it sees one, so that what offers nothing
    and is offered nothing waits as well.
    """
    path = f"watched.{node.name}_instance"
    inputs = [f"{path}.in{i}_V_T" for i in range(node.input_streams)]
    outputs = [f"{path}.out{i}_V_T" for i in range(node.output_streams)]
    offers = " || ".join(f"{output}VALID" for output in outputs)
    waits = [
        *(f"!{name}VALID && ({name}READY || !({offers}))" for name in inputs),
        *(f"{name}VALID && !{name}READY" for name in outputs),
    ]
    return " && ".join(f"!({wait})" for wait in waits)


def _held_up(full: DesignNode, empty: DesignNode) -> str:
    """Whether one FIFO refuses a word while the other one has none."""
    source, idle = (f"watched.{fifo.name}_instance.operator" for fifo in (full, empty))
    return f"{source}.s_tvalid && !{source}.s_tready && !{idle}.m_tvalid"
