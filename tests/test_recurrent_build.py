# SPDX-License-Identifier: Apache-2.0
"""A language model through all stages: built for the CPU, with the reason why not for the board."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from recurrent_networks import exported, language_model, sequences

import qdeploy
from qdeploy.cpu.measurement import measure
from qdeploy.errors import UserError
from qdeploy.integer import load, run


def test_build_without_hardware(tmp_path: Path) -> None:
    model = exported(language_model("character"), tmp_path / "model.onnx")
    build = qdeploy.compile(model, tmp_path / "build")
    tokens = sequences().numpy()
    network = load(tmp_path / "build" / "integer.npz")
    assert np.array_equal(build.runner().run(tokens), network.real_output(run(network, tokens)))
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert report["skipped"] == [
        "Built for the CPU alone: there is no hardware for Lstm (layer 'lstm.layers.0.0_2')."
    ]
    with pytest.raises(UserError, match="no float32 and int8 versions") as caught:
        measure(tmp_path / "build" / "cpu.onnx")
    assert caught.value.layer == "OneHot"
