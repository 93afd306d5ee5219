# SPDX-License-Identifier: Apache-2.0
"""What a verification says, as data: verify.json, and `qdeploy verify --json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Difference(_Part):
    """One output in which float32 execution of the source file stands for another integer.

    Attributes:
        sample: index of the frame.
        output: index in the output tensor, without the batch axis.
        float32: what the public executor computes.
        integers: what the integer network means, rounded to a double.
        exact: what exact rationals give, rounded to a double; None where they were not computed.
    """

    sample: int
    output: tuple[int, ...]
    float32: float
    integers: float
    exact: float | None = None


class SourceComparison(_Part):
    """The source file against the integer network.

    Attributes:
        frames: samples executed in float32 by the public executor (qonnx).
        skipped: why none were, in words; empty otherwise.
        differing: samples of them whose float32 output, rounded to the outputs that integers can
            mean, is another one (or another class).
        largest_error: largest distance of a float32 output from what the integers mean, in real
            units; None for classes and without float32 frames.
        exact_frames: samples executed in exact rationals; the first few and those that differ.
        exact_skipped: why none were, in words; empty otherwise.
        proven: differing samples among them. Unless `rescaled`, the integers equal the exact
            rationals in every one of `exact_frames`: it is float32 that is off.
        rescaled: whether the user allowed the network to deviate (`--rescale-bits`).
        differences: the first output of up to a few differing samples.
    """

    frames: int
    skipped: str = ""
    differing: int = 0
    largest_error: float | None = None
    exact_frames: int = 0
    exact_skipped: str = ""
    proven: int = 0
    rescaled: bool = False
    differences: list[Difference] = []


class Rescaling(_Part):
    """The error of rounded scales, measured against exact rationals.

    Attributes:
        frames: samples measured.
        random: whether they are random inputs instead of data.
        largest, mean: absolute error of the outputs, in real units; None if the output is a class.
        spread: largest minus smallest exact output of those samples; None if it is a class.
        changed_classes: samples whose class changed; None if the outputs are no classes [C].
    """

    frames: int
    random: bool
    largest: float | None
    mean: float | None
    spread: float | None
    changed_classes: int | None


class Extremes(_Part):
    """One integer tensor: the range that the analysis promised and what the samples reached.

    Attributes:
        layer: the node that computes it, or the network's input.
        kind: its operator; "Input" of the input.
        low, high, bits: promised.
        observed_low, observed_high, observed_bits: over all samples.
    """

    layer: str
    kind: str
    low: int
    high: int
    bits: int
    observed_low: int
    observed_high: int
    observed_bits: int


class FifoPeak(_Part):
    """Most words that a FIFO of the simulated accelerator held.

    Attributes:
        name: as in design.json.
        full_speed: when source and sink never paused.
        ever: in all runs, those with pauses included.
    """

    name: str
    full_speed: int
    ever: int


class Verification(_Part):
    """What `verify` found; every back end listed equals the reference.

    Attributes:
        frames: samples compared.
        labelled: whether their classes are known; `correct` is empty otherwise.
        correct: right predictions by version: float, trained, integer, cpu, rtl.
        compared: back ends whose integers equal the reference's on every sample.
        source: the source file against the integers; None without the file.
        rescaling: the error of rounded scales; None where the network is exact.
        extremes: promised and observed range of every tensor, in the order of the network.
        trained_differences: predictions in which the trained torch network (evaluated in float32)
            differs from the integers; None without one.
        interval_cycles: measured initiation interval of the simulated accelerator.
        slowed_by: slow node or full and empty FIFO of the accelerator, if a run took longer than
            predicted, pauses of the source and the sink included.
        latency_cycles: from the first input word to the last output word of the first frame.
        simulated_frames_per_second: speed of the simulation.
        simulated_cycles_per_second: speed of the simulation.
        fifos: of the accelerator, in the order of the data.
    """

    frames: int
    labelled: bool
    correct: dict[str, int]
    compared: list[str]
    source: SourceComparison | None = None
    rescaling: Rescaling | None = None
    extremes: list[Extremes] = []
    trained_differences: int | None = None
    interval_cycles: float | None = None
    slowed_by: str = ""
    latency_cycles: int | None = None
    simulated_frames_per_second: float | None = None
    simulated_cycles_per_second: float | None = None
    fifos: list[FifoPeak] = []
