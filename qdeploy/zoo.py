# SPDX-License-Identifier: Apache-2.0
"""Trained networks in models/: a build file, its QONNX file, and what was measured (zoo.json)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from qdeploy.errors import UserError
from qdeploy.files import shipped_folder

COLUMNS = (
    *("model", "method", "data", "float32", "quantized", "bits", "bytes"),
    *("CPU µs", "x float32", "x int8", "LUT", "BRAM36", "DSP", "frames/s"),
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CpuTimes(_Part):
    """Median processor time of an image, one thread, microseconds.

    Attributes:
        processor: name of the machine's.
        form: in which the packed model ran.
        packed: the packed model.
        float32, int8: ONNX Runtime's own versions of the network.
    """

    processor: str
    form: str
    packed: float
    float32: float
    int8: float

    def cells(self) -> tuple[str, ...]:
        """Time, and the others' as multiples of it."""
        return (
            f"{self.packed:.1f}",
            f"{self.float32 / self.packed:.1f}",
            f"{self.int8 / self.packed:.1f}",
        )


class Accelerator(_Part):
    """The accelerator of the build file's table [compile].

    Attributes:
        board: name of a file in hw/boards.
        lut, ff, bram36, dsp: by the resource model.
        cycles: per frame, predicted.
        frames_per_second: by those cycles at the board's clock.
        simulated_frames: test samples on which the simulated accelerator equals the reference.
    """

    board: str
    lut: float
    ff: float
    bram36: float
    dsp: float
    cycles: int
    frames_per_second: float
    simulated_frames: int

    def cells(self) -> tuple[str, ...]:
        """Resources and rate."""
        return (
            f"{self.lut:,.0f}",
            f"{self.bram36:g}",
            f"{self.dsp:.0f}",
            f"{self.frames_per_second:,.0f}",
        )


class ZooModel(_Part):
    """A trained network.

    Attributes:
        name: of its build file and its QONNX file.
        method: table [quantization] in words.
        network, dataset: as in the build file.
        float_accuracy: of the float network on the test set, 0 .. 1.
        accuracy: of the trained one, and of its integers.
        predictions: SHA-256 of the classes (uint8 [N]) that the trained network predicts in torch
            for the test set.
        average_bits: of the weights.
        float_bytes, packed_bytes: of the weights as float32 and packed.
        cpu: latency.
        accelerator: size and speed; None for networks that cannot have hardware.
    """

    name: str
    method: str
    network: str
    dataset: str
    float_accuracy: float
    accuracy: float
    predictions: str
    average_bits: float
    float_bytes: int
    packed_bytes: int
    cpu: CpuTimes
    accelerator: Accelerator | None

    @property
    def file(self) -> Path:
        """The QONNX file."""
        return models_folder() / f"{self.name}.onnx"

    def cells(self) -> tuple[str, ...]:
        """The model's line of a table with `COLUMNS`."""
        return (
            *(self.name, self.method, self.dataset),
            *(f"{self.float_accuracy:.2%}", f"{self.accuracy:.2%}", f"{self.average_bits:.2f}"),
            f"{self.packed_bytes:,}",
            *self.cpu.cells(),
            *(self.accelerator.cells() if self.accelerator else [""] * 4),
        )


_ZOO = TypeAdapter(tuple[ZooModel, ...])


def models_folder() -> Path:
    """The folder `models`."""
    return shipped_folder("models")


def load_zoo() -> tuple[ZooModel, ...]:
    """All models, by name."""
    return _ZOO.validate_json((models_folder() / "zoo.json").read_bytes())


def zoo_json(models: Sequence[ZooModel]) -> str:
    """The content of zoo.json."""
    return _ZOO.dump_json(tuple(models), indent=2).decode() + "\n"


def model_file(path: Path) -> Path:
    """The file `path`, or that of the model of the zoo with this name, models/<name> or <name>.

    Raises:
        UserError: if there is neither.
    """
    if path.exists() or path.suffix or path.parent not in (Path(), Path("models")):
        return path
    files = {model.name: model.file for model in load_zoo()}
    if path.name not in files:
        raise UserError(
            f"there is no file {path}, and no model '{path.name}' in the zoo",
            remedy=f"name a QONNX file, or one of: {', '.join(files)}",
        )
    return files[path.name]
