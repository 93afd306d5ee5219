# SPDX-License-Identifier: Apache-2.0
"""The stages of a build, in order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from qdeploy import integer
from qdeploy.bitstream.results import RESULTS, bitstream_of
from qdeploy.build import Build, open_build
from qdeploy.build_stages import (
    SOURCE,
    emit_stage,
    estimate_stage,
    export_stage,
    generate_stage,
    lower_stage,
    map_stage,
    pack_stage,
    shell_stage,
    simulate_stage,
    train_stage,
    verify_stage,
)
from qdeploy.config import BuildConfig, CompileConfig
from qdeploy.doctor import require
from qdeploy.files import link
from qdeploy.fpga.board import Board, load_board
from qdeploy.fpga.mappable import never_hardware
from qdeploy.report.collect import collect
from qdeploy.report.routed import with_bitstream
from qdeploy.report.writing import write_report
from qdeploy.stages import Outcome, Stage, StageStore
from qdeploy.zoo import model_file

# Progress of a build: called with the stage's name before, and with its outcome after it ran.
Progress = Callable[[str, Outcome | None], None]


def build(config: BuildConfig, directory: Path, progress: Progress) -> Build:
    """Train, export and compile what `config` describes; finished stages are reused.

    Raises:
        QdeployError: if a stage fails; what was finished before stays.
    """
    store = StageStore(directory)
    run = _Runner(store, progress)
    trained = run(train_stage(config))
    predictions = trained / "predictions.npz"
    exported = run(export_stage(trained / "network.safetensors"))
    return _compile(
        run,
        config.name,
        exported / "net.onnx",
        config.compile,
        trained / "test.npz",
        predictions if predictions.exists() else None,
    )


def compile_model(
    model: Path, config: CompileConfig, directory: Path, progress: Progress, data: Path | None
) -> Build:
    """Compile a QONNX file: lower, pack, map, generate, simulate, estimate, verify, report.

    Args:
        model: QONNX file, or the name of a model of the zoo.
        config: table [compile].
        directory: build folder.
        progress: told of every stage.
        data: test data (.npz with x [N, ...] in the model's units and, if known, classes y [N]);
            without it random inputs are used.
    """
    model = model_file(model)
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
    directory = run(lower_stage(name, model, config))
    lowered = directory / "integer.npz"
    packed = run(pack_stage(lowered)) / "cpu.onnx"
    simulator = None
    if reason := never_hardware(integer.load(lowered)):
        run.skipped.append(f"Built for the CPU alone: {reason}.")
    elif not run.lacks("finn-plus"):
        mapped = run(map_stage(lowered, config, board)) / "folded.onnx"
        design = run(generate_stage(mapped, lowered, board)) / "rtl"
        run(shell_stage(design))
        if config.emit == "finn":
            emitted = run(emit_stage(mapped, lowered, config, board)) / "finn"
            # No link: FINN writes its results beside its input.
            shutil.copytree(emitted, run.store.directory / "finn", dirs_exist_ok=True)
        if not run.lacks("g++", "Verilator"):
            simulator = (design, run(simulate_stage(design)) / "simulator.so")
        if not run.lacks("Yosys"):
            run(estimate_stage(design, board))
    run(verify_stage(directory / SOURCE, lowered, packed, simulator, data, real, config.input_type))
    return _report(run, board)


def _report(run: _Runner, board: Board) -> Build:
    """report.json and, where the plotting packages are, report.html; links to all results."""
    directory = run.store.directory
    if bitstream_of(open_build(directory)) is None:  # that of another design must not be deployed
        run.store.forget("bitstream")
        for name in RESULTS:
            (directory / name).unlink(missing_ok=True)
    build = open_build(directory)
    for stage, name in _LINKS:
        path = build.stages.get(stage, Path()) / name
        if stage in run.outcomes and path.exists():
            link(path, directory / name)
    page = not run.lacks("jinja2", "matplotlib")
    report = with_bitstream(collect(build, board, run.outcomes, run.skipped), build)
    write_report(report, directory, page=page)
    return build


_LINKS = (
    ("train", "network.safetensors"),
    ("export", "net.onnx"),
    ("lower", "integer.npz"),
    ("pack", "cpu.onnx"),
    ("map", "folded.onnx"),
    ("generate", "rtl"),
    ("shell", "shell"),
    ("estimate", "estimate.json"),
    ("verify", "verify.json"),
)
