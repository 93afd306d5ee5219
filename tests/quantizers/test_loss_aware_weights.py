# SPDX-License-Identifier: Apache-2.0
"""Loss-aware weights and their optimizer through ordinary Brevitas layers."""

import copy

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.errors import UserError
from qdeploy.quantizers import (
    LossAwareAdam,
    LossAwareBinary,
    LossAwareLinear,
    LossAwareLogarithmic,
    LossAwareTernary,
    LossAwareTwoScales,
)
from qdeploy.quantizers.loss_aware import solvers
from qdeploy.quantizers.loss_aware.levels import Levels
from qdeploy.quantizers.quantizer import sum_of

# Quantizer, options, the solver that it promises, largest code as deployed, bits per weight
CASES = {
    "binary": (LossAwareBinary, {}, solvers.binary, 1, 1),
    "ternary": (LossAwareTernary, {}, solvers.alternating, 1, 2),
    "exact": (LossAwareTernary, {"solver": "exact"}, solvers.ternary_exact, 1, 2),
    "two": (LossAwareTwoScales, {}, solvers.two_scales_alternating, 1, 2),
    "two-exact": (LossAwareTwoScales, {"solver": "exact"}, solvers.two_scales_exact, 1, 2),
    "linear": (LossAwareLinear, {}, lambda w, d: solvers.alternating(w, d, Levels(3)), 3, 3),
    "linear-8-l1": (
        LossAwareLinear,
        {"bit_width": 8, "scale_rule": "l1"},
        lambda w, d: solvers.alternating(w, d, Levels(8), "l1"),
        127,
        8,
    ),
    "logarithmic": (
        LossAwareLogarithmic,
        {"bit_width": 4},
        lambda w, d: solvers.alternating(w, d, Levels(4, "logarithmic")),
        64,
        4,
    ),
    "logarithmic-5": (
        LossAwareLogarithmic,
        {"bit_width": 5},
        lambda w, d: solvers.alternating(w, d, Levels(5, "logarithmic")),
        2**14,
        5,
    ),
}
every_case = pytest.mark.parametrize("name", CASES)


def options_of(name):
    quantizer, options, *_ = CASES[name]
    return {"weight_quant": quantizer} | {f"weight_{key}": v for key, v in options.items()}


def convolution(name, seed=0):
    torch.manual_seed(seed)
    return qnn.QuantConv2d(6, 8, 3, bias=False, **options_of(name))


def quantizer_of(layer):
    return layer.weight_quant.tensor_quant


def expected(name, weights, curvature):
    """The quantized weights, from the solver's codes and scales."""
    _, _, solve, largest, bits = CASES[name]
    codes, scale = solve(weights, curvature)
    if name.startswith("two"):
        step = 2.0 ** np.floor(np.log2(float(scale.max()))) / 128  # the largest is 128 .. 255
        above, below = (torch.round(scale / step) * step).unbind()
        return torch.where(codes > 0, above * codes, below * codes)
    if name.startswith("logarithmic"):
        magnitudes = 2.0 ** (codes.abs().float() - Levels(bits).largest)
        return scale * codes.sign() * magnitudes
    return scale * codes / largest


@every_case
def test_quantized_weights_are_the_solvers(name):
    layer = convolution(name)
    weights = layer.weight.detach()
    value = layer.quant_weight().value.detach()
    torch.testing.assert_close(value, expected(name, weights, torch.ones_like(weights)))
    curvature = torch.rand_like(weights) + 0.01
    state = quantizer_of(layer).state_of(layer.weight)
    state.curvature.copy_(curvature)
    state.scales.zero_()
    value = layer.quant_weight().value.detach()
    torch.testing.assert_close(value, expected(name, weights, curvature))


@every_case
def test_planes_are_what_the_layer_computes_with(name):
    layer = convolution(name).eval()
    planes = quantizer_of(layer).planes(layer.weight)
    assert torch.equal(sum_of(planes), layer.quant_weight().value)
    largest, bits = CASES[name][3:]
    assert max(int(plane.codes.abs().max()) for plane in planes) == largest
    assert all(not plane.codes.is_floating_point() for plane in planes)
    assert len(planes) == (2 if name.startswith("two") else 1)
    assert quantizer_of(layer).code_bits(layer.weight) == bits * layer.weight.numel()


@every_case
def test_gradients_go_straight_through(name):
    layer = convolution(name)
    x = torch.randn(2, 6, 5, 5)
    value = layer.quant_weight().value.detach().requires_grad_()
    (nn.functional.conv2d(x, value) ** 3).sum().backward()
    (layer(x) ** 3).sum().backward()
    torch.testing.assert_close(layer.weight.grad, value.grad)


