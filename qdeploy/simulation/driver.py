# SPDX-License-Identifier: Apache-2.0
"""Runs a verilated design: words in, words out, and the cycles at which they moved."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError, UserError

CHUNK_CYCLES = 1_000_000  # between two looks at the progress (and at Ctrl-C)
DRAIN_CYCLES = 100  # after the last expected word, to catch surplus ones


class StandstillError(InternalError):
    """A design that moves no more words."""


@dataclass(frozen=True)
class SimulationResult:
    """What came out of a run, and when; cycles count from the start of the run.

    Attributes:
        words: uint8 [outputs, output_bytes].
        input_cycles: int64 [inputs], the cycle in which each word was accepted.
        output_cycles: int64 [outputs], the cycle in which each word was taken.
        cycles: cycles until the last word went in or out.
        paused: cycles of them in which a word waited for the source or the sink.
    """

    words: npt.NDArray[np.uint8]
    input_cycles: npt.NDArray[np.int64]
    output_cycles: npt.NDArray[np.int64]
    cycles: int
    paused: int


class _Run(ctypes.Structure):
    """Mirrors `Run` in harness.cpp."""

    _fields_ = (
        ("input", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("input_cycles", ctypes.c_void_p),
        ("output_cycles", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("taken", ctypes.c_int64),
        ("given", ctypes.c_int64),
        ("cycle", ctypes.c_int64),
        ("gap", ctypes.c_uint64),
        ("stall", ctypes.c_uint64),
        ("random", ctypes.c_uint64),
        ("burst", ctypes.c_int64),
        ("gap_end", ctypes.c_int64),
        ("stall_end", ctypes.c_int64),
        ("paused", ctypes.c_int64),
        ("offered", ctypes.c_int32),
        ("stalled", ctypes.c_int32),
        ("violation", ctypes.c_int32),
        ("drain", ctypes.c_int32),
    )


class StreamSimulator:
    """A design built by `build_model`, in reset state at first; later runs continue.

    Args:
        shared_object: what `build_model` made.
        directory: the folder with the files that the design reads (contents of memories); that of
            the shared object by default.

    Raises:
        UserError: if the shared object is of another version.
        InternalError: if the folder cannot be entered.

    Attributes:
        input_bytes: bytes of an input word (the port's width, rounded up by Verilator to 1, 2, or
            a multiple of 4).
        output_bytes: the same of an output word.
    """

    def __init__(self, shared_object: Path, directory: Path | None = None) -> None:
        path = Path(shared_object).resolve()
        self._simulation: int | None = None
        library = ctypes.CDLL(str(path))  # symbols stay local to it
        if not hasattr(library, "simulation_taps"):
            raise UserError(
                f"{path} was built by another version of qdeploy",
                remedy="delete it and build it again",
            )
        # PyDLL keeps other Python threads out while the working directory is another one.
        create = ctypes.PyDLL(str(path)).simulation_new
        create.argtypes = [ctypes.c_char_p]
        create.restype = ctypes.c_void_p
        library.simulation_delete.argtypes = [ctypes.c_void_p]
        library.simulation_delete.restype = None
        library.simulation_input_size.restype = ctypes.c_int64
        library.simulation_output_size.restype = ctypes.c_int64
        library.simulation_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Run), ctypes.c_int64]
        library.simulation_run.restype = None
        library.simulation_trace.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]
        library.simulation_trace.restype = ctypes.c_bool
        library.simulation_taps.argtypes = [ctypes.c_void_p]
        library.simulation_taps.restype = ctypes.c_int64
        library.simulation_tap_size.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        library.simulation_tap_size.restype = ctypes.c_int64
        library.simulation_record.argtypes = [
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        ]
        library.simulation_record.restype = None
        library.simulation_recorded.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        library.simulation_recorded.restype = ctypes.c_int64
        self._library = library
        self._records: list[npt.NDArray[np.uint8]] = []
        files = Path(directory or path.parent)
        self._simulation = create(bytes(files))
        if self._simulation is None:
            raise InternalError(f"cannot enter {files} to read the files of the design")
        self.input_bytes: int = library.simulation_input_size()
        self.output_bytes: int = library.simulation_output_size()

    def run(
        self,
        words: npt.NDArray[np.uint8],
        outputs: int,
        *,
        input_gap: float = 0.0,
        output_stall: float = 0.0,
        burst: int = 1,
        seed: int = 0,
        max_idle_cycles: int = CHUNK_CYCLES,
    ) -> SimulationResult:
        """Offer `words` in order and take `outputs` words.

        Args:
            words: uint8 [words, bytes], little-endian; missing high bytes are zero.
            outputs: words that shall come out.
            input_gap: probability that the source pauses where it could offer a word.
            output_stall: probability that the sink, which takes words, pauses.
            burst: cycles of a pause; it may be followed by another one.
            seed: of the pauses.
            max_idle_cycles: give up after about this many cycles without any transfer.

        Raises:
            StandstillError: if the design stands still.
            InternalError: if it gives more words than `outputs`, or withdraws or changes a word
                that it has offered.
        """
        if words.shape[1] > self.input_bytes:
            raise InternalError(
                f"the design takes words of {self.input_bytes} bytes, not {words.shape[1]}"
            )
        padded = np.zeros((len(words), self.input_bytes), np.uint8)
        padded[:, : words.shape[1]] = words
        result = np.zeros((outputs, self.output_bytes), np.uint8)
        input_cycles = np.zeros(len(words), np.int64)
        output_cycles = np.zeros(outputs, np.int64)
        run = _Run(
            input=padded.ctypes.data,
            output=result.ctypes.data,
            input_cycles=input_cycles.ctypes.data,
            output_cycles=output_cycles.ctypes.data,
            inputs=len(words),
            outputs=outputs,
            gap=round(input_gap * 2**32),
            stall=round(output_stall * 2**32),
            burst=burst,
            random=np.random.SeedSequence(seed).generate_state(1, np.uint64)[0],
        )
        self._finish(run, max_idle_cycles)
        cycles, paused = int(run.cycle), int(run.paused)
        run.drain = 1
        run.stall = run.stall_end = 0
        self._advance(run, DRAIN_CYCLES)
        if run.given != outputs:
            raise InternalError(f"the design gave more than the expected {outputs} words")
        return SimulationResult(result, input_cycles, output_cycles, cycles, paused)

    def trace(self, path: Path, clock_mhz: float) -> None:
        """Write all signals of later runs to a VCD file; needs `build_model(trace=True)`.

        Raises:
            UserError: if the file cannot be written.
            InternalError: if the design was built without.
        """
        try:
            path.touch()
        except OSError as error:
            problem = f"cannot write {path}: {error.strerror}"
            raise UserError(problem, remedy="choose another file") from error
        half_period = round(1e6 / clock_mhz / 2)  # picoseconds
        if not self._library.simulation_trace(self._simulation, bytes(path), half_period):
            raise InternalError("cannot trace: the design was built without")

    def record(self, words: Sequence[int]) -> None:
        """Keep the first words that later runs move over the taps, `words` of each tap.

        Raises:
            InternalError: if the design was built with another number of taps.
        """
        taps = self._library.simulation_taps(self._simulation)
        if len(words) != taps:
            raise InternalError(f"the design was built with {taps} taps, not {len(words)}")
        self._records = []
        for tap, count in enumerate(words):
            size = self._library.simulation_tap_size(self._simulation, tap)
            kept = np.zeros((count, size), np.uint8)
            self._library.simulation_record(self._simulation, tap, kept.ctypes.data, count)
            self._records.append(kept)

    def recorded(self) -> list[npt.NDArray[np.uint8]]:
        """What the taps have kept since `record`: uint8 [words, bytes] each."""
        return [kept[:count] for kept, count in zip(self._records, self.moved(), strict=True)]

    def moved(self) -> list[int]:
        """Words that have moved over each tap since `record`, those not kept included."""
        return [
            self._library.simulation_recorded(self._simulation, tap)
            for tap in range(len(self._records))
        ]

    def _finish(self, run: _Run, max_idle_cycles: int) -> None:
        while run.taken < run.inputs or run.given < run.outputs:
            before = run.taken + run.given
            self._advance(run, max_idle_cycles)
            if run.taken + run.given == before:
                raise StandstillError(
                    f"the design stands still: it took {run.taken} of {run.inputs} words "
                    f"and gave {run.given} of {run.outputs}"
                )

    def _advance(self, run: _Run, cycles: int) -> None:
        self._library.simulation_run(self._simulation, ctypes.byref(run), cycles)
        if run.violation:
            raise InternalError(
                "the design withdrew or changed an output word before it was taken, "
                f"or offered it depending on TREADY, before cycle {run.cycle}"
            )

    def close(self) -> None:
        """Free the simulation; the object must not be used afterwards."""
        if self._simulation is not None:
            self._library.simulation_delete(self._simulation)
            self._simulation = None

    def __del__(self) -> None:
        self.close()
