# SPDX-License-Identifier: Apache-2.0
"""Fixed-point activations against the formula."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch

from qdeploy.quantizers import FixedPointActivation


@pytest.mark.parametrize("bits", range(1, 9))
def test_values(bits):
    layer = qnn.QuantReLU(act_quant=FixedPointActivation, bit_width=bits).eval()
    step = 2.0 ** (1 - bits)
    rng = np.random.default_rng(bits)
    halves = np.arange(-6, 2 ** (bits + 1) + 6) * step / 2  # ties included
    x = np.concatenate([halves, rng.normal(size=200)]).astype(np.float32)
    wanted = np.clip(np.round(x / step), 0, 2**bits - 1) * step
    assert np.array_equal(layer(torch.from_numpy(x)).numpy(), wanted)


def test_grey_levels_pass_the_input_quantizer_unchanged():
    layer = qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=5).eval()
    x = torch.arange(17) / 16
    assert torch.equal(layer(x), x)


def test_gradient_is_one_for_values_that_round_to_a_code():
    layer = qnn.QuantReLU(act_quant=FixedPointActivation, bit_width=2)
    x = torch.tensor([-1.0, 0.1, 0.7, 1.4, 1.7, 1.8, 3.0], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 0, 0]
    assert not list(layer.parameters())
