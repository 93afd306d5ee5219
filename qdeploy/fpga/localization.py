# SPDX-License-Identifier: Apache-2.0
"""Which layer of a generated design is wrong: its streams against the tensors of the reference.

Watched are the streams that carry tensors of the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.graph import channels_last
from qdeploy.fpga.images import as_images
from qdeploy.fpga.simulated import (
    SimulatedAccelerator,
    SimulatedRun,
    input_words,
    stream_elements,
)
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.fpga.watched import Signal, build_watched
from qdeploy.integer import IntegerNetwork, Integers, run_codes
from qdeploy.simulation.driver import StreamSimulator
from qdeploy.verification import require_equal

FRAMES = 4  # simulated again to find the layer: a wrong frame and those before it
_AXES = ("frame", "y", "x", "channel")


def simulate_exactly(
    accelerator: SimulatedAccelerator,
    codes: Integers,
    expected: Integers,
    who: str,
    *,
    input_gap: float = 0.0,
    output_stall: float = 0.0,
    burst: int = 1,
) -> SimulatedRun:
    """Run the accelerator and compare its outputs with the reference's.

    Args:
        accelerator: the design.
        codes: integer inputs [N, ...], channels first.
        expected: outputs of the integer reference [N, ...].
        who: what to call the run in a message.
        input_gap: see `SimulatedAccelerator.run_codes`.
        output_stall: see `SimulatedAccelerator.run_codes`.
        burst: see `SimulatedAccelerator.run_codes`.

    Raises:
        InternalError: if an output differs or the design stands still; names the first wrong layer.
    """
    frame = 0
    try:
        run = accelerator.run_codes(
            codes, input_gap=input_gap, output_stall=output_stall, burst=burst
        )
        if run.outputs.shape == expected.shape:
            frame = int(np.argmax((run.outputs != expected).reshape(len(codes), -1).any(axis=1)))
        require_equal(expected, run.outputs, who)
    except InternalError as error:
        first = max(0, frame + 1 - FRAMES)
        where = first_difference(
            accelerator.design_directory,
            accelerator.network,
            codes[first : first + FRAMES],
            first_frame=first,
            input_gap=input_gap,
            output_stall=output_stall,
            burst=burst,
        )
        raise InternalError(f"{error}\n  {where}") from error
    return run


def first_difference(
    design_directory: Path,
    network: IntegerNetwork,
    codes: Integers,
    *,
    first_frame: int = 0,
    input_gap: float = 0.0,
    output_stall: float = 0.0,
    burst: int = 1,
) -> str:
    """Simulate a few frames with all streams watched and say which layer is the first wrong one.

    Args:
        design_directory: what `generate` wrote.
        network: the network it was generated from.
        codes: integer inputs [N, ...], channels first.
        first_frame: number of the first of them in the message.
        input_gap: see `SimulatedAccelerator.run_codes`.
        output_stall: see `SimulatedAccelerator.run_codes`.
        burst: see `SimulatedAccelerator.run_codes`.

    Returns:
        Layer, tensor, position, expected and found value; or, if no value is wrong, how many words
        each stream moved.

    Raises:
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """
    design = load_design(design_directory)
    words = _recorded(design_directory, design, codes, input_gap, output_stall, burst)
    rewritten = unit_steps(as_images(network))
    images = codes.reshape(len(codes), *rewritten.input_tensor.shape)
    reference = run_codes(rewritten, images)
    moved = []
    for tap, found in zip(design.taps, words, strict=True):
        expected = channels_last(reference[tap.tensor])
        got = stream_elements(found, tap.stream)
        wrong = np.flatnonzero(expected.ravel()[: len(got)] != got)
        if len(wrong):
            place = [int(i) for i in np.unravel_index(wrong[0], expected.shape)]
            value, place[0] = expected[tuple(place)], place[0] + first_frame
            axes = _AXES if len(place) == len(_AXES) else ("frame", "channel")
            position = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=True))
            return (
                f"first wrong layer '{tap.layer}' (tensor {tap.tensor}): {position}: "
                f"expected {value}, got {got[wrong[0]]}"
            )
        moved.append(f"{tap.tensor} {len(found)} of {len(codes) * tap.stream.words_per_frame}")
    return f"no stream between layers carries a wrong value; words: {', '.join(moved)}"


def _recorded(
    design_directory: Path,
    design: Design,
    codes: Integers,
    input_gap: float,
    output_stall: float,
    burst: int,
) -> Sequence[NDArray[np.uint8]]:
    """Words of every tap, as far as the design gets."""
    signals = [
        Signal(
            tap.stream.width, f"watched.{tap.data}", f"watched.{tap.valid} && watched.{tap.ready}"
        )
        for tap in design.taps
    ]
    with tempfile.TemporaryDirectory() as folder:
        model = build_watched(design_directory, signals, Path(folder))
        simulator = StreamSimulator(model, design_directory)
    simulator.record([len(codes) * tap.stream.words_per_frame for tap in design.taps])
    with suppress(InternalError):  # the words that moved until then say more
        simulator.run(
            input_words(codes, design.input),
            len(codes) * design.output.words_per_frame,
            input_gap=input_gap,
            output_stall=output_stall,
            burst=burst,
        )
    return simulator.recorded()
