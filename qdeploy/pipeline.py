# SPDX-License-Identifier: Apache-2.0
"""The stages of a build, in order, each a function from files to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy import integer
from qdeploy.build import Build
from qdeploy.config import BuildConfig, CompileConfig
from qdeploy.lowering import lower
from qdeploy.stages import Outcome, Stage, StageStore

# Progress of a build: called with the stage's name before, and with its outcome after it ran.
Progress = Callable[[str, Outcome | None], None]
# Frames for which FINN executes its graph node by node, and for models without test data.
FINN_FRAMES = 4
RANDOM_FRAMES = 64
_INTEGER_CODE = ("integer", "errors")


def build(config: BuildConfig, directory: Path, progress: Progress) -> Build:
    """Train, export and compile what `config` describes; finished stages are reused.

    Raises:
        QdepoyError: if a stage fails; what was finished before stays.
    """
    store = StageStore(directory)
    run = _Runner(store, progress)
    trained = run(train_stage(config))
    exported = run(export_stage(trained / "network.safetensors"))
    return _compile(run, exported / "net.onnx", config.compile, trained / "test.npz", trained)


def compile_model(
    model: Path, config: CompileConfig, directory: Path, progress: Progress, data: Path | None
) -> Build:
    """Compile a QONNX file: lower, pack, map, generate, simulate, estimate, verify, report.

    Args:
        model: QONNX file.
        config: table [compile].
        directory: build folder.
        progress: told of every stage.
        data: test data (.npz with x [N, ...] in the model's units and, if known, classes y [N]);
            without it random inputs are used.
    """
    return _compile(_Runner(StageStore(directory), progress), model, config, data, None)


class _Runner:
    def __init__(self, store: StageStore, progress: Progress) -> None:
        self.store = store
        self.progress = progress
        self.outcomes: dict[str, Outcome] = {}

    def __call__(self, stage: Stage) -> Path:
        self.progress(stage.name, None)
        outcome = self.store.run(stage)
        self.outcomes[stage.name] = outcome
        self.progress(stage.name, outcome)
        return outcome.directory


def train_stage(config: BuildConfig) -> Stage:
    """Data and network to checkpoints, test.npz and the predictions of both torch networks."""

    def run(directory: Path) -> None:
        from qdeploy.training import datasets, predict, train

        result = train(config.data, config.network, config.training, directory)
        data = datasets.load(config.data.dataset)
        np.savez_compressed(directory / "test.npz", x=data.x_test, y=data.y_test)
        np.savez_compressed(
            directory / "predictions.npz",
            float=predict(result.float_checkpoint, data.x_test),
            trained=predict(result.checkpoint, data.x_test),
        )

    return Stage(
        "train",
        run,
        options={
            "data": config.data.model_dump(),
            "network": config.network.model_dump(),
            "training": config.training.model_dump(),
        },
        code=("quantizers", "networks", "training"),
        packages=("torch", "brevitas", "scikit-learn"),
    )


def export_stage(checkpoint: Path) -> Stage:
    """A checkpoint to net.onnx."""

    def run(directory: Path) -> None:
        from qdeploy.export import export

        export(checkpoint, directory / "net.onnx")

    return Stage(
        "export",
        run,
        inputs=(checkpoint,),
        code=("export", "quantizers", "networks"),
        packages=("torch", "brevitas", "onnx"),
    )


def lower_stage(model: Path, config: CompileConfig) -> Stage:
    """A QONNX file to integer.npz."""

    def run(directory: Path) -> None:
        integer.save(lower(model, config.result), directory / "integer.npz")

    return Stage(
        "lower",
        run,
        inputs=(model,),
        options={"result": config.result},
        code=("lowering", *_INTEGER_CODE),
        packages=("onnx",),
    )


def pack_stage(network: Path) -> Stage:
    """integer.npz to cpu.onnx and its sizes."""

    def run(directory: Path) -> None:
        from qdeploy.cpu import pack

        packed = pack(integer.load(network), directory / "cpu.onnx")
        _write_json(directory / "pack.json", asdict(packed) | {"path": "cpu.onnx"})

    return Stage(
        "pack",
        run,
        inputs=(network,),
        code=("cpu", *_INTEGER_CODE),
        packages=("onnx", "onnxruntime"),
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
