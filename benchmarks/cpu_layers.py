# SPDX-License-Identifier: Apache-2.0
"""Single layers of many widths and their rivals. Part of benchmarks/cpu.py."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from qdeploy.cpu import to_onnx, use_kernels
from qdeploy.cpu.measurement.sessions import call_of, session, session_options
from qdeploy.cpu.measurement.twins import float_twin, int8_twin
from qdeploy.integer import (
    Builder,
    Convolution,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    Plane,
    Threshold,
    ValueRange,
    Weights,
)

Contenders = dict[str, Callable[[], object]]
FULLY_CONNECTED = {
    f"fc-{size}-b{batch}": (size, batch) for size in (1024, 4096) for batch in (1, 16, 256)
}
CHAIN = {"conv-64-32x32": (64, 32), "conv-256-8x8": (256, 8)}  # 3x3, channels and size
LENGTH = 6  # layers of a chain
CALLS = 50
CODES = {"1": (-1, 1), "T": (-1, 0, 1), "2": (-2, -1, 0, 1), "4": tuple(range(-8, 8))}
CODES["8"] = tuple(range(-127, 128))
# Weights and bits of activations.
FORMS = ("1a1", "1a2", "1a4", "Ta2", "2a2", "2a4", "4a4", "8a8")
_NATIVE_2_BIT = (1, 27)  # ONNX Runtime's kernel; before, its table lookups have to be asked for


def matrix_contenders(size: int, batch: int) -> tuple[Contenders, int]:
    """A fully connected layer of `size` inputs and outputs, float32 in and out; one of them."""
    x = np.random.default_rng(0).random((batch, size), np.float32)
    found: Contenders = {}
    for form in FORMS:
        found[f"w{form}"] = _kernels(_fully_connected(size, form), x)
    network = _fully_connected(size, "8a8")
    for name, twin in (("ORT float32", float_twin(network)), ("ORT int8", int8_twin(network))):
        found[name] = _call(twin, x)
    for bits, block in ((4, 32), (4, 128), (2, 128)):
        found[f"ORT {bits} bit, blocks of {block}"] = _call(_n_bits(size, bits, block), x)
    return found, 1


def chain_contenders(channels: int, size: int) -> tuple[Contenders, int]:
    """Six equal convolutions with quantizers behind each other, and their number."""
    x = np.random.default_rng(0).random((1, channels, size, size), np.float32)
    found: Contenders = {}
    for form in FORMS:
        found[f"w{form}"] = _kernels(_chain(channels, size, form), x)
    network = _chain(channels, size, "1a2")
    for name, twin in (("ORT float32", float_twin(network)), ("ORT int8", int8_twin(network))):
        found[name] = _call(twin, x)
    try:
        found["OpenVINO binary"] = _open_vino(channels, size, x)
    except ImportError:
        print("OpenVINO is not installed: its binary convolution is left out")
    return found, LENGTH


def call_contenders() -> tuple[Contenders, int]:
    """A network of one weight, and a stock operator, each `CALLS` times behind itself; how often.

    The difference of the two is what a call of the custom operator costs more, its work included.
    """
    x = np.ones((1, 1), np.float32)
    model = to_onnx(_fully_connected(1, "1a1"))
    options = session_options(1)
    use_kernels(options, model.SerializeToString(), 1)
    (node,) = model.graph.node
    stock = onnx.ModelProto()
    stock.CopyFrom(model)
    del stock.functions[:], stock.graph.output[1:], stock.graph.initializer[:]
    for copied, name in ((model, "Network"), (stock, "Abs")):
        del copied.graph.node[:]
        for k in range(CALLS):
            call = copied.graph.node.add()
            call.CopyFrom(node)
            call.op_type, call.input[0] = name, f"y{k - 1}" if k else "x"
            call.output[0] = f"y{k}" if k < CALLS - 1 else "y"
            call.output[1] = f"integer{k}" if k < CALLS - 1 else "y_integer"
            if name == "Abs":
                call.domain = ""
                del call.attribute[:], call.input[1:], call.output[1:]
    ours = session(model.SerializeToString(), options)
    return {"ours": call_of(ours, x), "stock": _call(stock, x)}, CALLS


def _call(model: Any, x: Any) -> Callable[[], object]:
    options = session_options(1)
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < _NATIVE_2_BIT:
        options.add_session_config_entry("mlas.use_lut_gemm", "1")
    return call_of(session(model.SerializeToString(), options), x)


def _kernels(network: IntegerNetwork, x: Any) -> Callable[[], object]:
    content, options = to_onnx(network).SerializeToString(), session_options(1)
    use_kernels(options, content, 1)
    return call_of(session(content, options), x)


def _fully_connected(size: int, form: str) -> IntegerNetwork:
    builder, quantizer = _start((size,), int(form[2:]))
    weights = _weights((size, size), form[0])
    builder.add(Linear(name="fc", input="x", output="fc", weights=weights))
    return builder.network(name="fc", quantizer=quantizer, input_name="x", output_name="y")


def _chain(channels: int, size: int, form: str) -> IntegerNetwork:
    bits = int(form[2:])
    builder, quantizer = _start((channels, size, size), bits)
    name = "x"
    for k in range(LENGTH):
        weights = _weights((channels, channels, 3, 3), form[0])
        sums = builder.add(
            Convolution(
                name=f"conv{k}", input=name, output=f"conv{k}", weights=weights, pads=(1, 1, 1, 1)
            )
        )
        count, name = (1 << bits) - 1, f"act{k}"
        middle, step = (sums.range.low + sums.range.high) // 2, sums.range.high // 40 // count + 1
        row = middle + step * (np.arange(count) - count // 2)
        builder.add(
            Threshold(
                name=name,
                input=sums.name,
                output=name,
                thresholds=row + np.arange(channels)[:, np.newaxis] % 3,
                base=np.array([quantizer.low]),
                step=np.array([quantizer.step]),
            )
        )
    return builder.network(name="chain", quantizer=quantizer, input_name="x", output_name="y")


def _start(shape: tuple[int, ...], bits: int) -> tuple[Builder, InputQuantizer]:
    """With an input of unsigned levels of 0 to 1, or of signs."""
    count = (1 << bits) - 1
    boundaries = ((np.arange(count) + 0.5) / count).astype(np.float32)
    low, step = (-1, 2) if bits == 1 else (0, 1)
    builder = Builder()
    builder.input("x", shape, ValueRange(low, low + step * count), Fraction(1, count))
    return builder, InputQuantizer(boundaries, low, step)


def _weights(shape: tuple[int, ...], form: str) -> Weights:
    codes = np.random.default_rng(0).choice(CODES[form], shape).astype(np.int8)
    return Weights((Plane(codes, np.ones((1,) * len(shape), np.int64)),))


def _n_bits(size: int, bits: int, block: int) -> Any:
    """MatMulNBits with a float32 scale per block, computed in int8."""
    rng = np.random.default_rng(0)
    blocks = size // block
    packed = rng.integers(0, 256, (size, blocks, block * bits // 8), np.uint8)
    scales = rng.random(size * blocks, np.float32)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["y"],
        domain="com.microsoft",
        K=size,
        N=size,
        bits=bits,
        block_size=block,
        accuracy_level=4,
    )
    graph = helper.make_graph(
        [node],
        "n_bits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", size])],
        [numpy_helper.from_array(packed, "codes"), numpy_helper.from_array(scales, "scales")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _open_vino(channels: int, size: int, x: Any) -> Callable[[], object]:
    """A chain of OpenVINO's BinaryConvolution, each behind a FakeQuantize to one bit."""
    import openvino
    from openvino import opset1, opset8

    rng = np.random.default_rng(0)
    shape = (channels, channels, 3, 3)
    value = first = opset8.parameter(x.shape, np.float32)
    for k in range(LENGTH):
        low = np.full((1, channels, 1, 1), 0.5 if k == 0 else 4 * channels, np.float32)
        zero, one = np.float32(0), np.float32(1)
        value = opset8.fake_quantize(value, low, low, zero, one, 2)
        packed = rng.integers(0, 256, channels * channels * 9 // 8, np.uint8)
        weights = openvino.op.Constant(openvino.Tensor(packed, shape, openvino.Type.u1))
        value = opset1.binary_convolution(
            value, weights, [1, 1], [1, 1], [1, 1], [1, 1], "xnor-popcount", 0.0
        )
    model = openvino.Model([value], [first], "chain")
    configuration = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.compile_model(model, "CPU", configuration).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    return request.infer
