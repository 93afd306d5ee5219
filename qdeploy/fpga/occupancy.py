# SPDX-License-Identifier: Apache-2.0
"""Words in the FIFOs of a generated design while it is simulated, and why one stands still."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.fpga.design import DesignNode, load_design
from qdeploy.fpga.watched import Signal, watched_simulator
from qdeploy.simulation.driver import StandstillError


@dataclass(frozen=True)
class Occupancy:
    """A FIFO after a simulation.

    Attributes:
        fifo: of the design.
        words: that it holds at the end.
        peak: most words that it held.
    """

    fifo: DesignNode
    words: int
    peak: int

    @property
    def full(self) -> bool:
        """Whether it takes no more words."""
        return self.words == self.fifo.depth


def measure_occupancy(
    design_directory: Path,
    words: NDArray[np.uint8],
    outputs: int,
    *,
    input_gap: float = 0.0,
    output_stall: float = 0.0,
    seed: int = 0,
) -> list[Occupancy]:
    """Simulate a design, as far as it gets, and look at its FIFOs.

    Args:
        design_directory: what `generate` wrote.
        words: see `StreamSimulator.run`, like what follows.
        outputs: words that shall come out.
        input_gap: probability that no new word is offered in a cycle.
        output_stall: probability that no word is taken in a cycle.
        seed: of the gaps and stalls.

    Raises:
        ToolError: if Verilator or the C++ compiler is missing or fails.
        InternalError: if the design breaks the stream protocol.
    """
    fifos = [node for node in load_design(design_directory).nodes if node.depth is not None]
    signals = [signal for fifo in fifos for signal in _signals(fifo)]
    simulator = watched_simulator(design_directory, signals)
    simulator.record([0] * len(signals))
    with suppress(StandstillError):
        simulator.run(words, outputs, input_gap=input_gap, output_stall=output_stall, seed=seed)
    moved = iter(simulator.moved())
    return [
        Occupancy(fifo, written - read, peak)
        for fifo, written, read, peak in zip(fifos, moved, moved, moved, strict=True)
    ]


def explain_lost_throughput(design_directory: Path, words: NDArray[np.uint8], outputs: int) -> str:
    """Which fork a full FIFO holds up longest while the FIFO of another branch is empty.

    Args:
        design_directory: what `generate` wrote.
        words: see `StreamSimulator.run`.
        outputs: words that come out.

    Raises:
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """
    fifos = [node for node in load_design(design_directory).nodes if node.depth is not None]
    pairs = [
        (full, empty)
        for full in fifos
        for empty in fifos
        if full.writer and full.writer == empty.writer and full is not empty
    ]
    if not pairs:
        return "there are no branches: an operator is slower than predicted"
    signals = [
        Signal(
            1,
            "1'b1",
            f"watched.{full.name}_instance.operator.s_tvalid"
            f" && !watched.{full.name}_instance.operator.s_tready"
            f" && !watched.{empty.name}_instance.operator.m_tvalid",
        )
        for full, empty in pairs
    ]
    simulator = watched_simulator(design_directory, signals)
    simulator.record([0] * len(signals))
    simulator.run(words, outputs)
    cycles, (full, empty) = max(
        zip(simulator.moved(), pairs, strict=True), key=lambda found: found[0]
    )
    if not cycles:
        return "no branch holds up another one: an operator is slower than predicted"
    return (
        f"{full.writer} is held up in {cycles:,} cycles: {full.name} ({full.depth} words, read by "
        f"{full.reader}) is full, while {empty.name} ({empty.depth} words, read by {empty.reader}) "
        f"is empty"
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


def _signals(fifo: DesignNode) -> list[Signal]:
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
