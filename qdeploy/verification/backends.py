# SPDX-License-Identifier: Apache-2.0
"""Every version of a network on the same data, held against the integer reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError
from qdeploy.integer import IntegerNetwork, Integers
from qdeploy.verification.contents import FifoPeak, Verification
from qdeploy.verification.ranges import observe
from qdeploy.verification.samples import Samples
from qdeploy.verification.source import compare_source

# Chances per cycle that the simulated source pauses and the sink stalls, in the second run.
INPUT_GAP = 0.3
OUTPUT_STALL = 0.3
# Frames of the third run, in which both pause about once per frame and as long as a frame lasts.
PAUSED_FRAMES = 4


def verify(
    network: IntegerNetwork,
    samples: Samples,
    packed: Path,
    simulator: tuple[Path, Path] | None = None,
    real: Path | None = None,
    source: Path | None = None,
    input_type: str | None = None,
) -> Verification:
    """Run every version on the samples and compare.

    Args:
        network: the integer network; its numpy reference decides.
        samples: inputs, and classes if known.
        packed: cpu.onnx.
        simulator: design folder and shared object of the accelerator; it runs at full speed, with
            random gaps at its input and stalls at its output, and on a few samples with pauses as
            long as a frame.
        real: predictions.npz of the torch networks: logits `float` and `trained` [N, C].
        source: the QONNX file that was lowered.
        input_type: as it was lowered with; see `qdeploy.lowering.lower`.

    Raises:
        InternalError: at the first integer that differs from the reference (of the accelerator it
            names the first wrong layer), leaves its promised range, or does not mean what the
            source file says in exact rationals.
    """
    from qdeploy.cpu import Session

    reference, extremes = observe(network, samples.x)
    classes = {"integer": predictions(network.real_output(reference))}
    on_cpu = Session(packed, portable=True).run_integers(samples.x)
    require_equal(reference, on_cpu, "cpu.onnx")
    session = Session(packed)
    if session.fast:
        kernels = session.run_integers(samples.x)
        require_equal(reference, kernels, f"cpu.onnx with {session.form}")
    classes["cpu"] = predictions(network.real_output(on_cpu))
    compared, rescaling = None, None
    if source is not None:
        compared, rescaling = compare_source(source, network, samples, input_type)
    differences, measured = None, dict[str, Any]()
    if real is not None:
        with np.load(real, allow_pickle=False) as archive:
            logits = {name: archive[name] for name in ("float", "trained")}
        classes |= {name: predictions(values) for name, values in logits.items()}
        differences = int((classes["trained"] != classes["integer"]).sum())
    if simulator is not None:
        from qdeploy.fpga.localization import simulate_exactly
        from qdeploy.fpga.simulated import SimulatedAccelerator

        accelerator = SimulatedAccelerator(*simulator, network)
        codes = network.quantizer.quantize(samples.x)
        run = simulate_exactly(accelerator, codes, reference, "the simulated accelerator")
        stalled = simulate_exactly(
            accelerator,
            codes,
            reference,
            "the simulated accelerator with random stalls",
            input_gap=INPUT_GAP,
            output_stall=OUTPUT_STALL,
        )
        cycles = accelerator.design.cycles_per_frame
        paused = simulate_exactly(
            accelerator,
            codes[:PAUSED_FRAMES],
            reference[:PAUSED_FRAMES],
            "the simulated accelerator with pauses of a frame",
            input_gap=1 / cycles,
            output_stall=1 / cycles,
            burst=cycles,
        )
        measured = {
            "interval_cycles": run.initiation_interval,
            "slowed_by": run.slowed_by or stalled.slowed_by or paused.slowed_by,
            "latency_cycles": run.latency,
            "simulated_frames_per_second": run.frames_per_second,
            "simulated_cycles_per_second": run.cycles_per_second,
            "fifos": [
                FifoPeak(name=first.fifo.name, full_speed=first.peak, ever=last.peak)
                for first, last in zip(run.fifos, paused.fifos, strict=True)
            ],
        }
        classes["rtl"] = predictions(network.real_output(run.outputs))
    labels = samples.y
    return Verification(
        frames=len(samples.x),
        labelled=labels is not None,
        correct={n: int((c == labels).sum()) for n, c in classes.items()}
        if labels is not None
        else {},
        compared=[name for name in ("cpu", "rtl") if name in classes],
        source=compared,
        rescaling=rescaling,
        extremes=extremes,
        trained_differences=differences,
        **measured,
    )


def predictions(outputs: NDArray[np.generic]) -> Integers:
    """Classes [N] of logits [N, C] or of chosen classes [N, 1]."""
    return outputs[:, 0].astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def require_equal(expected: Integers, got: Integers, who: str) -> None:
    """Compare a back end's integers with the reference's.

    Raises:
        InternalError: if they differ anywhere; names the first place and both values.
    """
    if np.array_equal(expected, got):
        return
    if expected.shape != got.shape:
        raise InternalError(f"{who}: outputs of shape {got.shape}, reference {expected.shape}")
    first = tuple(int(i) for i in np.argwhere(expected != got)[0])
    raise InternalError(
        f"{who} differs from the integer reference in {(expected != got).sum()} of "
        f"{expected.size} outputs, first at {first}: expected {expected[first]}, got {got[first]}"
    )
