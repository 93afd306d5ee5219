# SPDX-License-Identifier: Apache-2.0
"""The exported file is standard QONNX and computes what the torch module computes."""

import copy

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from torch import nn

from qdeploy.errors import UserError
from qdeploy.exporter import export, export_qonnx
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers import FixedPointActivation, syq
from qdeploy.quantizers.config import SyqConfig
from qdeploy.training import checkpoint, datasets, predict, train
from qdeploy.training.config import DataConfig, TrainingConfig

SHAPES = {"Layer": (), "Row": (1, 1, 3, 1), "Pixel": (1, 1, 3, 3)}


class Small(nn.Module):
    """A convolution and a fully connected layer, with shadow weights far from their codes."""

    def __init__(self, weight_quant):
        super().__init__()
        self.input = qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=5)
        self.conv = qnn.QuantConv2d(2, 3, 3, bias=False, weight_quant=weight_quant)
        self.bn = nn.BatchNorm2d(3)
        self.act = qnn.QuantReLU(act_quant=FixedPointActivation, bit_width=2)
        self.flatten = nn.Flatten()
        self.fc = qnn.QuantLinear(12, 4, bias=False, weight_quant=weight_quant)

    def forward(self, x):
        return self.fc(self.flatten(self.act(self.bn(self.conv(self.input(x))))))


def initializers(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(path, x):
    """The public executor, after the public clean-up, with the batch size of `x`."""
    model = cleanup_model(ModelWrapper(str(path)), override_inpsize=len(x))
    (output,) = execute_onnx(model, {model.graph.input[0].name: x}).values()
    return output


@pytest.mark.parametrize("granularity", SHAPES)
@pytest.mark.parametrize("codes", ["Binary", "Ternary"])
def test_weights_in_the_file(codes, granularity, tmp_path):
    torch.manual_seed(0)
    module = Small(getattr(syq, f"Syq{codes}{granularity}"))
    envelope = torch.tensor([0.02, 1.0, 0.3]).reshape(1, 1, 3, 1)  # row 0 far below half the mean
    module.conv.weight.data *= envelope
    module(torch.rand(8, 2, 4, 4))
    before = copy.deepcopy(module.state_dict())
    wanted = {"conv": module.conv.quant_weight(), "fc": module.fc.quant_weight()}
    export_qonnx(module, torch.zeros(1, 2, 4, 4), tmp_path / "net.onnx")

    model = onnx.load(tmp_path / "net.onnx")
    constants = initializers(model)
    for layer, quantized in wanted.items():
        (node,) = [n for n in model.graph.node if n.input[0] == f"{layer}.weight"]
        scale = constants[node.input[1]]
        assert scale.shape == (SHAPES[granularity] if layer == "conv" else ())
        assert np.array_equal(scale, quantized.scale.detach().numpy())
        weights = constants[f"{layer}.weight"]
        if codes == "Binary":
            assert node.op_type == "BipolarQuant"
            file_codes = np.where(weights >= 0, 1, -1)
        else:
            assert node.op_type == "Quant"
            assert constants[node.input[2]] == 0
            assert constants[node.input[3]] == 2
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert attributes == {"narrow": 1, "signed": 1, "rounding_mode": b"ROUND"}
            file_codes = np.clip(np.round(weights / scale), -1, 1)
        assert np.array_equal(file_codes * scale, quantized.value.detach().numpy())
        assert np.array_equal(weights, file_codes * scale)

    assert module.training
    after = module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    x = torch.rand(6, 2, 4, 4)
    assert np.array_equal(run(tmp_path / "net.onnx", x.numpy()), module.eval()(x).detach().numpy())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    result = train(
        DataConfig(),
        NetworkConfig(channels=(4, 8)),
        SyqConfig(),
        TrainingConfig(float_epochs=2, epochs=3),
        directory,
    )
    export(result.checkpoint, directory / "net.onnx")
    return result.checkpoint, directory / "net.onnx"


def test_graph_of_a_trained_network(trained):
    model = onnx.load(trained[1])
    names = {node.name: node.op_type for node in model.graph.node}
    for layer, operator in {
        "conv1": "Conv",
        "bn1": "BatchNormalization",
        "conv2": "Conv",
        "bn2": "BatchNormalization",
        "pool": "MaxPool",
        "flatten": "Flatten",
        "fc": "MatMul",
    }.items():
        assert names[f"/{layer}/{operator}"] == operator
    assert sum(node.op_type == "Quant" for node in model.graph.node) == 6
    (graph_input,) = model.graph.input
    assert [d.dim_value for d in graph_input.type.tensor_type.shape.dim] == [1, 1, 8, 8]
    assert [value.name for value in model.graph.output] == ["output"]
    assert model.opset_import[0].version == 13


def test_predictions_of_a_trained_network(trained):
    digits = datasets.load("digits")
    logits = predict(trained[0], digits.x_test)
    exported = run(trained[1], digits.x_test)
    assert np.array_equal(exported.argmax(axis=1), logits.argmax(axis=1))
    assert np.abs(exported - logits).max() <= 1e-5


def test_exporting_twice_gives_the_same_file(trained, tmp_path):
    export(trained[0], tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == trained[1].read_bytes()


def test_export_is_silent(trained, tmp_path, capfd, recwarn):
    export(trained[0], tmp_path / "net.onnx")
    output = capfd.readouterr()
    assert output.out + output.err == ""
    assert not recwarn.list


def test_wrong_example_shape(trained, tmp_path):
    network = checkpoint.load(trained[0])
    with pytest.raises(UserError, match=r"shape \(1, 3, 8, 8\)"):
        export_qonnx(network, torch.zeros(1, 3, 8, 8), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


class Unexportable(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).real


def test_operator_without_onnx_counterpart(tmp_path):
    with pytest.raises(UserError, match=r"cannot be exported.*eigvals"):
        export_qonnx(Unexportable(), torch.eye(3), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
