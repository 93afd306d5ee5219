# SPDX-License-Identifier: Apache-2.0
"""Runs a verilated shell as a processor and a DMA engine see it: registers, and beats in and out.

Building needs Verilator; a built one runs where numpy is.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.board.streams import BEAT_BYTES
from qdeploy.errors import InternalError, UserError
from qdeploy.simulation.verilator import build_model

HARNESS = Path(__file__).with_name("shell.cpp")
ANSWER_CYCLES = 100_000  # a transfer of AXI4-Lite that takes longer is an error
_VIOLATIONS = (
    "",
    "withdrew or changed what it had offered before it was taken",
    "lets an output depend on an input within the cycle",
    "answered a transfer with an error, or one that was not requested",
)


def build_shell_model(design_directory: Path, shell_directory: Path, directory: Path) -> Path:
    """Compile a design with its shell into a shared object for `ShellSimulator`.

    Args:
        design_directory: what `generate` wrote.
        shell_directory: what `generate_shell` made of it.
        directory: where the result goes.

    Raises:
        UserError: if one of the folders is damaged.
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """
    from qdeploy.fpga.design import load_design
    from qdeploy.fpga.shell import load_shell

    shell = load_shell(shell_directory)
    sources = [
        *(design_directory / name for name in load_design(design_directory).files),
        *(shell_directory / name for name in shell.files),
    ]
    return build_model(sources, shell.top, directory, harness=HARNESS)


class ShellSimulator:
    """A shell with its accelerator, out of reset; source and sink of beats are as of a DMA engine.

    Time goes on in `read`, `write`, `transfer` and `step` alone; streams move in all of them.

    Args:
        shared_object: what `build_shell_model` made.
        directory: the design folder, for the contents of its memories; that of the shared object by
            default.
        input_gap: probability that the source pauses where it could offer a beat.
        output_stall: probability that the sink pauses where it could take one.
        master_pause: probability that a channel of the AXI4-Lite master pauses, each by itself.
        burst: cycles of a pause; it may be followed by another one.
        seed: of the pauses.

    Raises:
        UserError: if the shared object is something else.
        InternalError: if the folder cannot be entered.
    """

    def __init__(
        self,
        shared_object: Path,
        directory: Path | None = None,
        *,
        input_gap: float = 0.0,
        output_stall: float = 0.0,
        master_pause: float = 0.0,
        burst: int = 1,
        seed: int = 0,
    ) -> None:
        path = Path(shared_object).resolve()
        self._simulation: int | None = None
        library = ctypes.CDLL(str(path))  # symbols stay local to it
        if not hasattr(library, "shell_cycle"):
            raise UserError(
                f"{path} is no simulation of a shell, or of another version of qdeploy",
                remedy="build it again",
            )
        # PyDLL keeps other Python threads out while the working directory is another one.
        create = ctypes.PyDLL(str(path)).shell_new
        create.argtypes = [ctypes.c_char_p]
        create.restype = ctypes.c_void_p
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        for name, result, arguments in (
            ("delete", None, ()),
            ("pause", None, (*[ctypes.c_uint64] * 3, number, ctypes.c_uint64)),
            ("write", None, [ctypes.c_uint32] * 3),
            ("read", None, [ctypes.c_uint32]),
            ("open", number, ()),
            ("answer", ctypes.c_uint32, ()),
            ("send", None, (pointer, number)),
            ("unsent", number, ()),
            ("receive", None, [number]),
            ("room", number, ()),
            ("received", number, ()),
            ("take", number, (pointer, ctypes.POINTER(ctypes.c_bool))),
            ("abort", None, ()),
            ("run", ctypes.c_int, (number, ctypes.c_bool)),
            ("cycle", number, ()),
        ):
            function = getattr(library, f"shell_{name}")
            function.restype = result
            function.argtypes = [pointer, *arguments]
        self._library = library
        files = Path(directory or path.parent)
        self._simulation = create(bytes(files))
        if self._simulation is None:
            raise InternalError(f"cannot enter {files} to read the files of the design")
        chances = [round(chance * 2**32) for chance in (input_gap, output_stall, master_pause)]
        state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        library.shell_pause(self._simulation, *chances, burst, int(state))

    def read(self, address: int) -> int:
        """The register at a byte address.

        Raises:
            InternalError: if the design breaks a protocol.
        """
        return self.transfer([(address, None)])[0]

    def write(self, address: int, value: int) -> None:
        """Write the register at a byte address.

        Raises:
            InternalError: if the design breaks a protocol.
        """
        self.transfer([(address, value)])

    def transfer(self, transfers: list[tuple[int, int | None]], strobes: int = 0b1111) -> list[int]:
        """Request several reads (value None) and writes at once; return what was read, in order.

        Writes follow each other, and so do reads, but a read may overtake a write.

        Args:
            transfers: byte addresses with values.
            strobes: of all writes.

        Raises:
            InternalError: if the design breaks a protocol.
        """
        reads = 0
        for address, value in transfers:
            if value is None:
                self._library.shell_read(self._simulation, address)
                reads += 1
            else:
                self._library.shell_write(self._simulation, address, value, strobes)
        self._run(ANSWER_CYCLES * len(transfers), until_answered=True)
        if self._library.shell_open(self._simulation):
            raise InternalError("the shell does not answer on AXI4-Lite")
        return [self._library.shell_answer(self._simulation) for _ in range(reads)]

    def step(self, cycles: int) -> None:
        """Let so many cycles go by.

        Raises:
            InternalError: if the design breaks a protocol.
        """
        self._run(cycles)

    def send(self, data: npt.NDArray[np.uint8]) -> None:
        """Queue bytes, whole beats, behind those that the source has still to send."""
        beats = np.ascontiguousarray(data, np.uint8)
        assert beats.size % BEAT_BYTES == 0
        size = beats.size // BEAT_BYTES
        self._library.shell_send(self._simulation, beats.ctypes.data, size)

    @property
    def unsent(self) -> int:
        """Bytes that the design has not taken yet."""
        return int(self._library.shell_unsent(self._simulation)) * BEAT_BYTES

    def receive(self, size: int) -> None:
        """Let the sink take `size` more bytes, whole beats, but none behind one with TLAST."""
        assert size % BEAT_BYTES == 0
        self._library.shell_receive(self._simulation, size // BEAT_BYTES)

    @property
    def room(self) -> int:
        """Bytes that the sink would still take; 0 after TLAST."""
        return int(self._library.shell_room(self._simulation)) * BEAT_BYTES

    def received(self) -> tuple[npt.NDArray[np.uint8], bool]:
        """The bytes that came since the last call, up to TLAST, and whether that was among them."""
        beats = self._library.shell_received(self._simulation)
        data = np.zeros(beats * BEAT_BYTES, np.uint8)
        last = ctypes.c_bool()
        count = self._library.shell_take(self._simulation, data.ctypes.data, ctypes.byref(last))
        return data[: count * BEAT_BYTES], last.value

    def abort(self) -> None:
        """Forget what is unsent, what came, and what the sink would take, as a DMA reset does."""
        self._library.shell_abort(self._simulation)

    @property
    def cycle(self) -> int:
        """Cycles since the start."""
        return int(self._library.shell_cycle(self._simulation))

    def _run(self, cycles: int, *, until_answered: bool = False) -> None:
        violation = self._library.shell_run(self._simulation, cycles, until_answered)
        if violation:
            raise InternalError(
                f"the shell {_VIOLATIONS[violation]}, in cycle {self.cycle - 1} of the simulation"
            )

    def close(self) -> None:
        """Free the simulation; the object must not be used afterwards."""
        if self._simulation is not None:
            self._library.shell_delete(self._simulation)
            self._simulation = None

    def __del__(self) -> None:
        self.close()