@every_case
def test_steps_of_adam_clip_and_give_the_curvature(name):
    """Against Adam's formulas, with the gradient at the quantized weights."""
    layer = convolution(name).double()
    with torch.no_grad():
        layer.weight *= 10
    rate, betas = 0.02, (0.9, 0.999)
    optimizer = LossAwareAdam(layer, lr=rate)
    shadow = layer.weight.detach().clone()
    first, second = torch.zeros_like(shadow), torch.zeros_like(shadow)
    x, y = torch.randn(4, 6, 5, 5).double(), torch.randn(4, 8, 3, 3).double()
    for step in range(1, 4):
        value = layer.quant_weight().value.detach().requires_grad_()
        ((nn.functional.conv2d(x, value) - y) ** 2).mean().backward()
        optimizer.zero_grad()
        ((layer(x) - y) ** 2).mean().backward()
        optimizer.step()
        first = betas[0] * first + (1 - betas[0]) * value.grad
        second = betas[1] * second + (1 - betas[1]) * value.grad**2
        corrected = first / (1 - betas[0] ** step), second / (1 - betas[1] ** step)
        shadow = (shadow - rate * corrected[0] / (corrected[1].sqrt() + 1e-8)).clamp(-1, 1)
        torch.testing.assert_close(layer.weight.detach(), shadow)
        curvature = quantizer_of(layer).state_of(layer.weight).curvature
        torch.testing.assert_close(curvature, second.sqrt() + 1e-8)
    assert float(shadow.abs().max()) == 1.0


@every_case
def test_saved_states_give_the_same_weights(name):
    layer = convolution(name)
    optimizer = LossAwareAdam(layer, lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(torch.randn(4, 6, 5, 5)) ** 2).mean().backward()
        optimizer.step()
    layer.eval()
    wanted = layer.quant_weight().value.detach()
    assert torch.equal(layer.quant_weight().value, wanted)
    other = convolution(name, seed=1).eval()
    other.quant_weight()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.quant_weight().value, wanted)


def test_an_interrupted_optimizer_goes_on():
    """Weights, curvature and moments are all there is."""
    layer = convolution("linear")
    optimizer = LossAwareAdam(layer, lr=0.01)
    batches = torch.randn(6, 4, 6, 5, 5, generator=torch.Generator().manual_seed(0))

    def steps(layer, optimizer, batches):
        for x in batches:
            optimizer.zero_grad()
            (layer(x) ** 2).mean().backward()
            optimizer.step()

    steps(layer, optimizer, batches[:3])
    other = convolution("linear", seed=1)
    resumed = LossAwareAdam(other, lr=0.01)
    other.load_state_dict(layer.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(layer, optimizer, batches[3:])
    steps(other, resumed, batches[3:])
    assert torch.equal(other.weight, layer.weight)


def gate_weights(lstm):
    layer = lstm.layers[0][0]
    for gate in ("input", "forget", "cell", "output"):
        params = getattr(layer, f"{gate}_gate_params")
        yield from (params.input_weight, params.hidden_weight)


@pytest.mark.parametrize("name", ["binary", "two", "logarithmic"])
def test_the_eight_matrices_of_an_lstm(name):
    """Each has its own scales, in fixed point, and its own curvature, also in a copy."""
    torch.manual_seed(0)
    lstm = qnn.QuantLSTM(5, 5, bias_quant=None, io_quant=None, **options_of(name))
    with torch.no_grad():
        for factor, matrix in enumerate(gate_weights(lstm), start=1):
            matrix.weight *= factor / 10
    lstm = copy.deepcopy(lstm)
    optimizer = LossAwareAdam(lstm, lr=0.02)
    losses = []
    for _ in range(10):
        x = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss = ((lstm(x)[0] - 0.5 * torch.tanh(x)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    lstm.eval()
    scales = set()
    for matrix in gate_weights(lstm):
        quantizer = quantizer_of(matrix)
        state = quantizer.state_of(matrix.weight)
        moments = optimizer.state[matrix.weight]["exp_avg_sq"]
        assert torch.equal(state.curvature, moments.sqrt() + 1e-8)
        planes = quantizer.planes(matrix.weight)
        assert torch.equal(sum_of(planes), matrix().value)
        for plane in planes:
            numerator, _ = float(plane.scale).as_integer_ratio()
            assert numerator <= 255
        scales.add(tuple(float(plane.scale) for plane in planes))
    assert len(scales) >= 6  # fixed point: some may coincide


@pytest.mark.parametrize(
    ("quantizer", "bits", "message"),
    [
        (LossAwareLinear, 1, "linear weights of 1 bits"),
        (LossAwareLinear, 9, "linear weights of 9 bits"),
        (LossAwareLogarithmic, 6, "span 31 powers of two"),
    ],
)
def test_widths_that_there_are_not(quantizer, bits, message):
    with pytest.raises(UserError, match=message):
        qnn.QuantLinear(3, 2, bias=False, weight_quant=quantizer, weight_bit_width=bits)
