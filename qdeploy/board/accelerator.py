# SPDX-License-Identifier: Apache-2.0
"""A network on the FPGA of this board, behind the same calls as on every other device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from qdeploy.board.conversion import Conversion
from qdeploy.board.dma import RECEIVE, SEND, Dma
from qdeploy.board.host import BITSTREAM, HANDOFF, check_host, require, this_host
from qdeploy.board.lock import device_lock
from qdeploy.board.pynq_board import PynqBoard
from qdeploy.board.registers import ShellRegisters
from qdeploy.board.streams import pack_frames, unpack_frames
from qdeploy.board.transfers import Transfer, frames_per_transfer
from qdeploy.errors import QdeployError, ToolError, UserError

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import ArrayLike, NDArray

    from qdeploy.board.package import Package
    from qdeploy.board.pynq_board import Board

TIMEOUT = 2.0  # seconds, and some frames
TIMEOUT_FRAMES = 20
_SPIN, _PAUSE = 0.002, 0.0002  # seconds: first ask without a pause, for latency


class Accelerator:
    """The bitstream of a package, loaded into the FPGA and checked.

    While one transfer is under way the next is packed. After an error, or when a stream is left
    early, the accelerator and the DMA are reset, so that the next call works. Instances are not
    for several threads at a time; only one at a time can exist for a device, in all processes.

    Args:
        package: with a bitstream.
        timeout: seconds without any frame going in or coming out after which the accelerator
            counts as stuck; 2 and the time of 20 frames by default.
        board: what it runs on; PYNQ's active device by default.

    Raises:
        UserError: if the package holds no bitstream or one of another build, the board's clock is
            too fast for it, or another process uses the device.
        ToolError: if PYNQ cannot load it, or there is no memory.

    Attributes:
        form: of the network here, for people.
        clock_mhz: of the accelerator.
    """

    def __init__(
        self, package: Package, timeout: float | None = None, board: Board | None = None
    ) -> None:
        if board is None:
            require(check_host(package, this_host()))
        manifest = package.manifest
        if not (manifest.board and manifest.streams and manifest.build):
            raise UserError(
                f"{package.path} holds no accelerator", remedy="use --device cpu, or package again"
            )
        self._package = package
        self._build = manifest.build
        self._promise = manifest.board
        self._input, self._output = manifest.streams.input, manifest.streams.output
        self._conversion = Conversion(package)
        slowest = max(manifest.cycles_per_frame or 0, manifest.latency or 0)
        frame_seconds = slowest / (1e6 * manifest.board.clock_mhz)
        self._timeout = TIMEOUT + TIMEOUT_FRAMES * frame_seconds if timeout is None else timeout
        self._board = PynqBoard() if board is None else board
        self._resources: ExitStack | None = None
        self._busy = self._closed = False
        self._open()
        self.clock_mhz = self._board.clock_mhz
        self.form = f"accelerator on {manifest.board.name} at {self.clock_mhz:g} MHz"

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's units and layout to its real outputs.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
            ToolError: if the DMA fails, or the accelerator stands still: names the stuck stream.
        """
        return self._conversion.reals(self.run_integers(x))

    def run_integers(self, x: ArrayLike) -> NDArray[np.int64]:
        """Like `run`, but to the exact integer outputs, int64."""
        (integers,) = self.stream_integers([x])
        return integers

    def stream(self, inputs: Iterable[ArrayLike]) -> Iterator[NDArray[np.float32]]:
        """Like `run` for each of `inputs`; one of them is fetched ahead of the outputs."""
        for integers in self.stream_integers(inputs):
            yield self._conversion.reals(integers)

    def stream_integers(self, inputs: Iterable[ArrayLike]) -> Iterator[NDArray[np.int64]]:
        """Like `run_integers` for each of `inputs`; one of them is fetched ahead."""
        sizes: deque[int] = deque()

        def parts() -> Iterator[NDArray[np.int64]]:
            for x in inputs:
                codes = self._conversion.codes(x)
                sizes.append(len(codes))
                for start in range(0, max(len(codes), 1), self._frames):
                    yield codes[start : start + self._frames]

        done: list[NDArray[np.int64]] = []
        for outputs in self._transfers(parts()):
            done.append(outputs)
            if sum(map(len, done)) == sizes[0]:
                yield np.concatenate(done)
                done = []
                sizes.popleft()

    def close(self) -> None:
        """Free memory and device; the object must not be used afterwards."""
        self._closed = True
        self._release()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_resources", None):
            self.close()

    def _open(self) -> None:
        """Load the bitstream, check it, and take memory for transfers."""
        with ExitStack() as stack:
            stack.enter_context(device_lock(self._board.name))
            with TemporaryDirectory() as folder:
                files = self._package.extract(Path(folder), (BITSTREAM, HANDOFF))
                self._board.load(files / BITSTREAM, self._promise.clock_mhz)
            self._shell = ShellRegisters(
                self._board.accelerator, self._package.manifest.stream_names
            )
            self._shell.check(self._build)
            self._dma = Dma(self._board.dma, self._board.length_bits)
            self._frames = frames_per_transfer(self._package.manifest, self._dma.max_bytes)
            self._turns = (self._transfer(stack), self._transfer(stack))
            stack.callback(_silence, self._shell, self._dma)  # before the memory goes
            _reset(self._shell, self._dma)
            self._resources = stack.pop_all()

    def _transfer(self, stack: ExitStack) -> Transfer:
        buffers = []
        for stream in (self._input, self._output):
            buffers.append(self._board.allocate(self._frames * stream.frame_bytes))
            stack.callback(buffers[-1].free)
        return Transfer(*buffers)

    def _release(self) -> None:
        resources, self._resources = self._resources, None
        if resources:
            resources.close()

    def _recover(self) -> None:
        """After an error. What cannot be reset is loaded again by the next call."""
        try:
            _reset(self._shell, self._dma)
        except QdeployError:
            self._release()

    def _transfers(self, parts: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
        """Integer inputs of one transfer each to the integer outputs of it."""
        self._require_open()
        if self._busy:
            raise UserError(
                "the accelerator is busy: a stream was not read to its end",
                remedy="read it to its end, or close it",
            )
        if self._resources is None:
            self._open()
        self._busy = True
        flying: Transfer | None = None
        try:
            for number, codes in enumerate(parts):
                self._require_open()
                transfer = self._turns[number % 2]
                transfer.fill(pack_frames(codes, self._input))
                landed = flying
                if landed:
                    self._finish(landed)
                flying = transfer
                self._start(transfer)
                if landed:
                    yield self._outputs(landed)
            if flying:
                self._require_open()
                self._finish(flying)
                landed, flying = flying, None
                yield self._outputs(landed)
        finally:
            self._busy = False
            if flying and not self._closed:
                self._recover()

    def _require_open(self) -> None:
        if self._closed:
            raise UserError("the accelerator is closed", remedy="load the package again")

    def _start(self, transfer: Transfer) -> None:
        if transfer.frames:
            self._shell.set_packet(transfer.frames)
            for side, buffer, stream in (
                (RECEIVE, transfer.received, self._output),
                (SEND, transfer.sent, self._input),
            ):
                self._dma.start(side, buffer.address, transfer.frames * stream.frame_bytes)

    def _finish(self, transfer: Transfer) -> None:
        """Wait for the end of `transfer`, as long as frames move."""
        if not transfer.frames:
            return
        begin = time.monotonic()
        moved, look = None, begin
        while not self._dma.finished():
            now = time.monotonic()
            if now >= look:
                before, moved = moved, self._shell.frames()
                if moved == before:
                    raise ToolError(
                        "accelerator",
                        f"nothing has moved for {self._timeout:.3g} s: "
                        f"{self._shell.explain_standstill()}\n  DMA: {self._dma.describe()}",
                        remedy="call again; if it stands still again, report these lines",
                    )
                look = now + self._timeout
            elif now > begin + _SPIN:
                time.sleep(_PAUSE)
        expected, received = transfer.frames * self._output.frame_bytes, self._dma.received()
        if received != expected:
            raise ToolError(
                "accelerator",
                f"it gave {received} bytes for {transfer.frames} frames instead of {expected}",
                remedy="call again; if it happens again, package the build again",
            )

    def _outputs(self, transfer: Transfer) -> NDArray[np.int64]:
        return unpack_frames(transfer.outputs(self._output.frame_bytes), self._output)


def _reset(shell: ShellRegisters, dma: Dma) -> None:
    """Empty accelerator and DMA."""
    shell.hold()
    dma.reset()
    shell.release()


def _silence(shell: ShellRegisters, dma: Dma) -> None:
    with suppress(QdeployError):
        _reset(shell, dma)
