# SPDX-License-Identifier: Apache-2.0
"""Language models from Brevitas to integers and the CPU: always the numbers of the torch module."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

import brevitas.nn as qnn  # noqa: E402
from brevitas.quant import (  # noqa: E402
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    SignedBinaryWeightPerTensorConst,
)
from recurrent_networks import exported, language_model, sequences  # noqa: E402

from qdeploy.cpu import Session, pack  # noqa: E402
from qdeploy.errors import UserError  # noqa: E402
from qdeploy.explanation import explain  # noqa: E402
from qdeploy.fpga.mappable import obstacles  # noqa: E402
from qdeploy.integer import load, run, save  # noqa: E402
from qdeploy.lowering import lower  # noqa: E402
from qdeploy.quantizers import AlqWeights, MultibitWeights  # noqa: E402
from qdeploy.verification.targets import verify_file  # noqa: E402


@pytest.mark.parametrize(
    ("kind", "layers", "weights", "bits"),
    [
        ("character", 1, SignedBinaryWeightPerTensorConst.let(scaling_init=0.25), 4),
        ("word", 2, Int8WeightPerTensorFixedPoint, 8),
        ("character", 1, MultibitWeights.let(bits=2), 4),
        ("character", 1, AlqWeights.let(structure="subchannelwise", pieces=4), 8),
    ],
)
def test_integers_mean_what_torch_computes(
    tmp_path: Path, kind: str, layers: int, weights: Any, bits: int
) -> None:
    model = language_model(kind, layers, weights, bits)
    network = lower(exported(model, tmp_path / "model.onnx"))
    tokens = sequences()
    with torch.no_grad():
        want = model(tokens).numpy()
    integers = run(network, tokens.numpy())
    assert np.array_equal(network.real_output(integers), want)
    assert len(np.unique(integers)) > 500

    assert verify_file(tmp_path / "model.onnx").source.exact_frames > 0  # equal, or it raises

    save(network, tmp_path / "network.npz")
    assert np.array_equal(run(load(tmp_path / "network.npz"), tokens.numpy()), integers)
    pack(network, tmp_path / "cpu.onnx")
    for portable in (True, False):
        session = Session(tmp_path / "cpu.onnx", portable=portable)
        assert np.array_equal(session.run_integers(tokens.numpy()), integers)


def test_scales_inside_the_sums(tmp_path: Path) -> None:
    """SYQ gives each of the eight tensors a scale of its own, and gates read one unit."""
    network = lower(exported(language_model("character"), tmp_path / "model.onnx"))
    (layer,) = (node.layer for node in network.nodes if node.kind == "Lstm")
    for weights in (layer.input_weights, layer.hidden_weights):
        (plane,) = weights.planes
        assert plane.kind == "ternary"
        assert len({*plane.multipliers.ravel().tolist()}) == 4
    assert layer.sums.bits < 32


def test_said_by_layer(tmp_path: Path) -> None:
    path = exported(language_model("character"), tmp_path / "model.onnx")
    errors = {error.layer: str(error) for error in obstacles(lower(path))}
    assert "no hardware for Lstm" in errors["lstm.layers.0.0_2"]
    found = explain(path)
    sentences = [node.became for layer in found.layers for node in layer.nodes]
    assert any("LSTM of 20 inputs and 16 units" in sentence for sentence in sentences)
    assert any("one of 20 rows" in sentence for sentence in sentences)
    assert any("the input holds indices 0..19" in sentence for sentence in sentences)


class Sequence(torch.nn.Module):
    """A layer of Brevitas on real inputs."""

    def __init__(self, outputs: Any = lambda y, states: y, **arguments: Any) -> None:
        super().__init__()
        self.outputs = outputs
        arguments = {"batch_first": True, "bias_quant": None} | arguments
        self.lstm = qnn.QuantLSTM(5, 4, **arguments)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, states = self.lstm(x)
        return self.outputs(y, states)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_first": False}, r"reads \[T, N, I\]"),
        ({"outputs": lambda y, states: states[0]}, "hands out its last state"),
        ({"coupled_input_forget_gates": True}, "couples two gates"),
        ({"weight_quant": None}, "float weights"),
        ({"weight_quant": Int8WeightPerTensorFloat}, "integers of .. bits to be exact"),
    ],
)
def test_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    model = Sequence(**arguments)
    x = torch.rand(1, 3, 5)
    model.train()(x)  # Brevitas' own quantizers take their scales from data
    path = exported(model, tmp_path / "model.onnx", x)
    with pytest.raises(UserError, match=message) as caught:
        lower(path)
    assert caught.value.layer == "lstm.layers.0.0"


def test_float_inside(tmp_path: Path) -> None:
    """Nothing is quantized, the weights alone, or only some of what is inside."""
    plain = Sequence()
    plain.lstm = torch.nn.LSTM(5, 4, batch_first=True)
    for model in (plain, language_model("character", bits=None)):
        with pytest.raises(UserError, match="layer 'lstm': an LSTM layer with float gates"):
            exported(model, tmp_path / "model.onnx", torch.rand(1, 3, 5))
    with pytest.raises(UserError, match="partially quantized LSTM"):
        exported(Sequence(gate_acc_quant=None), tmp_path / "other.onnx", torch.rand(1, 3, 5))


def test_indices_have_one_range(tmp_path: Path) -> None:
    model = language_model("word")
    other = language_model("word")
    other.embedding = qnn.QuantEmbedding(30, 16, weight_quant=Int8WeightPerTensorFixedPoint)

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.other = model, other

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.model(tokens) + self.other(tokens)

    path = exported(Both().eval(), tmp_path / "model.onnx")
    with pytest.raises(UserError, match="quantized twice, and differently"):
        lower(path)
