# SPDX-License-Identifier: Apache-2.0
"""Fractional widths: continuous, with the formula's gradient; whole ones keep the budget."""

from itertools import product

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quantizers.fractional_bits.quantizer import FractionalBits
from qdeploy.quantizers.fractional_bits.solvers import (
    interpolated_cost,
    rounded_bits,
    uniform_codes,
)


def layer_of(bits, seed=0):
    torch.manual_seed(seed)
    layer = qnn.QuantLinear(40, 30, bias=False, weight_quant=FractionalBits).double()
    layer.weight_quant.tensor_quant.bits.data.fill_(bits)
    return layer


def mean_error(bits):
    layer = layer_of(bits)
    return (layer.quant_weight().value - layer.weight).square().mean().item()


def reconstruction(weights, bits):
    codes, scale = uniform_codes(weights, bits)
    return codes * scale


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_are_the_nearest(bits):
    weights = torch.from_numpy(np.random.default_rng(bits).normal(size=(5, 7)))
    codes, scale = uniform_codes(weights, bits)
    levels = 2 ** (bits - 1) - 1
    grid = torch.arange(-levels, levels + 1)
    nearest = grid[(weights[..., None] / scale - grid).abs().argmin(-1)]
    assert torch.equal(codes.long(), nearest)
    assert codes.abs().max() == levels


def test_zeros_have_a_scale():
    codes, scale = uniform_codes(torch.zeros(3, 4), 4)
    assert not codes.any()
    assert scale == 1


def test_the_error_falls_with_every_bit():
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=20_000))
    errors = [float((reconstruction(weights, b) - weights).square().mean()) for b in range(2, 9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 50 * errors[3]


@pytest.mark.parametrize("whole", range(2, 8))
def test_a_longer_width_lowers_the_error(whole):
    """Down to the least error of both widths mixed, which is behind 3/4 of the way to the next."""
    for fraction in (0.0, 0.3, 0.7):
        layer = layer_of(whole + fraction)
        error = (layer.quant_weight().value - layer.weight.detach()).square().mean()
        error.backward()
        assert layer.weight_quant.tensor_quant.bits.grad < 0
        assert mean_error(whole + fraction + 0.05) < error
    assert mean_error(whole + 1) < mean_error(whole) / 2


@pytest.mark.parametrize("bits", [3, 4, 7])
def test_continuous_at_whole_widths(bits):
    whole = layer_of(bits).quant_weight().value
    for near in (bits - 1e-9, bits + 1e-9):
        assert torch.allclose(layer_of(near).quant_weight().value, whole, atol=1e-7)
    assert torch.equal(whole, reconstruction(layer_of(bits).weight, bits))


@pytest.mark.parametrize("bits", [2.0, 3.3, 5.75, 8.0])
def test_gradients_are_the_formula(bits):
    layer = layer_of(bits)
    value = layer.quant_weight().value
    gradient = torch.randn_like(value)
    (value * gradient).sum().backward()
    below = min(int(bits), 7)
    low, high = (reconstruction(layer.weight.detach(), b) for b in (below, below + 1))
    wanted = (gradient * (high - low)).sum()
    assert torch.allclose(layer.weight_quant.tensor_quant.bits.grad, wanted)
    assert torch.equal(layer.weight.grad, gradient)


def test_evaluation_has_whole_widths():
    layer = layer_of(3.6).eval()
    assert torch.equal(layer.quant_weight().value, reconstruction(layer.weight, 4))


COSTS = st.lists(
    st.lists(st.floats(0.5, 9), min_size=7, max_size=7).map(lambda x: sorted(np.cumsum(x))),
    min_size=1,
    max_size=3,
)


@given(COSTS, st.data())
@settings(max_examples=60, deadline=None)
def test_rounding_keeps_the_budget(table, data):
    costs = torch.tensor(table, dtype=torch.float64)
    bits = [data.draw(st.floats(2, 8)) for _ in table]
    least, most = float(costs[:, 0].sum()), float(costs[:, -1].sum())
    budget = data.draw(st.floats(least, most))

    def cost(widths):
        return sum(row[b - 2] for row, b in zip(table, widths, strict=True))

    widths = rounded_bits(bits, costs, budget)
    assert all(2 <= b <= 8 for b in widths)
    assert cost(widths) <= budget * (1 + 1e-9)
    if cost([int(b) for b in bits]) <= budget:
        choices = [{int(b), min(-int(-b // 1), 8)} for b in bits]
        assert tuple(widths) in set(product(*choices))
        # no other layer could have its next bit too
        for k, b in enumerate(widths):
            if b < max(choices[k]):
                assert cost([*widths[:k], b + 1, *widths[k + 1 :]]) > budget


def test_costs_are_interpolated():
    costs = torch.tensor([[1.0, 2, 4, 8, 16, 32, 64], [3, 3, 3, 3, 3, 3, 9]])
    bits = torch.tensor([3.5, 7.5], requires_grad=True)
    total = interpolated_cost(bits, costs)
    total.backward()
    assert total.item() == 3 + 6
    assert bits.grad.tolist() == [2, 6]
    assert interpolated_cost(torch.tensor([8.0, 2.0]), costs).item() == 64 + 3
