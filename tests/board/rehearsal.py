# SPDX-License-Identifier: Apache-2.0
"""A small network with everything that a rehearsal on a simulated board takes."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from packages import npy
from sample_networks import small_cnn

import qdeploy
from qdeploy import integer
from qdeploy.board.streams import frame_bytes, word_bytes
from qdeploy.cpu import pack
from qdeploy.cpu.kernels.targets import NEON32, NEON64
from qdeploy.cpu.program.ahead_of_time import board_program
from qdeploy.fpga.board import load_board
from qdeploy.fpga.design import Stream, load_design
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.shell import Shell, generate_shell
from qdeploy.integer import IntegerNetwork
from qdeploy.packaging import write_archive
from qdeploy.simulation.overlay import write_overlay
from qdeploy.simulation.shell import build_shell_model

BOARD = load_board("pynq-z2")
PARTS = {"PYNQ-Z2": BOARD.part, "ZCU104": "xczu7ev-ffvc1156-2-e"}
CYCLES = 576  # of a frame
STUCK = "pool"  # the layer that takes nothing in the accelerator that stands still


@dataclass(frozen=True)
class Rehearsal:
    """Folders and files.

    Attributes:
        network: that runs.
        folder: holds `rtl`, `shell`, and model-PYNQ-Z2.qdp, model-ZCU104.qdp.
        shell: its description.
        simulator: shared object of the accelerator.
        stuck: of one that stands still.
    """

    network: IntegerNetwork
    folder: Path
    shell: Shell
    simulator: Path
    stuck: Path

    def package(self, board: str = "PYNQ-Z2") -> Path:
        return self.folder / f"model-{board}.qdp"


def rehearse(folder: Path) -> Rehearsal:
    """Generate, simulate and package the network in an empty folder."""
    network = small_cnn(2)
    rtl, stuck, made = (folder / name for name in ("rtl", "stuck_rtl", "shell"))
    made.mkdir()
    rtl.mkdir()
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / CYCLES)
    generate(folded.model, network, BOARD, rtl)
    shell = generate_shell(rtl, made)
    shutil.copytree(rtl, stuck)
    _block(stuck)
    simulators = []
    for design in (rtl, stuck):
        results = folder / f"{design.name}_simulator"
        results.mkdir()
        simulators.append(build_shell_model(design, made, results))
    rehearsal = Rehearsal(network, folder, shell, *simulators)
    for board in PARTS:
        _package(rehearsal, board)
    return rehearsal


def _block(rtl: Path) -> None:
    """Let a layer take nothing."""
    top = rtl / f"{load_design(rtl).top}.v"
    text, count = re.subn(
        rf"(\b{STUCK}_node\b.*?\.in0_V_TVALID\()\w+(\).*?\.in0_V_TREADY\()(\w+)(\).*?;)",
        r"\g<1>1'b0\2\4\n  assign \3 = 1'b0;",
        top.read_text(),
        count=1,
        flags=re.DOTALL,
    )
    assert count == 1
    top.write_text(text)


def cpu_package(folder: Path) -> Path:
    """A package of the network that has no accelerator."""
    network = small_cnn(2)
    path = folder / "model-cpu.qdp"
    write_archive(path, _manifest(network), _files(network, folder))
    return path


def _package(rehearsal: Rehearsal, board: str) -> None:
    network, design = rehearsal.network, load_design(rehearsal.folder / "rtl")
    manifest = _manifest(network) | {
        "board": {"name": board, "part": PARTS[board], "clock_mhz": design.clock_mhz},
        "build": rehearsal.shell.build,
        "streams": {"input": _stream(design.input), "output": _stream(design.output)},
        "stream_names": rehearsal.shell.streams,
        "cycles_per_frame": design.cycles_per_frame,
        "latency": design.latency,
    }
    overlay = rehearsal.folder / board
    overlay.mkdir()
    write_overlay(overlay, PARTS[board], design.clock_mhz)
    files = _files(network, rehearsal.folder)
    files |= {name: (overlay / name).read_bytes() for name in ("board.bit", "board.hwh")}
    for part in ("rtl", "shell"):
        files |= _contents(rehearsal.folder, part)
    write_archive(rehearsal.package(board), manifest, files)


def _manifest(network: IntegerNetwork) -> dict[str, object]:
    return {
        "format": "qdeploy package 1",
        "name": network.name,
        "version": qdeploy.__version__,
        "board": None,
        "build": None,
        "network": {
            "input_shape": network.input_tensor.shape,
            "output_shape": network.output_tensor.shape,
            "low": network.quantizer.low,
            "step": network.quantizer.step,
            "output_function": network.output_function,
            "classes": None,
            "accuracy": None,
            "samples": 0,
        },
        "streams": None,
        "stream_names": [],
        "cycles_per_frame": None,
        "latency": None,
    }


def _files(network: IntegerNetwork, folder: Path) -> dict[str, bytes]:
    x = np.random.default_rng(0).random((7, *network.input_tensor.shape)).astype(np.float32)
    integers = integer.run(network, x)
    scale, offset = (part.astype(np.float64) for part in network.output_tensor.affine())
    return {
        "boundaries.npy": npy(network.quantizer.boundaries),
        "scale.npy": npy(scale),
        "offset.npy": npy(offset),
        "selftest/input.npy": npy(x),
        "selftest/integers.npy": npy(integers),
        "selftest/output.npy": npy(network.real_output(integers)),
        "cpu.onnx": pack(network, folder / "cpu.onnx").path.read_bytes(),
        **{f"program-{t.architecture}.bin": board_program(network, t) for t in (NEON32, NEON64)},
    }


def _stream(stream: Stream) -> dict[str, object]:
    return stream.model_dump() | {
        "word_bytes": word_bytes(stream.width),
        "frame_bytes": frame_bytes(stream.words_per_frame, stream.width),
    }


def _contents(folder: Path, name: str) -> dict[str, bytes]:
    return {f"{name}/{path.name}": path.read_bytes() for path in (folder / name).iterdir()}
