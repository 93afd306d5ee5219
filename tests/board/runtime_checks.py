# SPDX-License-Identifier: Apache-2.0
"""What the runtime must do, on a board in Python: runs under pytest, and as a script in any Python.

    python runtime_checks.py model.qdp

The package is that of `packages.doubling` with a bitstream, five frames in a transfer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from model_board import ModelBoard, ModelBuffer
from shell_model import ShellModel

from qdeploy.board import accelerator, dma
from qdeploy.board import registers as at
from qdeploy.board.accelerator import Accelerator
from qdeploy.board.package import Package, open_package
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.simulation import axi_dma

FRAMES = 5  # of a transfer
FULL, EMPTY, UNUSED = at.VALID, at.READY | at.MOVED, at.READY


def model(package: Package, **options: int) -> ModelBoard:
    """A board on whose time the runtime is from now on."""
    manifest = package.manifest
    assert manifest.build is not None
    board = ModelBoard(ShellModel(manifest.build, len(manifest.stream_names)), **options)
    accelerator.time = dma.time = board.time
    return board


def inputs(frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.RandomState(seed).rand(frames, 2) * 5).astype(np.float32)


def expected(x: np.ndarray) -> np.ndarray:
    """Codes are the whole parts up to 3."""
    return 2 * np.minimum(np.floor(x), 3).astype(np.int64)


def works(accelerator: Accelerator, frames: int = 3 * FRAMES + 2) -> None:
    x = inputs(frames, frames)
    integers = accelerator.run_integers(x)
    assert integers.dtype == np.int64
    assert np.array_equal(integers, expected(x))


@contextmanager
def raises(kind: type[QdeployError], pattern: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        assert re.search(pattern, str(error), re.DOTALL), str(error)  # noqa: PT017 (no pytest)
    else:
        raise AssertionError(f"no {kind.__name__}")


def check_batches(package: Package) -> None:
    board = model(package)
    with Accelerator(package, board=board) as accelerator:
        for frames in (1, 2, FRAMES, FRAMES + 1, 2 * FRAMES, 23):
            works(accelerator, frames)
        x = inputs(4)
        reals = accelerator.run(x)
        assert reals.dtype == np.float32
        assert np.array_equal(reals, np.float32(0.5 * expected(x) + [0, 1]))
        assert np.array_equal(accelerator.run_integers(x[0]), expected(x[:1]))
        assert accelerator.run(x[:0]).shape == (0, 2)
        assert accelerator.form == "accelerator on PYNQ-Z2 at 100 MHz"
        assert board.memory.buffers == 4
    assert board.memory.buffers == 0
    assert board.loads == 1
    with raises(UserError, "closed"):
        accelerator.run(x)


def check_streams(package: Package) -> None:
    batches = [inputs(size, size) for size in (3, 0, 12, 1, 1, 0)]
    fetched = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal fetched
        for batch in batches:
            fetched += 1
            yield batch

    with Accelerator(package, board=model(package)) as accelerator:
        count = 0
        for count, outputs in enumerate(accelerator.stream_integers(source()), 1):
            assert np.array_equal(outputs, expected(batches[count - 1]))
            assert fetched <= count + 1
        assert count == len(batches)
        reals = list(accelerator.stream(iter(batches)))
        assert np.array_equal(np.concatenate(reals), accelerator.run(np.concatenate(batches)))
        assert list(accelerator.stream([])) == []


def check_next_is_packed_meanwhile(package: Package) -> None:
    flying = []

    class Watched(ModelBuffer):
        def flush(self) -> None:
            flying.append(board.shell.unsent > 0)
            super().flush()

    board = model(package, pace=1)
    board.Buffer = Watched
    with Accelerator(package, board=board) as accelerator:
        flying.clear()
        works(accelerator, 4 * FRAMES)
    assert flying == [False, True, True, True]


def check_caches(package: Package) -> None:
    class Unflushed(ModelBuffer):
        def flush(self) -> None:
            pass

    class Valid(ModelBuffer):
        def invalidate(self) -> None:
            pass

    for kind in (Unflushed, Valid):
        board = model(package)
        board.Buffer = kind
        with Accelerator(package, board=board) as accelerator:
            x = inputs(9)
            assert not np.array_equal(accelerator.run_integers(x), expected(x))


def check_dma_errors(package: Package) -> None:
    board = model(package)
    with Accelerator(package, board=board) as accelerator:
        for side, name in (
            (axi_dma.MM2S, r"sending \(MM2S\)"),
            (axi_dma.S2MM, r"receiving \(S2MM\)"),
        ):
            for bit, text in (
                (axi_dma.INTERNAL, "internal error"),
                (axi_dma.SLAVE, "slave error"),
                (axi_dma.DECODE, "decode error"),
            ):
                board.engine.failing[side] = bit
                with raises(ToolError, f"^DMA: {name} failed: .*{text}"):
                    accelerator.run(inputs(12))
                works(accelerator)
    assert board.memory.buffers == 0


def check_stuck_accelerator(package: Package) -> None:
    board = model(package)
    with Accelerator(package, timeout=5, board=board) as accelerator:
        works(accelerator)
        board.shell.stuck = True
        for states, place in (
            ((FULL, FULL, EMPTY), "'fc -> output' is stuck: it is full, but 'output' behind"),
            ((FULL, EMPTY, EMPTY), "'input' is stuck: it is full, but 'fc -> output' behind"),
            ((EMPTY, FULL, EMPTY), "'fc -> output' is stuck"),
            ((EMPTY, EMPTY, UNUSED), "went over 'fc -> output', never over 'output'"),
            ((UNUSED, UNUSED, UNUSED), "waits for its input"),
        ):
            board.shell.states = list(states)
            board.shell.stalled = [7, 1234, 0]
            with raises(ToolError, f"for 5 s.*{place}.*1234 cycles.*MM2S.*busy"):
                accelerator.run(inputs(3))
        board.shell.stuck = False
        works(accelerator)


def check_results_that_nobody_takes(package: Package) -> None:
    board = model(package)
    with Accelerator(package, timeout=5, board=board) as accelerator:
        board.engine.deaf = True
        with raises(ToolError, "'output' is full: the DMA.*3 frames went in and 0 came out"):
            accelerator.run(inputs(3))
        board.engine.deaf = False
        works(accelerator)


def check_slow_accelerator(package: Package) -> None:
    board = model(package, pace=1)
    board.shell.cycles_per_frame = 4000
    with Accelerator(package, timeout=1, board=board) as accelerator:
        works(accelerator, FRAMES)
        assert board.time.now > 2


def check_packets(package: Package) -> None:
    board = model(package)
    with Accelerator(package, board=board) as accelerator:
        board.shell.packet_is_fixed = True
        for packet, text in ((2, "16 bytes for 3 frames instead of 24"), (7, "internal error")):
            board.shell.packet = packet
            with raises(ToolError, text):
                accelerator.run(inputs(3))
        board.shell.packet_is_fixed = False
        works(accelerator)


def check_wrong_bitstream(package: Package) -> None:
    for change, text in (
        ({"build": "f" * 64}, "build ffffffffffff.*0123456789ab"),
        ({"identity": 0}, "no accelerator of qdeploy"),
        ({"states": [0] * 9, "stalled": [0] * 9}, "9 streams, the package names 3"),
    ):
        board = model(package)
        good = dict(vars(board.shell))
        vars(board.shell).update(change)
        with raises(UserError, text):
            Accelerator(package, board=board)
        assert board.memory.buffers == 0
        vars(board.shell).update(good)
        with Accelerator(package, board=board) as accelerator:
            works(accelerator)


def check_no_memory(package: Package) -> None:
    board = model(package, memory=3 * 4096)
    with raises(MemoryError, "wanted"):
        Accelerator(package, board=board)
    assert board.memory.buffers == 0
    board.memory.free_bytes = 4 * 4096
    with Accelerator(package, board=board) as accelerator:
        works(accelerator)


def check_reset_that_hangs(package: Package) -> None:
    board = model(package)
    with Accelerator(package, timeout=5, board=board) as accelerator:
        board.shell.stuck = board.engine.hangs = True
        with raises(ToolError, "nothing has moved"):
            accelerator.run(inputs(3))
        assert board.memory.buffers == 0
        board.shell.stuck = False
        works(accelerator)
        assert board.loads == 2
    assert board.memory.buffers == 0


def check_interruptions(package: Package) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield inputs(2)
        raise KeyboardInterrupt

    board = model(package)
    with Accelerator(package, board=board) as accelerator:
        left = accelerator.stream([inputs(7), inputs(8), inputs(9)])
        next(left)
        with raises(UserError, "not read to its end"):
            accelerator.run(inputs(1))
        left.close()
        works(accelerator)
        try:
            list(accelerator.stream(interrupted()))
        except KeyboardInterrupt:
            works(accelerator)
        else:
            raise AssertionError
        with raises(UserError, "NaN"):
            list(accelerator.stream([inputs(2), np.full((1, 2), np.nan)]))
        with raises(UserError, r"shape \(2, 3\)"):
            accelerator.run(np.zeros((2, 3)))
        works(accelerator)


def check_closing_under_a_stream(package: Package) -> None:
    board = model(package)
    for frames in (1, 7):
        accelerator = Accelerator(package, board=board)
        left = accelerator.stream([inputs(7), inputs(frames), inputs(frames)])
        next(left)
        accelerator.close()
        assert board.memory.buffers == 0
        now = board.time.now
        with raises(UserError, "closed"):
            next(left)
        left.close()
        assert board.time.now == now  # nobody touched a device that may be another one's by now


def check_one_at_a_time(package: Package) -> None:
    board = model(package)
    with Accelerator(package, board=board) as accelerator:
        with raises(UserError, "in use by this process"):
            Accelerator(package, board=board)
        works(accelerator)
    with Accelerator(package, board=board) as accelerator:
        works(accelerator)


CHECKS: dict[str, Callable[[Package], None]] = {
    name: value for name, value in list(globals().items()) if name.startswith("check_")
}

if __name__ == "__main__":
    opened = open_package(Path(sys.argv[1]))
    for check in CHECKS.values():
        check(opened)
    print(len(CHECKS), "checks", ".".join(map(str, sys.version_info[:2])), np.__version__)
