# SPDX-License-Identifier: Apache-2.0
"""The ONNX form of LSTM layers gives the integers of the reference on stock ONNX Runtime."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lstm_layers import layer_of, layers, quantizers, random_codes, random_weights, signed

from qdeploy.cpu import lstm_to_onnx
from qdeploy.errors import UserError
from qdeploy.integer import LstmLayer, Plane, Weights


def check(layer: LstmLayer, steps: int, count: int, seed: int) -> None:
    model = lstm_to_onnx(layer)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(seed)
    x = random_codes(rng, layer.input, (steps, count, layer.input_size))
    h, c = (random_codes(rng, r, (count, layer.hidden_size)) for r in (layer.hidden, layer.state))
    names = ["outputs", "last_h", "last_c"]
    outputs, last_h, last_c = session.run(names, {"x": x, "h": h, "c": c})
    want, (want_h, want_c) = layer.run(x, (h, c))
    assert np.array_equal(outputs, want)
    assert np.array_equal(last_h, want_h)
    assert np.array_equal(last_c, want_c)


@settings(max_examples=40, deadline=None)
@given(layers(), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32))
def test_random_layers(layer: LstmLayer, steps: int, count: int, seed: int) -> None:
    check(layer, steps, count, seed)


def layer(rows: int = 40, multiplier: int = 1) -> LstmLayer:
    rng = np.random.default_rng(0)
    weights = [random_weights(rng, (rows, columns), "binary", 1, "layer") for columns in (16, 10)]
    planes = [w.planes[0] for w in weights]
    scaled = [Weights((Plane(p.codes, p.multipliers * multiplier),)) for p in planes]
    return layer_of(*scaled, np.zeros(rows, np.int64), quantizers(signed(8), signed(8), 16, 8))


def test_sums_beyond_float32() -> None:
    check(layer(multiplier=1 << 20), 3, 2, 1)


def test_weights_are_packed() -> None:
    rng = np.random.default_rng(0)
    weights = (random_weights(rng, (1024, 256), "binary", 1, "layer") for _ in range(2))
    inside = quantizers(signed(8), signed(8), 16, 8)
    model = lstm_to_onnx(layer_of(*weights, np.zeros(1024, np.int64), inside))
    codes = 2 * 1024 * 256 // 8
    assert len(model.SerializeToString()) < codes + 16_000  # biases, thresholds, nodes


def test_products_beyond_float64() -> None:
    plain = layer()
    wide = replace(plain.forget, multiplier=np.array([2**30 + 1]), divisor=np.array([2**38]))
    with pytest.raises(UserError, match="do not fit float64"):
        lstm_to_onnx(replace(plain, forget=wide))
