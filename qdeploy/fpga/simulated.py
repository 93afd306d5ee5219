# SPDX-License-Identifier: Apache-2.0
"""The generated design, run cycle by cycle behind the same calls as every other device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.errors import UserError
from qdeploy.fpga.design import Stream, load_design
from qdeploy.fpga.graph import channels_last
from qdeploy.fpga.occupancy import (
    Occupancy,
    explain_lost_throughput,
    explain_standstill,
    occupancies,
    watched_signals,
)
from qdeploy.fpga.watched import build_watched
from qdeploy.integer import IntegerNetwork, Integers
from qdeploy.simulation.driver import StandstillError, StreamSimulator
from qdeploy.simulation.packing import pack_words, unpack_words


@dataclass(frozen=True)
class SimulatedRun:
    """Outputs of a run, and its speed.

    Attributes:
        outputs: int64 [N, ...] in the network's layout (channels first).
        initiation_interval: cycles from frame to frame in the second half of the run; None for
            fewer than three frames. In a short run more than the predicted ones, while the pipeline
            fills.
        latency: cycles from the first word of the first frame to the last word of its result.
        cycles: of the whole run.
        paused: cycles of them in which a word waited for the source or the sink.
        seconds: that the simulation took.
        fifos: in the order of the data; peaks are those of earlier runs too.
        slowed_by: the slow node or the full and the empty FIFO, if the run took longer than the
            schedule allows, pauses included.
    """

    outputs: Integers
    initiation_interval: float | None
    latency: int
    cycles: int
    paused: int
    seconds: float
    fifos: list[Occupancy]
    slowed_by: str = ""

    @property
    def frames_per_second(self) -> float:
        """Speed of the simulation, not of the hardware."""
        return len(self.outputs) / self.seconds

    @property
    def cycles_per_second(self) -> float:
        """Speed of the simulation, not of the hardware."""
        return self.cycles / self.seconds


def build_simulator(design_directory: Path, directory: Path, *, trace: bool = False) -> Path:
    """Compile the design of `generate` into a shared object in `directory`.

    Args:
        design_directory: what `generate` wrote.
        directory: where the result goes.
        trace: prepare `SimulatedAccelerator.trace`, which makes the simulation slower.

    Raises:
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """
    signals = watched_signals(load_design(design_directory))
    return build_watched(design_directory, signals, directory, trace=trace)


class SimulatedDesign:
    """A design that Verilator has compiled.

    Args:
        design_directory: what `generate` wrote.
        shared_object: what `build_simulator` made of it.
    """

    form = "accelerator simulated by Verilator"

    def __init__(self, design_directory: Path, shared_object: Path) -> None:
        self.design = load_design(design_directory)
        self.design_directory = design_directory
        self._simulator = StreamSimulator(shared_object, design_directory)
        self._simulator.record([0] * len(watched_signals(self.design)))

    def run_codes(
        self,
        codes: Integers,
        *,
        input_gap: float = 0.0,
        output_stall: float = 0.0,
        burst: int = 1,
        seed: int = 0,
    ) -> SimulatedRun:
        """Stream integer inputs [N, ...] through the design.

        Args:
            codes: in the network's layout (channels first).
            input_gap: probability that the source pauses where it could offer a word.
            output_stall: probability that the sink, which takes words, pauses.
            burst: cycles of a pause; it may be followed by another one.
            seed: of the pauses.

        Raises:
            UserError: if there is no frame.
            StandstillError: if the design stands still; names full and empty FIFOs.
            InternalError: if it breaks the stream protocol.
        """
        frames, stream = len(codes), self.design.input
        if not frames:
            raise UserError("there is no frame to simulate", remedy="feed at least one")
        words = input_words(codes, stream)
        outputs = frames * self.design.output.words_per_frame
        before = self._simulator.moved()
        start = time.perf_counter()
        try:
            result = self._simulator.run(
                *(words, outputs),
                input_gap=input_gap,
                output_stall=output_stall,
                burst=burst,
                seed=seed,
            )
        except StandstillError as error:
            fifos = occupancies(self.design, self._simulator.moved())
            raise StandstillError(f"{error}\n  {explain_standstill(fifos)}") from error
        seconds = time.perf_counter() - start
        moved = self._simulator.moved()
        ends = result.output_cycles.reshape(frames, -1)[:, -1]
        half = frames // 2
        interval = float(ends[-1] - ends[half]) / (frames - 1 - half) if frames > 2 else None
        # A word that waits delays what follows by no more than that.
        in_time = self.design.latency + (frames - 1) * self.design.cycles_per_frame + result.paused
        slowed_by = ""
        if result.cycles > in_time:
            during = [after - count for after, count in zip(moved, before, strict=True)]
            slowed_by = explain_lost_throughput(self.design, during, frames)
        return SimulatedRun(
            self._outputs(result.words, frames),
            interval,
            int(ends[0] - result.input_cycles[0]) + 1,
            result.cycles,
            result.paused,
            seconds,
            occupancies(self.design, moved),
            slowed_by,
        )

    def trace(self, path: Path) -> None:
        """Write all signals of later runs to a VCD file; needs `build_simulator(trace=True)`.

        Raises:
            UserError: if the file cannot be written.
            InternalError: if the design was built without.
        """
        self._simulator.trace(path, self.design.clock_mhz)

    def _outputs(self, words: NDArray[np.uint8], frames: int) -> Integers:
        stream = self.design.output
        last = stream_elements(words, stream).reshape(frames, *stream.shape)
        return np.moveaxis(last, -1, 1)


class SimulatedAccelerator(SimulatedDesign):
    """A design that Verilator has compiled, with its network's real inputs and outputs.

    Args:
        design_directory: what `generate` wrote.
        shared_object: what `build_simulator` made of it.
        network: the network it was generated from.

    Raises:
        UserError: if the design has other inputs or outputs than the network.
    """

    def __init__(
        self, design_directory: Path, shared_object: Path, network: IntegerNetwork
    ) -> None:
        design = load_design(design_directory)
        for stream, tensor in (
            (design.input, network.input_tensor),
            (design.output, network.output_tensor),
        ):
            if stream.shape != (*tensor.shape[1:], tensor.shape[0]):
                raise UserError(
                    f"the design in {design_directory} streams frames of shape {stream.shape}, "
                    f"the network has {tensor.shape} (channels first)",
                    remedy="generate the design from this network",
                )
        super().__init__(design_directory, shared_object)
        self.network = network

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's units and layout to its real outputs.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        return self.network.real_output(self.run_integers(x))

    def run_integers(self, x: ArrayLike) -> Integers:
        """Like `run`, but to the exact integer outputs, int64."""
        values = self.network.check_input(x)
        return self.run_codes(self.network.quantizer.quantize(values)).outputs


def input_words(codes: Integers, stream: Stream) -> NDArray[np.uint8]:
    """Frames [N, ...] (channels first) as words [words, bytes] of a stream."""
    elements = channels_last(codes).reshape(-1, stream.elements_per_word)
    return pack_words((elements + 1) // 2 if stream.bipolar else elements, stream.bits)


def stream_elements(words: NDArray[np.uint8], stream: Stream) -> Integers:
    """Elements [words * elements_per_word] that the words [words, bytes] of a stream hold."""
    signed = stream.signed and not stream.bipolar
    values = unpack_words(words, stream.bits, stream.elements_per_word, signed=signed).ravel()
    return 2 * values - 1 if stream.bipolar else values
