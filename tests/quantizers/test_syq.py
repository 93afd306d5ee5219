# SPDX-License-Identifier: Apache-2.0
"""SYQ weights through ordinary Brevitas layers, against the written-out formulas."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.errors import UserError
from qdeploy.quantizers import (
    FixedPointActivation,
    SyqBinaryLayer,
    SyqBinaryPixel,
    SyqBinaryRow,
    SyqTernaryLayer,
    SyqTernaryPixel,
    SyqTernaryRow,
)

QUANTIZERS = {
    ("binary", "layer"): SyqBinaryLayer,
    ("binary", "row"): SyqBinaryRow,
    ("binary", "pixel"): SyqBinaryPixel,
    ("ternary", "layer"): SyqTernaryLayer,
    ("ternary", "row"): SyqTernaryRow,
    ("ternary", "pixel"): SyqTernaryPixel,
}
SHAPES = {"layer": (), "row": (1, 1, 3, 1), "pixel": (1, 1, 3, 3)}
every_quantizer = pytest.mark.parametrize(("codes", "granularity"), QUANTIZERS)


def convolution(codes, granularity, inputs=3, outputs=5, seed=0, **options):
    torch.manual_seed(seed)
    return qnn.QuantConv2d(
        inputs,
        outputs,
        3,
        padding=1,
        bias=False,
        weight_quant=QUANTIZERS[codes, granularity],
        **options,
    )


def expected_codes(weights, codes):
    if codes == "binary":
        return np.where(weights >= 0, 1, -1)
    return np.sign(weights) * (np.abs(weights) > 0.05 * np.abs(weights).max())


def expected_scales(weights, granularity):
    """Mean |w| per group, by plain loops."""
    magnitudes = np.abs(weights.astype(np.float64))
    scales = np.empty(SHAPES[granularity])
    for index in np.ndindex(scales.shape):
        ky, kx = (index[2], index[3]) if index else (0, 0)
        group = {
            "layer": magnitudes,
            "row": magnitudes[:, :, ky, :],
            "pixel": magnitudes[:, :, ky, kx],
        }[granularity]
        scales[index] = group.mean()
    return scales


def learned(layer):
    return layer.weight_quant.tensor_quant


def integers(layer):
    """The scales' integers a and their fraction bits f."""
    scale = layer.quant_weight().scale.detach().double().numpy()
    bits = int(learned(layer).fraction_bits)
    return scale * 2.0**bits, bits


@every_quantizer
def test_codes_and_initial_scales(codes, granularity):
    layer = convolution(codes, granularity)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = 0.0
        layer.weight[0, 0, 0, 1] = 0.049 * layer.weight.abs().max()
    weights = layer.weight.detach().numpy()
    quantized = layer.quant_weight()
    scale = quantized.scale.detach().numpy()
    assert scale.shape == SHAPES[granularity]
    assert np.array_equal(quantized.value.detach().numpy() / scale, expected_codes(weights, codes))
    multipliers, bits = integers(layer)
    wanted = expected_scales(weights, granularity)
    assert np.array_equal(multipliers, np.round(wanted * 2.0**bits))
    assert 128 <= multipliers.max() <= 255
    assert float(quantized.bit_width) == (1 if codes == "binary" else 2)
    assert float(quantized.zero_point) == 0


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_fully_connected_layers_have_one_scale(granularity):
    layer = qnn.QuantLinear(6, 4, bias=False, weight_quant=QUANTIZERS["ternary", granularity])
    assert layer.quant_weight().scale.shape == ()


def cubic_loss(x, weights):
    """Something with curvature, so that gradients depend on the values."""
    return (nn.functional.conv2d(x, weights, padding=1) ** 3).sum()


def gradients(layer, x):
    layer.zero_grad()
    (layer(x) ** 3).sum().backward()
    return layer.weight.grad.clone(), learned(layer).scale.grad.clone()


@every_quantizer
def test_gradients_against_the_formula(codes, granularity):
    """dL/dw_hat by autograd of a plain convolution; the rest of the formula by hand."""
    layer = convolution(codes, granularity).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    scale = layer.quant_weight().scale.detach()
    w_hat = layer.quant_weight().value.detach().requires_grad_()
    cubic_loss(x, w_hat).backward()
    of_weights, of_scale = gradients(layer, x)
    torch.testing.assert_close(of_weights, scale * w_hat.grad)
    q = torch.from_numpy(expected_codes(layer.weight.detach().numpy(), codes))
    products = q * w_hat.grad
    if granularity == "layer":
        wanted = products.sum()
    else:
        wanted = products.sum((0, 1, 3) if granularity == "row" else (0, 1))
    torch.testing.assert_close(of_scale, wanted.reshape(of_scale.shape))
    if codes == "ternary":
        assert (q == 0).any()
        assert (of_weights[q == 0] != 0).all()


