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
from qdeploy.fpga.occupancy import explain_standstill, measure_occupancy
from qdeploy.integer import IntegerNetwork, Integers
from qdeploy.simulation.driver import StandstillError, StreamSimulator
from qdeploy.simulation.packing import pack_words, unpack_words
from qdeploy.simulation.verilator import build_model


@dataclass(frozen=True)
class SimulatedRun:
    """Outputs of a run, and its speed.

    Attributes:
        outputs: int64 [N, ...] in the network's layout (channels first).
        initiation_interval: cycles from frame to frame in the second half of the run, when the
            pipeline is full; None for fewer than three frames.
        latency: cycles from the first word of the first frame to the last word of its result.
        cycles: of the whole run.
        seconds: that the simulation took.
    """

    outputs: Integers
    initiation_interval: float | None
    latency: int
    cycles: int
    seconds: float

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
    design = load_design(design_directory)
    sources = [design_directory / name for name in design.files]
    return build_model(sources, design.top, directory, trace=trace)


class SimulatedAccelerator:
    """A design that Verilator has compiled.

    Args:
        design_directory: what `generate` wrote.
        shared_object: what `build_simulator` made of it.
        network: the network it was generated from.

    Raises:
        UserError: if the design has other inputs or outputs than the network.
    """

    form = "accelerator simulated by Verilator"

    def __init__(
        self, design_directory: Path, shared_object: Path, network: IntegerNetwork
    ) -> None:
        self.design = load_design(design_directory)
        self.design_directory = design_directory
        self.network = network
        for stream, tensor in (
            (self.design.input, network.input_tensor),
            (self.design.output, network.output_tensor),
        ):
            if stream.shape != (*tensor.shape[1:], tensor.shape[0]):
                raise UserError(
                    f"the design in {design_directory} streams frames of shape {stream.shape}, "
                    f"the network has {tensor.shape} (channels first)",
                    remedy="generate the design from this network",
                )
        self._simulator = StreamSimulator(shared_object, design_directory)

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

    def run_codes(
        self, codes: Integers, *, input_gap: float = 0.0, output_stall: float = 0.0, seed: int = 0
    ) -> SimulatedRun:
        """Stream integer inputs [N, ...] through the design.

        Args:
            codes: in the network's layout (channels first).
            input_gap: probability that a cycle offers no input word.
            output_stall: probability that a cycle takes no output word.
            seed: of gaps and stalls.

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
        start = time.perf_counter()
        try:
            result = self._simulator.run(
                words, outputs, input_gap=input_gap, output_stall=output_stall, seed=seed
            )
        except StandstillError as error:
            fifos = measure_occupancy(
                self.design_directory,
                words,
                outputs,
                input_gap=input_gap,
                output_stall=output_stall,
                seed=seed,
            )
            raise StandstillError(f"{error}\n  {explain_standstill(fifos)}") from error
        seconds = time.perf_counter() - start
        ends = result.output_cycles.reshape(frames, -1)[:, -1]
        half = frames // 2
        return SimulatedRun(
            self._outputs(result.words, frames),
            float(ends[-1] - ends[half]) / (frames - 1 - half) if frames > 2 else None,
            int(ends[0] - result.input_cycles[0]) + 1,
            result.cycles,
            seconds,
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


def input_words(codes: Integers, stream: Stream) -> NDArray[np.uint8]:
    """Frames [N, ...] (channels first) as words [words, bytes] of a stream."""
    elements = channels_last(codes).reshape(-1, stream.elements_per_word)
    return pack_words((elements + 1) // 2 if stream.bipolar else elements, stream.bits)


def stream_elements(words: NDArray[np.uint8], stream: Stream) -> Integers:
    """Elements [words * elements_per_word] that the words [words, bytes] of a stream hold."""
    signed = stream.signed and not stream.bipolar
    values = unpack_words(words, stream.bits, stream.elements_per_word, signed=signed).ravel()
    return 2 * values - 1 if stream.bipolar else values
