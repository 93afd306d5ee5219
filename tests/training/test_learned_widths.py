# SPDX-License-Identifier: Apache-2.0
"""Learned widths: within each kind of budget, and all the way to integers."""

import numpy as np
import pytest
import torch
from qonnx.custom_op.registry import getCustomOp
from quantized_networks import quantized_network
from torch import nn

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.exporter import export, export_qonnx
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.mapping import map_network
from qdeploy.integer import Convolution, Linear, run
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.quantizers.config import FractionalBitsConfig, quantization_config
from qdeploy.quantizers.quantize import quantize
from qdeploy.training import checkpoint, datasets, predict, train
from qdeploy.training.budgets import fractional_layers, layer_costs
from qdeploy.training.config import DataConfig, TrainingConfig

SMALL = NetworkConfig(channels=(4, 8))


def config(**values):
    return quantization_config(method="fractional-bits", **values)


@pytest.mark.parametrize("bits", [2.6, 4.0])
def test_average_bits_within_the_budget(bits, tmp_path):
    training = TrainingConfig(float_epochs=8, epochs=16)
    result = train(DataConfig(), SMALL, config(amount=bits), training, tmp_path)
    assert bits - 0.4 < result.average_bits <= bits + 1e-6
    assert result.accuracy > 0.85
    export(result.checkpoint, tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    quantizers = [
        getattr(checkpoint.load(result.checkpoint), layer).weight_quant.tensor_quant
        for layer in ("conv1", "conv2", "fc")
    ]
    layers = [n for n in network.nodes if isinstance(n, (Convolution, Linear))]
    for node, quantizer in zip(layers, quantizers, strict=True):
        width = quantizer.bits.item()
        assert width == int(width)
        (plane,) = node.weights.planes
        assert abs(plane.codes).max() == 2 ** (width - 1) - 1
    x = datasets.load("digits").x_test
    integers = run(network, x)
    assert np.array_equal(
        network.real_output(integers).argmax(1), predict(result.checkpoint, x).argmax(1)
    )
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)


def shares_of_luts(folded, board):
    """LUTs; block RAMs and DSP slices as the LUTs of the same share of the board."""
    total = board.resources
    costs = [getCustomOp(node).predicted() for node in folded.model.graph.node]
    shares = sum(cost.bram36 / total.bram36 + cost.dsp / total.dsp for cost in costs)
    return sum(cost.lut for cost in costs) + total.lut * shares


@pytest.mark.parametrize(
    ("budget", "amount", "share", "goal"),
    [("luts", 1100, 0.8, {"fps": 50_000}), ("cycles", 700, 0.4, {"fill": 0.02})],
)
def test_hardware_within_the_budget(budget, amount, share, goal, tmp_path):
    """What was trained, compiled as the budget says; 8 bits everywhere would be beyond it."""
    training = TrainingConfig(float_epochs=2, epochs=5)
    chosen = config(budget=budget, amount=amount, **goal)
    network = checkpoint.load(train(DataConfig(), SMALL, chosen, training, tmp_path).checkpoint)
    board, spent = load_board("pynq-z2"), []
    for longest in (False, True):
        for quantizer in fractional_layers(network).values() if longest else ():
            quantizer.bits.data.fill_(8)
        export_qonnx(network, torch.zeros(1, *network.input_shape), tmp_path / "net.onnx")
        folded = fold(map_network(lower(tmp_path / "net.onnx")), board, **goal)
        cycles = folded.cycles_per_frame
        spent.append(cycles if budget == "cycles" else shares_of_luts(folded, board))
    assert share * amount < spent[0] <= amount < spent[1], spent


def test_costs_on_this_processor():
    torch.manual_seed(0)
    options = {"method": "fractional-bits", "budget": "cpu-time", "amount": 1e6}
    network = quantized_network(channels=(4, 8), **options)
    network(torch.rand(4, 1, 8, 8))
    costs, left = layer_costs(network, network.quantization, torch.zeros(1, 1, 8, 8))
    assert costs.shape == (3, 7)
    assert (costs > 0).all()
    assert 0 < left < 1e6 - 0.01  # input, thresholds, output
    assert network.conv1.weight_quant.tensor_quant.bits == 6


@pytest.mark.parametrize("budget", ["luts", "cpu-time"])
def test_tokens_have_no_kernels(budget):
    network = NetworkConfig(name="char_lstm", channels=(4,), vocabulary=5)
    options = config(budget=budget, amount=1e6, activations=4)
    twin = quantize(build_network(network), options)
    with pytest.raises(UserError, match=r"layer 'OneHot': there is no (kernel|hardware)"):
        layer_costs(twin, options, torch.zeros(1, 50, dtype=torch.int64))


def test_other_layers_are_paid_from_the_budget():
    """The middle one of three alike; the others have 8 bits and 32."""
    layers = {"0": {"weights": "int8"}, "2": {"weights": "float"}}
    options = config(amount=16, layers=layers)
    twin = quantize(nn.Sequential(*(nn.Linear(5, 5) for _ in range(3))), options)
    costs, left = layer_costs(twin, options, torch.zeros(1, 5))
    np.testing.assert_allclose(costs, [[width / 3 for width in range(2, 9)]], rtol=1e-6)
    assert left == pytest.approx(16 - 40 / 3)
    with pytest.raises(UserError, match=r"budget of 13\.9 bits; .* takes 14\n"):
        layer_costs(twin, options.model_copy(update={"amount": 13.9}), torch.zeros(1, 5))


def test_a_budget_below_the_least_is_refused():
    network = quantized_network(method="fractional-bits", amount=1.9)
    with pytest.raises(UserError, match=r"budget of 1\.9 bits; .* 2 bits .* takes 2\n"):
        layer_costs(network, network.quantization, torch.zeros(1, 1, 8, 8))


def test_the_budget_has_no_default():
    with pytest.raises(UserError, match="amount"):
        quantization_config(method="fractional-bits")
    assert FractionalBitsConfig(method="fractional-bits", amount=3).search == 0.6
