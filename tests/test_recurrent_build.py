# SPDX-License-Identifier: Apache-2.0
"""A language model through all stages: built for the CPU, with the reason why not for the board."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from onnxruntime import InferenceSession
from recurrent_networks import exported, language_model, sequences

import qdeploy
from qdeploy.cpu.measurement import measure
from qdeploy.cpu.measurement.twins import float_twin, int8_twin
from qdeploy.integer import Lstm, load, run


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
    measured = measure(tmp_path / "build" / "cpu.onnx")
    layer = next(node.layer for node in network.nodes if isinstance(node, Lstm))
    products = layer.input_weights.shape[1] + layer.hidden_weights.shape[1]
    steps, vocabulary = network.output_tensor.shape
    rows = layer.bias.size
    assert measured.macs == steps * (rows * products + rows // 4 * vocabulary)
    assert len({latency.name for latency in measured.latencies if latency.p50 > 0}) == 3
    for twin in (float_twin(network), int8_twin(network)):
        outputs = InferenceSession(twin.SerializeToString()).run(
            None, {network.input_name: tokens.astype(np.float32)}
        )
        assert outputs[0].shape == (len(tokens), *network.output_tensor.shape)
        assert len(np.unique(outputs[0], axis=1)) > 1  # it depends on the tokens
