# SPDX-License-Identifier: Apache-2.0
"""Finished builds of a small network, for what comes after a build."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_pipeline import small_model

import qdeploy
from qdeploy.build import Build
from qdeploy.doctor import Finding
from qdeploy.fpga.shell import load_shell

FRAMES = 40


def inputs(seed: int = 0) -> np.ndarray:
    """float32 [FRAMES, 1, 6, 6], beyond what the network tells apart on both sides."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-2, 10, (FRAMES, 1, 6, 6)) / 4).astype(np.float32)


def small_build(folder: Path, *missing: str) -> Build:
    """A build with labelled data in `folder`, as on a machine where tools are missing."""

    def require(tool: str) -> Finding | None:
        return Finding(tool, None, "this test", "none") if tool in missing else None

    model = small_model(folder / "small.onnx")
    y = np.random.default_rng(1).integers(0, 5, FRAMES)
    np.savez(folder / "data.npz", x=inputs(), y=y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qdeploy.pipeline.require", require)
        return qdeploy.compile(model, folder / "build", data=folder / "data.npz")


def add_bitstream(build: Build) -> Build:
    """The build with a file in the place of a bitstream."""
    folder = build.directory / "stages" / "bitstream-0123456789ab"
    (folder / "reports").mkdir(parents=True)
    (folder / "board.bit").write_bytes(b"bits")
    (folder / "board.hwh").write_bytes(b"<xml/>")
    (folder / "reports" / "timing.rpt").write_bytes(b"slack")
    made_for = load_shell(build.file("shell", "shell")).build
    (folder / "bitstream.json").write_text(json.dumps({"build": made_for}))
    names = {stage: path.name for stage, path in build.stages.items()}
    names["bitstream"] = folder.name
    (build.directory / "build.json").write_text(json.dumps(names))
    return qdeploy.build.open_build(build.directory)