@every_quantizer
def test_gradients_against_finite_differences(codes, granularity):
    """Straight through means: differentiate at the fixed-point scales and at the codes."""
    layer = convolution(codes, granularity, inputs=2, outputs=2).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    scale = layer.quant_weight().scale.detach()
    q = layer.quant_weight().value.detach() / scale
    of_weights, of_scale = gradients(layer, x)
    for values, gradient, loss in (
        (scale, of_scale, lambda alpha: cubic_loss(x, alpha * q)),
        (q, of_weights, lambda codes_: cubic_loss(x, scale * codes_)),
    ):
        for index in np.ndindex(values.shape):
            step = torch.zeros_like(values)
            step[index] = 1e-5
            difference = (loss(values + step) - loss(values - step)) / 2e-5
            torch.testing.assert_close(gradient[index], difference, rtol=1e-6, atol=1e-7)


@every_quantizer
def test_scales_stay_fixed_point_and_positive_during_training(codes, granularity):
    layer = convolution(codes, granularity)
    target = torch.randn(4, 5, 8, 8)
    x = torch.randn(4, 3, 8, 8)
    layer(x)
    bits = int(learned(layer).fraction_bits)
    seen = set()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(25):
        optimizer.zero_grad()
        ((layer(x) - target) ** 2).mean().backward()
        optimizer.step()
        multipliers, now = integers(layer)
        assert now == bits
        assert np.array_equal(multipliers, np.round(multipliers))
        assert multipliers.min() >= 1
        assert multipliers.max() <= 255
        seen.add(tuple(np.ravel(multipliers)))
    assert len(seen) > 5


def test_saturated_scales_keep_only_gradients_that_lead_back():
    layer = convolution("binary", "pixel")
    layer.quant_weight()
    step = 2.0 ** -int(learned(layer).fraction_bits)
    with torch.no_grad():
        learned(layer).scale.fill_(300 * step)
        learned(layer).scale[0, 0, 0] = -step
    multipliers, _ = integers(layer)
    assert np.array_equal(np.unique(multipliers), [1, 255])
    w_hat = layer.quant_weight().value
    for direction in (1.0, -1.0):  # of the gradient; descent goes the other way
        learned(layer).scale.grad = None
        (direction * w_hat.detach().sign() * layer.quant_weight().value).sum().backward()
        gradient = learned(layer).scale.grad
        assert bool((gradient[0, 0, 0] == 0).all()) == (direction > 0)
        assert bool((gradient[0, 0, 1:] == 0).all()) == (direction < 0)


def test_scale_bits_are_an_option():
    layer = convolution("ternary", "pixel", weight_scale_bits=5)
    multipliers, _ = integers(layer)
    assert 16 <= multipliers.max() <= 31


@pytest.mark.parametrize("seed", range(3))
def test_error_falls_with_finer_scales(seed):
    """Weights under a Gaussian envelope over the kernel: pixel <= row <= layer by construction."""
    rng = np.random.default_rng(seed)
    offsets = np.arange(3) - 1
    envelope = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 0.7**2))
    weights = torch.from_numpy((rng.normal(size=(64, 64, 3, 3)) * envelope).astype(np.float32))
    errors = {}
    for granularity in ("pixel", "row", "layer"):
        layer = convolution("binary", granularity, 64, 64)
        layer.weight.data = weights
        difference = layer.quant_weight().value.detach() - weights
        errors[granularity] = float((difference**2).sum() / (weights**2).sum())
    assert errors["pixel"] < errors["row"] < errors["layer"]
    assert np.allclose(list(errors.values()), [0.363, 0.49, 0.6], atol=0.03)


def test_pretrained_weights_give_the_scales():
    """A float network's parameters, loaded before the first use."""
    pretrained = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    nn.init.normal_(pretrained.weight, std=3.0)
    layer = convolution("ternary", "row")
    layer.load_state_dict(pretrained.state_dict(), strict=False)
    multipliers, bits = integers(layer)
    wanted = expected_scales(pretrained.weight.detach().numpy(), "row")
    assert np.array_equal(multipliers, np.round(wanted * 2.0**bits))


def test_state_dict_keeps_the_scales():
    layer = convolution("ternary", "pixel")
    layer.quant_weight()
    with torch.no_grad():
        learned(layer).scale.mul_(0.5)
        layer.weight.mul_(7.0)
    other = convolution("ternary", "pixel", seed=1)
    other.quant_weight()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.quant_weight().value, layer.quant_weight().value)
    assert torch.equal(other.quant_weight().scale, layer.quant_weight().scale)


def test_quantized_tensors_as_input_give_the_same_values():
    layer = convolution("ternary", "pixel")
    x = torch.rand(2, 3, 6, 6)
    plain, wrapped = (
        qnn.QuantIdentity(act_quant=FixedPointActivation, return_quant_tensor=wrap)
        for wrap in (False, True)
    )
    assert torch.equal(layer(wrapped(x)), layer(plain(x)))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_weights_without_magnitude_are_an_error(value):
    layer = convolution("ternary", "pixel")
    nn.init.constant_(layer.weight, value)
    with pytest.raises(UserError, match="give no SYQ scale"):
        layer.quant_weight()


def test_a_shared_quantizer_is_an_error():
    layer = convolution("ternary", "pixel")
    with pytest.raises(UserError, match="for 2 layers"):
        qnn.QuantConv2d(3, 5, 3, bias=False, weight_quant=layer.weight_quant)
