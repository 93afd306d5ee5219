# SPDX-License-Identifier: Apache-2.0
"""The quantized twin of torch.nn.LSTM computes what the layer does, up to its quantizers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from brevitas.quant import SignedBinaryWeightPerTensorConst  # noqa: E402
from torch import nn  # noqa: E402

from qdeploy.errors import UserError  # noqa: E402
from qdeploy.exporter import export_qonnx  # noqa: E402
from qdeploy.integer import run  # noqa: E402
from qdeploy.lowering import lower  # noqa: E402
from qdeploy.networks.lstm import WordLstm  # noqa: E402
from qdeploy.quantizers.config import quantization_config  # noqa: E402
from qdeploy.quantizers.lstm import QuantizedLstm  # noqa: E402
from qdeploy.quantizers.quantize import quantize  # noqa: E402
from qdeploy.quantizers.syq import SyqTernaryLayer  # noqa: E402


def ternary(weights: torch.Tensor) -> type:
    return SyqTernaryLayer


def sample(count: int = 3, steps: int = 5) -> Any:
    torch.manual_seed(0)
    lstm = nn.LSTM(11, 7, num_layers=2, batch_first=True)
    state = tuple(torch.rand(2, count, 7) - 0.5 for _ in range(2))
    return lstm, torch.rand(count, steps, 11) * 2 - 1, state


def test_without_quantizers_it_is_the_layer() -> None:
    lstm, x, state = sample()
    twin = QuantizedLstm(lstm, lambda _: None, None)
    for given in (None, state):
        want, (want_h, want_c) = lstm(x, given)
        got, (h, c) = twin(x, given)
        for a, b in ((got, want), (h, want_h), (c, want_c)):
            assert torch.allclose(a, b, atol=1e-6)
            assert a.shape == b.shape


def test_sequence_in_two_parts() -> None:
    """States continue where they stopped, in codes."""
    lstm, x, _ = sample()
    twin = QuantizedLstm(lstm, ternary, 8).eval()
    whole, (h, c) = twin(x)
    first, state = twin(x[:, :2])
    second, (last_h, last_c) = twin(x[:, 2:], state)
    assert torch.equal(torch.cat([first, second], 1), whole)
    assert torch.equal(last_h, h)
    assert torch.equal(last_c, c)
    assert torch.equal(torch.round(whole * 128), whole * 128)


def test_float_inside_is_close_to_codes_inside() -> None:
    lstm, x, _ = sample()
    codes, reals = (QuantizedLstm(lstm, ternary, bits).eval()(x)[0] for bits in (8, None))
    assert 0 < (codes - reals).abs().max() < 0.02


def test_every_tensor_has_its_own_scale() -> None:
    lstm, x, _ = sample()
    twin = QuantizedLstm(lstm, ternary, None)
    y = twin(x)[0]
    scales = [value for name, value in twin.named_parameters() if name.endswith("scale")]
    assert len(scales) == 2 * 8
    assert len({scale.item() for scale in scales}) == 16
    y.square().sum().backward()
    assert all(scale.grad is not None for scale in scales)


def test_starts_from_the_given_parameters() -> None:
    lstm, _, _ = sample()
    twin = QuantizedLstm(lstm, lambda _: SignedBinaryWeightPerTensorConst, None)
    gate = twin.layers[1][0].forget_gate_params
    assert torch.equal(gate.input_weight.weight, lstm.weight_ih_l1[7:14])
    assert torch.equal(gate.hidden_weight.weight, lstm.weight_hh_l1[7:14])
    assert torch.equal(gate.bias, (lstm.bias_ih_l1 + lstm.bias_hh_l1)[7:14])


@pytest.mark.parametrize("arguments", [{"bidirectional": True}, {"proj_size": 2}])
def test_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="LSTM layer with"):
        QuantizedLstm(nn.LSTM(5, 4, **arguments), lambda _: None, None)


@pytest.mark.parametrize(
    "values",
    [
        {"method": "laq", "weights": "two-scale"},
        {"method": "laq", "weights": "linear", "bits": 3},
        {"method": "syq", "weights": "binary", "first_and_last": "int8"},
        {"method": "retraining", "bits": 2},
        {"method": "alq", "bits": 2},
        {"method": "fractional-bits", "amount": 3.0},
    ],
    ids=lambda values: values["method"],
)
def test_methods_of_quantize_become_integers(tmp_path: Path, values: dict[str, Any]) -> None:
    """Every scale inside the sums is made of few bits, also behind a state dict."""
    torch.manual_seed(0)
    config = quantization_config(activations=8, **values)
    twin = quantize(WordLstm(12, 6), config)
    again = quantize(WordLstm(12, 6), config)
    tokens = torch.randint(0, 12, (4, 5))
    twin(tokens)
    again.load_state_dict(twin.state_dict())
    export_qonnx(again.eval(), tokens[:1], tmp_path / "model.onnx")
    network = lower(tmp_path / "model.onnx")
    got = network.real_output(run(network, tokens.numpy()))
    assert twin.eval()(tokens).allclose(torch.tensor(got), atol=1e-6)
    assert np.ptp(got) > 0.1


def test_one_bit_inside_is_refused() -> None:
    with pytest.raises(UserError, match="activations of 1 bits"):
        quantize(WordLstm(12, 6), quantization_config(activations=1))
