# SPDX-License-Identifier: Apache-2.0
"""A layer of long short-term memory and its rivals. Part of benchmarks/cpu.py.

The kernels generated for weights of one bit, three values, two planes of one bit with scales per
row, and four bits; ONNX Runtime's LSTM in float32, its DynamicQuantizeLSTM in int8, and a step of
MatMulNBits with float gates.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.cpu import LstmSession
from qdeploy.integer import LstmLayer, Plane, ValueRange, Weights
from qdeploy.lowering.lstm import LstmQuantizers, UniformQuantizer, lstm_layer

SIZE, STEPS = 512, 100
BLOCKS = {4: 32, 2: 128}  # of MatMulNBits, by bits
Contenders = dict[str, Callable[[], object]]


def signed(bits: int) -> ValueRange:
    """Codes without the lowest."""
    return ValueRange(1 - (1 << bits - 1), (1 << bits - 1) - 1)


def weights(form: str, rng: np.random.Generator) -> Weights:
    """Random ones, [4 · SIZE, SIZE]."""
    values, planes = {
        "w1": ([-1, 1], 1),
        "wT": ([-1, 0, 1], 1),
        "w2": ([-1, 1], 2),
        "w4": (range(-8, 8), 1),
    }[form]
    rows = (4 * SIZE, 1) if planes > 1 else (1, 1)
    return Weights(
        tuple(
            Plane(
                rng.choice(list(values), (4 * SIZE, SIZE)).astype(np.int8),
                rng.integers(1, 200, rows) if planes > 1 else np.ones(rows, np.int64),
            )
            for _ in range(planes)
        )
    )


def layer(form: str, bits: int) -> LstmLayer:
    """A layer with inputs and hidden states of `bits` bits, 8-bit gates, a 16-bit cell state."""
    rng = np.random.default_rng(0)
    sigmoid = UniformQuantizer(ValueRange(0, 255), Fraction(1, 255))
    tanh = UniformQuantizer(signed(8), Fraction(1, 127))
    hidden = UniformQuantizer(signed(bits), Fraction(1, signed(bits).high))
    inside = LstmQuantizers(
        input=hidden,
        hidden=hidden,
        cell_state=UniformQuantizer(signed(16), Fraction(1, 1 << 12)),
        input_sigmoid=sigmoid,
        forget_sigmoid=sigmoid,
        cell_tanh=tanh,
        output_sigmoid=sigmoid,
        hidden_state_tanh=tanh,
    )
    both = weights(form, rng), weights(form, rng)
    spread = float(np.sqrt((both[0].integers().astype(float) ** 2).sum(axis=1).mean()))
    unit = Fraction(2 / spread / hidden.range.high).limit_denominator(1 << 40)
    bias = rng.integers(-9, 9, 4 * SIZE)
    return lstm_layer("lstm", *both, bias, (unit, unit, unit, unit), inside)


def ours(form: str, bits: int, steps: int) -> Callable[[], object]:
    """A call of `steps` steps."""
    planned = layer(form, bits)
    session = LstmSession(planned)
    x = np.random.default_rng(1).integers(-2, 2, (steps, 1, SIZE))
    state = planned.zero_state(1)
    return lambda: session.run(x, state)


def _value(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(nodes: list[NodeProto], inputs: list[Any], outputs: list[Any], **tensors: Any) -> Any:
    initializers = [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()]
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def float_operator(steps: int) -> ModelProto:
    """The operator LSTM."""
    rng = np.random.default_rng(0)
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=SIZE)
    w, r = (rng.normal(0, 0.04, (1, 4 * SIZE, SIZE)).astype(np.float32) for _ in range(2))
    return _model(
        [node], [_value("x", [steps, 1, SIZE])], [_value("y", [steps, 1, 1, SIZE])], w=w, r=r
    )


def int8_operator(steps: int) -> ModelProto:
    """The operator DynamicQuantizeLSTM."""
    rng = np.random.default_rng(0)
    names = ["x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", names, ["y", "h", "c"], hidden_size=SIZE, domain="com.microsoft"
    )
    w, r = (rng.integers(-127, 128, (1, SIZE, 4 * SIZE)).astype(np.int8) for _ in range(2))
    scale, zero = np.full(1, 0.0005, np.float32), np.zeros(1, np.int8)
    return _model(
        [node],
        [_value("x", [steps, 1, SIZE])],
        [_value("y", [steps, 1, 1, SIZE])],
        w=w,
        r=r,
        ws=scale,
        wz=zero,
        rs=scale,
        rz=zero,
    )


def n_bits_step(bits: int) -> ModelProto:
    """One step: MatMulNBits (int8 inside) on inputs and hidden state together, float gates."""
    rng, block, rows = np.random.default_rng(0), BLOCKS[bits], 4 * SIZE
    blocks = 2 * SIZE // block
    nodes = [
        helper.make_node("Concat", ["x", "h"], ["both"], axis=1),
        helper.make_node(
            "MatMulNBits",
            ["both", "codes", "scales"],
            ["sums"],
            domain="com.microsoft",
            K=2 * SIZE,
            N=rows,
            bits=bits,
            block_size=block,
            accuracy_level=4,
        ),
        helper.make_node("Split", ["sums"], ["si", "sf", "sg", "so"], axis=1),
        *(helper.make_node("Sigmoid", [f"s{gate}"], [gate]) for gate in "ifo"),
        helper.make_node("Tanh", ["sg"], ["g"]),
        helper.make_node("Mul", ["f", "c"], ["kept"]),
        helper.make_node("Mul", ["i", "g"], ["added"]),
        helper.make_node("Add", ["kept", "added"], ["c2"]),
        helper.make_node("Tanh", ["c2"], ["t"]),
        helper.make_node("Mul", ["o", "t"], ["h2"]),
    ]
    return _model(
        nodes,
        [_value(name, [1, SIZE]) for name in "xhc"],
        [_value(name, [1, SIZE]) for name in ("h2", "c2")],
        codes=rng.integers(0, 256, (rows, blocks, block * bits // 8), np.uint8),
        scales=(rng.random(rows * blocks, np.float32) / 500).astype(np.float32),
    )


def call(model: ModelProto) -> Callable[[], object]:
    """A call with inputs and outputs bound beforehand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding, rng = session.io_binding(), np.random.default_rng(1)
    for value in session.get_inputs():
        x = rng.normal(0, 0.3, value.shape).astype(np.float32)
        binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(x))
    for value in session.get_outputs():
        binding.bind_output(value.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def lstm_contenders(steps: int) -> tuple[Contenders, int]:
    """All that can be called with `steps` steps, one sequence; and that number."""
    found = {
        f"{form}, {bits}-bit states": ours(form, bits, steps)
        for form in ("w1", "wT", "w2", "w4")
        for bits in (4, 8)
    }
    found["ORT LSTM float32"] = call(float_operator(steps))
    found["ORT DynamicQuantizeLSTM int8"] = call(int8_operator(steps))
    if steps == 1:
        found["ORT MatMulNBits 4 bits"] = call(n_bits_step(4))
        found["ORT MatMulNBits 2 bits"] = call(n_bits_step(2))
    return found, steps
