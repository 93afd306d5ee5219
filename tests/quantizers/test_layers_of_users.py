# SPDX-License-Identifier: Apache-2.0
"""Twins of all that users' modules hold: shared, derived, transposed and unsupported layers."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import qdeploy
from qdeploy.errors import UserError
from qdeploy.exporter import export_qonnx
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.quantizers.bits import average_bits, quantized_layers


class Doubled(nn.Linear):
    """Computes something else than its base."""

    def forward(self, x):
        return 2 * super().forward(x)


class Initialised(nn.Linear):
    """Computes what its base does."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        nn.init.constant_(self.weight, 0.25)


class Handmade(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4))

    def forward(self, x):
        return x @ self.weight.T


def test_a_layer_in_several_places_stays_one(tmp_path):
    torch.manual_seed(0)
    layer, relu = nn.Linear(6, 6), nn.ReLU()
    plain = nn.Sequential(layer, relu, layer, relu, nn.Linear(6, 3))
    twin = qdeploy.quantize(plain, weights="binary", layers={"0": {"weights": "ternary"}})
    assert twin[0] is twin[2]
    assert twin[1] is twin[3]
    assert isinstance(twin[0], qnn.QuantLinear)
    assert isinstance(twin[1], qnn.QuantReLU)
    assert plain[0] is plain[2] is layer
    assert average_bits(twin) == (36 * 2 + 18) / 54
    x = torch.rand(20, 6)
    logits = twin.eval()(x).detach().numpy()
    export_qonnx(twin, x[:1], tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    found = network.real_output(run(network, x.numpy()))
    assert np.allclose(found, logits, atol=1e-5)
    assert logits.min() < 0  # the output of a Sequential is not quantized as its input


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.decoder = nn.Linear(4, 7, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens):
        return self.decoder(self.embedding(tokens))


@pytest.mark.parametrize("layers", [{}, {"embedding": {"weights": "float"}}])
def test_tied_weights_are_refused(layers):
    with pytest.raises(UserError, match=r"layer 'decoder': .*'embedding'"):
        qdeploy.quantize(Tied(), layers=layers)


def test_tied_weights_that_stay_float_stay_tied():
    layers = {"embedding": {"weights": "float"}, "decoder": {"weights": "float"}}
    twin = qdeploy.quantize(Tied(), layers=layers)
    assert twin.decoder.weight is twin.embedding.weight


UNSUPPORTED = {
    "another forward": lambda: Doubled(4, 3),
    "three dimensions": lambda: nn.Conv3d(2, 3, 1),
    "gated recurrent unit": lambda: nn.GRU(4, 3),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "own matrix": Handmade,
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    "parametrized, other layer": lambda: nn.utils.parametrizations.weight_norm(nn.Conv3d(2, 3, 1)),
    "computed by a hook": lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", 2),
    "no shape yet": lambda: nn.LazyLinear(3),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_layers_with_weights_and_no_twin_are_refused(kind):
    with pytest.raises(UserError, match=r"layer '1\.0'"):
        qdeploy.quantize(nn.Sequential(nn.Linear(4, 4), nn.Sequential(UNSUPPORTED[kind]())))


@pytest.mark.parametrize("kind", ["another forward", "gated recurrent unit", "attention"])
def test_they_may_stay_float_with_all_inside(kind):
    plain = nn.Sequential(nn.Linear(4, 4), UNSUPPORTED[kind]())
    twin = qdeploy.quantize(plain, layers={"1": {"weights": "float"}})
    assert isinstance(twin[0], qnn.QuantLinear)
    assert [type(m) for m in twin[1].modules()] == [type(m) for m in plain[1].modules()]


def test_what_has_no_weights_to_quantize_stays():
    brevitas = qnn.QuantLinear(3, 3, bias=True)
    norms = nn.LayerNorm([2, 3]), nn.GroupNorm(1, 3), nn.BatchNorm1d(3), nn.PReLU(3)
    twin = qdeploy.quantize(nn.Sequential(brevitas, *norms))
    assert [type(m) for m in twin][:5] == [type(brevitas), *map(type, norms)]


def test_a_subclass_that_computes_the_same_is_its_base():
    output = nn.modules.linear.NonDynamicallyQuantizableLinear(3, 2)
    twin = qdeploy.quantize(nn.Sequential(Initialised(4, 3), output))
    assert [type(layer) for layer in twin][:2] == [qnn.QuantLinear] * 2
    assert twin[0].weight.unique().item() == 0.25


def test_tokens_are_no_reals(tmp_path):
    torch.manual_seed(0)
    twin = qdeploy.quantize(nn.Sequential(nn.Embedding(300, 6), nn.Linear(6, 4)), method="laq")
    tokens = torch.randint(300, (5, 7))
    logits = twin.eval()(tokens).detach().numpy()
    assert len(np.unique(logits, axis=1)) > 1
    export_qonnx(twin, tokens[:1], tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    found = network.real_output(run(network, tokens.numpy()))
    assert np.allclose(found, logits, atol=1e-6)


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x, scale=1.0):
        return scale * self.layer(x)


def test_the_input_may_come_by_name():
    twin = qdeploy.quantize(Keywords(), input_bits=2).eval()
    x = torch.rand(5, 3)
    assert torch.equal(twin(x=x), twin(x))
    assert torch.equal(twin(scale=3.0, x=x), twin(x, 3.0))
    assert torch.equal(twin(x=x), twin((2 * x).round() / 2))
    with pytest.raises(TypeError, match="x"):
        twin()


METHODS = {
    "syq": {"first_and_last": "int8"},
    "laq": {},
    "retraining": {},
    "alq": {"activation_levels": "multibit"},
    "fractional-bits": {"amount": 4},
    "brevitas": {},
}


@pytest.mark.parametrize("method", METHODS)
def test_twins_are_where_the_module_is(method):
    """In its type too; the device "meta" stands for any but the CPU."""
    layers = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.LeakyReLU(), nn.Linear(3, 2)
    plain = nn.Sequential(*layers)
    options = {"method": method, **METHODS[method]}
    double = qdeploy.quantize(plain.double(), **options)
    assert double(torch.rand(5, 4, dtype=torch.float64)).dtype == torch.float64
    meta = nn.Sequential(nn.Embedding(5, 4), nn.Conv1d(3, 4, 1), *layers).to("meta")
    twin = qdeploy.quantize(meta, **options)
    tensors = [*twin.parameters(), *twin.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_recurrent_twins_have_the_type_of_the_module():
    plain = nn.Sequential(nn.Embedding(5, 4), nn.LSTM(4, 3, batch_first=True)).double()
    twin = qdeploy.quantize(plain, activations=4)
    assert twin(torch.zeros(2, 3, dtype=torch.int64))[0].dtype == torch.float64


class Reversed(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 2)
        self.middle = nn.Linear(3, 3)
        self.first = nn.Linear(4, 3)
        self.before = nn.Linear(4, 4)


def test_first_and_last_are_those_of_registration():
    twin = qdeploy.quantize(Reversed(), first_and_last="int8", layers={"first": {}})
    ours = {name for name, _, _ in quantized_layers(twin)}
    assert ours == {"middle", "first"}


def transposed():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"granularity": "pixel"},
        {"granularity": "row", "weights": "binary"},
        {"method": "laq", "weights": "two-scale"},
        {"method": "fractional-bits", "amount": 4},
        {"method": "retraining", "layers": {"2": {"weights": "int8"}}},
        {"method": "alq", "layers": {"2": {"weights": "int8"}}},
    ],
)
def test_transposed_convolutions_reach_integers(options, tmp_path):
    twin = qdeploy.quantize(transposed(), **options).eval()
    x = torch.rand(6, 1, 6, 6)
    outputs = twin(x).detach().numpy()
    export_qonnx(twin, x[:1], tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    assert np.allclose(network.real_output(run(network, x.numpy())), outputs, atol=1e-5)


@pytest.mark.parametrize("method", ["retraining", "alq"])
def test_bases_of_transposed_convolutions_are_refused(method):
    with pytest.raises(UserError, match=r"layer '2': .*ConvTranspose2d"):
        qdeploy.quantize(transposed(), method=method)


@pytest.mark.parametrize("options", [{"method": "alq"}, {"method": "fractional-bits", "amount": 4}])
def test_a_method_without_a_layer_is_refused(options):
    with pytest.raises(UserError, match="has no layer"):
        qdeploy.quantize(nn.Linear(4, 3), first_and_last="int8", **options)
