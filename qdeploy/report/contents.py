# SPDX-License-Identifier: Apache-2.0
"""What a report says, as data: written as report.json, rendered as report.html."""

from __future__ import annotations

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
        scale_form: "post", "recode" or None where no scale is left inside the sum.
        pe, simd: folding of the matrix-vector unit.
        cycles: predicted cycles per frame of the slowest hardware node of this layer.
        luts: LUTs (packed into sites) of all hardware nodes of this layer, by Yosys.
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
    scale_form: str | None = None
    pe: int | None = None
    simd: int | None = None
    cycles: int | None = None
    luts: float | None = None


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
    """Cycles per frame (initiation interval) predicted and measured, latency, rate at the clock."""

    predicted_cycles: NonNegativeInt
    measured_cycles: NonNegativeFloat
    latency_cycles: NonNegativeInt
    clock_mhz: float
    frames_per_second: NonNegativeFloat
    slowest: str


class Resources(_Part):
    """One kind of resource: Yosys' count, our model's, FINN's (None if it has none), the board."""

    name: str
    used: float
    predicted: float
    finn: float | None
    available: float


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
        comparisons: what `verify` found, one sentence or two for each comparison.
        skipped: stages that were not run for lack of a tool, and how to get it.
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
    skipped: list[str] = []
    notes: list[str] = []
