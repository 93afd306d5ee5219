# SPDX-License-Identifier: Apache-2.0
"""Brevitas exports whose biases are quantized to 8, 16, 24 and 32 bits."""

import onnx
import pytest
from comparison import compare


@pytest.mark.parametrize("bias", ["Int8Bias", "Int16Bias", "Int24Bias", "Int32Bias"])
def test_brevitas_export(bias, tmp_path):
    import torch
    from brevitas import nn, quant
    from brevitas.export import export_qonnx

    torch.manual_seed(0)
    bias_quant = getattr(quant, bias)
    network = torch.nn.Sequential(
        nn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        nn.QuantConv2d(
            2, 4, 3, padding=1, weight_bit_width=4, return_quant_tensor=True,
            weight_quant=quant.Int8WeightPerChannelFloat, bias_quant=bias_quant,
        ),
        nn.QuantReLU(bit_width=3, return_quant_tensor=True),
        torch.nn.Flatten(),
        nn.QuantLinear(144, 5, bias=True, weight_bit_width=2, bias_quant=bias_quant),
    )  # fmt: skip
    for _ in range(5):
        network(torch.randn(16, 2, 6, 6))
    path = tmp_path / "net.onnx"
    export_qonnx(network.eval(), args=torch.randn(1, 2, 6, 6), export_path=str(path))
    lowered = compare(onnx.load(path), tmp_path)
    assert lowered is not None
    assert any(lowered.output_tensor.meaning.offset)
