# SPDX-License-Identifier: Apache-2.0
"""One TOML file per build; a key nobody knows is an error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from qdeploy.errors import UserError
from qdeploy.fpga.scales import ScaleForm
from qdeploy.lowering import ResultKind
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import QuantizationConfig, SyqConfig, complaints
from qdeploy.training.config import DataConfig, TrainingConfig

Products = Literal["lut", "dsp"]


class Folding(BaseModel):
    """One matrix-vector unit.

    Attributes:
        pe: outputs per cycle.
        simd: inputs per cycle.
        memory: where its weights live: "block" RAM, LUTs ("distributed"), or "constant", as logic;
            by default what costs less.
        scale_form: as in `CompileConfig`, for this layer alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pe: PositiveInt
    simd: PositiveInt
    memory: Literal["block", "distributed", "constant"] | None = None
    scale_form: ScaleForm | None = None


class CompileConfig(BaseModel):
    """Table [compile].

    Attributes:
        board: name of a file in hw/boards.
        fps: frames per second the folding aims for at the board's clock, with little of the board;
            10,000 if neither it nor `fill` nor `latency` is given.
        fill: share of the board that may be used; without `fps` the folding gets as fast as that.
        latency: minimize the latency of a frame instead.
        rescale_bits: round the ratio of the scales of branches that meet (residual Add) to integers
            of so many bits where it is no small rational; by default such branches are refused.
        input_type: which numbers the input holds ("uint8/255") where the file does not quantize it.
        result: stream out "logits", or the "class" with the largest.
        scale_form: how scales inside the sum become hardware; by default what costs less.
        folding: by layer name; instead of what would be chosen.
        products: what multiplies inputs and weights, by layer name; the same.
        emit: "finn" also writes the input of `finn build`.
        hls: layers that FINN's HLS operators compute in what `emit` writes; all others, and all of
            them in simulation, are Verilog.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    board: str = "pynq-z2"
    fps: PositiveFloat | None = None
    fill: float | None = Field(default=None, gt=0, le=1)
    latency: bool = False
    result: ResultKind = "logits"
    rescale_bits: int | None = Field(default=None, ge=1, le=16)
    input_type: str | None = None
    scale_form: ScaleForm | None = None
    folding: dict[str, Folding] = Field(default_factory=dict)
    products: dict[str, Products] = Field(default_factory=dict)
    emit: Literal["finn"] | None = None
    hls: tuple[str, ...] = ()

    @field_validator("hls")
    @classmethod
    def _hls_is_for_finn(cls, layers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if layers and info.data.get("emit") is None:
            raise ValueError('only FINN can build layers with HLS: set emit = "finn", too')
        return layers

    @property
    def target_fps(self) -> float | None:
        """Frames per second to aim for, None for as many as fit."""
        if self.fps is None and self.fill is None and not self.latency:
            return 10_000.0
        return self.fps


class BuildConfig(BaseModel):
    """A whole build file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    quantization: QuantizationConfig = SyqConfig()
    training: TrainingConfig = TrainingConfig()
    compile: CompileConfig = CompileConfig()


def load_config(path: Path) -> BuildConfig:
    """Read and check a build file.

    Raises:
        UserError: if it is missing, no TOML, or has unknown keys or wrong values (all are listed).
    """
    try:
        return BuildConfig.model_validate(tomllib.loads(Path(path).read_text()))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", remedy="see models/ for examples"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not TOML: {error}", remedy="see models/ for examples"
        ) from error
    except ValidationError as error:
        raise invalid(str(path), error) from error


def compile_config(**values: Any) -> CompileConfig:
    """Check the values of table [compile] that come from the command line or a Python call.

    Raises:
        UserError: if a key is unknown or a value is wrong.
    """
    try:
        return CompileConfig.model_validate(values)
    except ValidationError as error:
        raise invalid("the compile options", error) from error


def invalid(where: str, error: ValidationError) -> UserError:
    """All complaints of pydantic as one user error."""
    return UserError(
        f"{where}: {complaints(error)}", remedy="correct the listed keys; docs/formats.md has all"
    )
