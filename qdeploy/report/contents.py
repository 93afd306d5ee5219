# SPDX-License-Identifier: Apache-2.0
"""What a report says, as data: written as report.json, rendered as report.html."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSummary(_Part):
    """One stage of the build: what went in and out, in one line."""

    name: str
    seconds: NonNegativeFloat
    reused: bool
    summary: str


class Tensor(_Part):
    """One integer tensor: shape without the batch axis, width, exact range."""

    shape: tuple[int, ...]
    bits: int
    low: int
    high: int


class Amounts(_Part):
    """LUTs packed into sites, flip-flops, 36 kbit block RAMs, DSP slices."""

    lut: float
    ff: float
    bram36: float
    dsp: float


class ScaleForm(_Part):
    """One way to build the scales of a layer at its folding.

    Attributes:
        form: "post", "pre" or "recode".
        multipliers: sums ("pre": elements) multiplied per cycle; 0 for "recode".
        chosen: whether the design has it.
        simd: inputs per cycle.
        cycles: per frame.
        predicted: what the matrix-vector unit takes by the resource model.
    """

    form: str
    multipliers: NonNegativeInt
    chosen: bool
    simd: int
    cycles: int
    predicted: Amounts


class Layer(_Part):
    """One node of the integer network; the hardware columns are None without an FPGA build.

    Attributes:
        name: layer as in the PyTorch model.
        kind: Convolution, Linear, Threshold...
        shape: output shape without the batch axis.
        bits: width of one output integer; `low`..`high` is its exact range.
        seen: smallest and largest output on the test data; None if none were run.
        weights: code book and multipliers in words; None without weights.
        codes: number of weight codes.
        code_counts: how often each code occurs, by code.
        multipliers: integer scales inside the sum, as rows of a small matrix (K x K for
            pixel-wise), empty if none.
        macs: multiplications of a weight code per frame; 0 without weights.
        scale_form: "post", "pre", "recode" or None where no scale is left inside the sum.
        scale_forms: all possible forms, if any scale is left.
        weight_memory: where the codes live: "block" (RAM), "distributed" (LUTs) or "constant"
            (logic).
        products: what multiplies inputs and weights, "lut" or "dsp".
        pe, simd: folding of the unit with the weights.
        cycles: predicted cycles per frame of the slowest hardware node of this layer.
        used: what all hardware nodes of this layer take, by Yosys.
        predicted: the same by the resource model.
        synthesized: the same by Vivado after synthesis.
        routed: the same by Vivado after placing and routing.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    low: int
    high: int
    seen: tuple[int, int] | None = None
    weights: str | None = None
    codes: NonNegativeInt = 0
    code_counts: dict[int, int] = {}
    multipliers: list[list[int]] = []
    macs: NonNegativeInt = 0
    scale_form: str | None = None
    scale_forms: list[ScaleForm] = []
    weight_memory: str | None = None
    products: str | None = None
    pe: int | None = None
    simd: int | None = None
    cycles: int | None = None
    used: Amounts | None = None
    predicted: Amounts | None = None
    synthesized: Amounts | None = None
    routed: Amounts | None = None

    @property
    def lanes(self) -> int | None:
        """Multiply-accumulates per cycle that the hardware can do."""
        return None if self.pe is None else self.pe * (self.simd or 1)


class Activity(_Part):
    """When a layer is at work on a frame, in cycles after the frame's first word enters."""

    layer: str
    first: NonNegativeInt
    last: NonNegativeInt


class Fifo(_Part):
    """A FIFO: what it can hold and did hold, in words.

    Attributes:
        name: as in design.json.
        bits: of a word.
        depth: words that it can hold.
        peak: most words in the schedule.
        full_speed: most words in the simulation; None without one.
        ever: the same with pauses of the source and the sink.
    """

    name: str
    bits: int
    depth: int
    peak: NonNegativeInt
    full_speed: NonNegativeInt | None = None
    ever: NonNegativeInt | None = None


class Schedule(_Part):
    """The pipeline under a steady stream of frames, one every `interval` cycles."""

    interval: int
    activities: list[Activity]
    fifos: list[Fifo]


class Version(_Part):
    """One version of the network on the test data.

    Attributes:
        name: "float", "trained", "integer", "cpu" or "rtl".
        what: in words.
        correct: right predictions; None without labels.
        equal: whether its outputs equal the integer reference; None where that is not asked.
    """

    name: str
    what: str
    correct: NonNegativeInt | None
    equal: bool | None = None


class Sizes(_Part):
    """Bytes: the float32 weights, the packed weights, the whole cpu.onnx."""

    float_bytes: NonNegativeInt
    packed_bytes: NonNegativeInt
    file_bytes: NonNegativeInt


class Performance(_Part):
    """Cycles per frame (initiation interval) predicted and measured, latency, rate at the clock.

    `slowed_by` says why the simulation took longer than predicted, empty if it did not. A short run
    in time may measure more cycles than predicted: its pipeline was still filling.
    """

    predicted_cycles: NonNegativeInt
    measured_cycles: NonNegativeFloat
    latency_cycles: NonNegativeInt
    clock_mhz: float
    frames_per_second: NonNegativeFloat
    slowest: str
    slowed_by: str = ""


class Resources(_Part):
    """One kind of resource: Yosys' count, our model's, FINN's (None if it has none), the board.

    With a bitstream also Vivado's counts of the accelerator, and of the whole design with its DMA.
    """

    name: Literal["LUT", "FF", "BRAM36", "DSP"]
    used: float
    predicted: float
    finn: float | None
    available: float
    synthesized: float | None = None
    routed: float | None = None
    whole: float | None = None


class Implementation(_Part):
    """The bitstream.

    Attributes:
        vivado: version.
        clock_mhz: clock of the accelerator.
        slack_ns: of the worst setup path.
        reachable_mhz: clock without slack.
        worst: layer of that path, empty outside the accelerator.
        watts: power by Vivado's estimate, without knowledge of switching activity.
    """

    vivado: str
    clock_mhz: float
    slack_ns: float
    reachable_mhz: float
    worst: str
    watts: float


class Report(_Part):
    """Everything the page shows; parts that a build did not make are None or empty.

    Attributes:
        name: name of the model.
        version: of qdeploy.
        board: name of the board; None for a build without an FPGA.
        images: number of test images that every version ran on.
        input: the integer input of the first layer.
        stages: in the order in which they ran.
        layers: in the order of the network.
        implementation: the bitstream, if it was built.
        comparisons: what `verify` found, one sentence or two for each comparison.
        skipped: why stages were not run; for lack of a tool, how to get it.
        notes: what the numbers are and are not, one sentence or two each.
    """

    name: str
    version: str
    board: str | None
    images: int
    input: Tensor | None = None
    stages: list[StageSummary]
    layers: list[Layer]
    versions: list[Version]
    comparisons: list[str] = []
    sizes: Sizes | None = None
    performance: Performance | None = None
    resources: list[Resources] = []
    schedule: Schedule | None = None
    implementation: Implementation | None = None
    skipped: list[str] = []
    notes: list[str] = []

    @property
    def interval(self) -> int | None:
        """Predicted cycles per frame: those of the slowest layer; None without hardware."""
        return max((layer.cycles for layer in self.layers if layer.cycles), default=None)
