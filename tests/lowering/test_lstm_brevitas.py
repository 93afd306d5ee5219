# SPDX-License-Identifier: Apache-2.0
"""LSTM layers on integers mean what Brevitas' QuantLSTM computes."""

from fractions import Fraction

import numpy as np
import pytest

from qdeploy.integer import Plane, ValueRange, Weights
from qdeploy.lowering.lstm import LstmQuantizers, UniformQuantizer, lstm_layer

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")


def test_sequences_of_brevitas() -> None:
    from brevitas.core.scaling import ScalingImplType
    from brevitas.nn import QuantLSTM
    from brevitas.quant import Int8ActPerTensorFloat, Uint8ActPerTensorFloat

    def constant(base: type, scale: float) -> type:
        levels = 128 if base is Int8ActPerTensorFloat else 255
        return base.let(scaling_impl_type=ScalingImplType.CONST, scaling_init=scale * levels)

    torch.manual_seed(0)
    inputs, size = 11, 7
    scales = {"io": 2**-6, "sigmoid": 2**-8, "tanh": 2**-7, "cell_state": 2**-5}
    lstm = QuantLSTM(
        inputs,
        size,
        bias=False,
        io_quant=constant(Int8ActPerTensorFloat, scales["io"]),
        sigmoid_quant=constant(Uint8ActPerTensorFloat, scales["sigmoid"]),
        tanh_quant=constant(Int8ActPerTensorFloat, scales["tanh"]),
        cell_state_quant=constant(Int8ActPerTensorFloat, scales["cell_state"]),
        gate_acc_quant=None,
    ).eval()
    layer = lstm.layers[0][0]
    gates = [
        getattr(layer, f"{gate}_gate_params") for gate in ("input", "forget", "cell", "output")
    ]
    with torch.no_grad():
        for gate in gates:
            for weight in (gate.input_weight, gate.hidden_weight):
                weight.weight *= 4
        quantized = [(gate.input_weight(), gate.hidden_weight()) for gate in gates]
    sides = []
    for side in range(2):
        codes = np.concatenate(
            [np.rint((q[side].value / q[side].scale).numpy()).astype(np.int8) for q in quantized]
        )
        sides.append(Weights((Plane(codes, np.ones((1, 1), np.int64)),)))
    for own, other in quantized:
        assert float(own.scale) == float(other.scale)
    units = tuple(Fraction(float(q[0].scale)) * Fraction(scales["io"]) for q in quantized)
    signed, unsigned = ValueRange(-128, 127), ValueRange(0, 255)
    quantizers = {
        name: UniformQuantizer(unsigned if name == "sigmoid" else signed, Fraction(scale))
        for name, scale in scales.items()
    }
    integers = lstm_layer(
        "lstm",
        *sides,
        np.zeros(4 * size, np.int64),
        units,
        LstmQuantizers(
            input=quantizers["io"],
            hidden=quantizers["io"],
            cell_state=quantizers["cell_state"],
            input_sigmoid=quantizers["sigmoid"],
            forget_sigmoid=quantizers["sigmoid"],
            cell_tanh=quantizers["tanh"],
            output_sigmoid=quantizers["sigmoid"],
            hidden_state_tanh=quantizers["tanh"],
        ),
    )
    x = np.random.default_rng(0).integers(-128, 128, (20, 3, inputs))
    with torch.no_grad():
        outputs, (h, c) = lstm(torch.tensor(x * scales["io"], dtype=torch.float32))
    got, (last_h, last_c) = integers.run(x)
    assert np.array_equal(got * scales["io"], outputs.numpy())
    assert np.array_equal(last_h * scales["io"], h.numpy()[0])
    assert np.array_equal(last_c * scales["cell_state"], c.numpy()[0])
    assert len(np.unique(got)) > 50
