# SPDX-License-Identifier: Apache-2.0
"""LSTM layers as programs of their own inside a network: the reference's integers."""

import numpy as np
import pytest
from lstm_layers import integer_language_model
from program_runs import run_compiled

from qdeploy.cpu import Session, pack
from qdeploy.cpu.kernel_choice import kernel_choice
from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.lstm.sequences import compile_sequences
from qdeploy.cpu.parts import split
from qdeploy.integer import run, run_codes


@pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)
def test_within_guard_pages(target) -> None:
    network, rng = integer_language_model(), np.random.default_rng(0)
    (part,) = (part for part in split(network) if part.lstm)
    program = compile_sequences(part, target)
    for count, parts, late in ((1, 1, True), (5, 3, False), (40, 2, True)):
        values = run_codes(network, rng.integers(0, 12, (count, 7)))
        x = values["vectors"].astype(np.int32)
        (states,) = run_compiled(program, target, [x], parts, late=late)
        assert np.array_equal(states, values["states"])
        (clipped,) = run_compiled(program, target, [x * 1000], parts, late=late)
        inside = np.clip(x * 1000, part.lstm.layer.input.low, part.lstm.layer.input.high)
        want = part.lstm.layer.run(inside.astype(np.int64).swapaxes(0, 1))[0].swapaxes(0, 1)
        assert np.array_equal(clipped, want)


def test_in_a_session(tmp_path) -> None:
    network, rng = integer_language_model(), np.random.default_rng(1)
    pack(network, tmp_path / "cpu.onnx")
    session = Session(tmp_path / "cpu.onnx", threads=2)
    assert session.form.startswith("generated")
    for count in (1, 70, 2):  # one arena for calls of all sizes
        x = rng.integers(0, 12, (count, 7))
        assert np.array_equal(session.run_integers(x), run(network, x))
    choice = kernel_choice(network)
    assert choice.form == session.form
    assert choice.layers["lstm"].startswith("inputs: ")
    assert "embeddings run in ONNX Runtime" in choice.layers["table"]
