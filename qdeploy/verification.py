# SPDX-License-Identifier: Apache-2.0
"""Every version of a network on the same data, held against the integer reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from qdeploy import integer
from qdeploy.errors import InternalError, UserError
from qdeploy.integer import IntegerNetwork, Integers

RANDOM_FRAMES = 64


# Chances per cycle that the simulated source pauses and the sink stalls, in the second run.
INPUT_GAP = 0.3
OUTPUT_STALL = 0.3


class Verification(BaseModel):
    """What `verify` found; every back end listed equals the reference.

    Attributes:
        frames: samples compared.
        labelled: whether their classes are known; `correct` is empty otherwise.
        correct: right predictions by version: float, trained, integer, cpu, rtl.
        compared: back ends whose integers equal the reference's on every sample.
        trained_differences: predictions in which the trained torch network (evaluated in float32)
            differs from the integers; None without one.
        interval_cycles: measured initiation interval of the simulated accelerator.
        latency_cycles: from the first input word to the last output word of the first frame.
        simulated_frames_per_second: speed of the simulation.
        simulated_cycles_per_second: speed of the simulation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    labelled: bool
    correct: dict[str, int]
    compared: list[str]
    trained_differences: int | None = None
    interval_cycles: float | None = None
    latency_cycles: int | None = None
    simulated_frames_per_second: float | None = None
    simulated_cycles_per_second: float | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs x float32 [N, ...] in the model's units and layout, classes y int64 [N] if known."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None


def load_data(path: Path, network: IntegerNetwork) -> Samples:
    """Read an .npz with x and optionally y.

    Raises:
        UserError: if the file is unreadable or does not fit the network.
    """
    remedy = "save it with numpy.savez(path, x=inputs, y=classes)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            x = network.check_input(archive["x"])
            y = archive["y"].astype(np.int64) if "y" in archive.files else None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot use {path} as test data: {error}", remedy=remedy) from error
    if y is not None and y.shape != (len(x),):
        raise UserError(f"{path}: {len(x)} inputs, but classes of shape {y.shape}", remedy=remedy)
    return Samples(x, y)


def random_data(network: IntegerNetwork, frames: int = RANDOM_FRAMES) -> Samples:
    """Random inputs that use every code of the input quantizer; no classes."""
    boundaries = network.quantizer.boundaries.astype(np.float64)
    margin = 1.0 if len(boundaries) < 2 else float(np.diff(boundaries).max())
    rng = np.random.default_rng(0)
    shape = (frames, *network.input_tensor.shape)
    x = rng.uniform(boundaries.min() - margin, boundaries.max() + margin, shape)
    return Samples(x.astype(np.float32), None)


def verify(
    network: IntegerNetwork,
    samples: Samples,
    packed: Path,
    simulator: tuple[Path, Path] | None = None,
    real: Path | None = None,
) -> Verification:
    """Run every version on the samples and compare.

    Args:
        network: the integer network; its numpy reference decides.
        samples: inputs, and classes if known.
        packed: cpu.onnx.
        simulator: design folder and shared object of the accelerator; it runs once at full speed
            and once with random gaps at its input and stalls at its output.
        real: predictions.npz of the torch networks: logits `float` and `trained` [N, C].

    Raises:
        InternalError: at the first integer that differs from the reference; of the accelerator it
            names the first wrong layer.
    """
    from qdeploy.cpu import Session

    reference = integer.run(network, samples.x)
    classes = {"integer": predictions(reference)}
    on_cpu = Session(packed).run_integers(samples.x)
    require_equal(reference, on_cpu, "cpu.onnx")
    classes["cpu"] = predictions(on_cpu)
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
        simulate_exactly(
            accelerator,
            codes,
            reference,
            "the simulated accelerator with random stalls",
            input_gap=INPUT_GAP,
            output_stall=OUTPUT_STALL,
        )
        measured = {
            "interval_cycles": run.initiation_interval,
            "latency_cycles": run.latency,
            "simulated_frames_per_second": run.frames_per_second,
            "simulated_cycles_per_second": run.cycles_per_second,
        }
        classes["rtl"] = predictions(run.outputs)
    labels = samples.y
    return Verification(
        frames=len(samples.x),
        labelled=labels is not None,
        correct={n: int((c == labels).sum()) for n, c in classes.items()}
        if labels is not None
        else {},
        compared=[name for name in ("cpu", "rtl") if name in classes],
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
