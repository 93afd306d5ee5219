# SPDX-License-Identifier: Apache-2.0
"""Networks with layers that have no kernels: the others get them, and all integers are equal."""

import os
from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from exact_check import assert_exact, sessions
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from onnx import compose
from program_networks import MIDDLE, partial_network, program_networks
from program_runs import assert_part_exact
from random_networks import inputs
from sample_networks import small_cnn

from qdeploy import integer
from qdeploy.cpu import to_onnx, use_kernels
from qdeploy.cpu.description import read_parts
from qdeploy.cpu.kernel_choice import kernel_choice
from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.parts import split, why_no_kernel
from qdeploy.cpu.program.planning import NoKernel
from qdeploy.integer import IntegerNetwork

EXAMPLES = int(os.environ.get("QDEPLOY_EXAMPLES", "5"))
PROVIDERS = ["CPUExecutionProvider"]


def few(function):
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # shrinking would compile for minutes
        suppress_health_check=list(HealthCheck),
    )(function)


PARTIAL = program_networks((*MIDDLE, "wide", "wide", "wide"), 5)


@few
@given(network=PARTIAL, images=st.integers(1, 6))
def test_every_part_with_kernels(network: IntegerNetwork, images: int) -> None:
    x = inputs(network, images)
    expected = integer.run_codes(network, network.quantizer.quantize(x))
    for part in split(network):
        note(" -> ".join(f"{node.kind} {node.name}" for node in part.nodes))
        try:
            assert_part_exact(part, host_targets()[0], x, expected)
        except NoKernel:
            assert max(network.tensors[n.output].range.bits for n in part.nodes) >= 32


@few
@given(network=PARTIAL, images=st.integers(1, 6))
def test_both_forms(network: IntegerNetwork, images: int) -> None:
    assert_exact(network, inputs(network, images))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=PARTIAL)
def test_parts_are_runs(network: IntegerNetwork) -> None:
    """Every part is of one kind, reads what earlier ones gave, and the file tells the same ones."""
    parts = split(network)
    assert sorted(n.name for p in parts for n in p.nodes) == sorted(n.name for n in network.nodes)
    given_before = {network.input}
    for part in parts:
        kinds = {bool(why_no_kernel(node, network)) for node in part.nodes}
        assert len(kinds) <= 1
        assert set(part.inputs) <= given_before
        given_before |= set(part.outputs)
    read = read_parts(to_onnx(network))
    assert [[node.name for node in part.nodes] for part in read] == [
        [node.name for node in part.nodes] for part in parts
    ]
    assert [(p.inputs, p.outputs, p.begins) for p in read] == [
        (p.inputs, p.outputs, p.begins) for p in parts
    ]


BEFORE = """
<ir_version: 8, opset_import: ["" : 17]>
before (uint8[N, 3, 3, 3] bytes) => (float[N, 3, 6, 6] scaled)
<float[4] sizes = {1, 1, 2, 2}, float full = {255}>
{
    reals = Cast <to = 1> (bytes)
    resized = Resize <mode = "nearest"> (reals, , sizes)
    scaled = Div (resized, full)
}
"""
AFTER = """
<ir_version: 8, opset_import: ["" : 17]>
after (float[N, 10] scores) => (float[N, 10] probabilities)
{
    probabilities = Softmax <axis = 1> (scores)
}
"""


@pytest.mark.parametrize("prefix", ["", "net/"])
@pytest.mark.parametrize("network", [partial_network(), small_cnn(channels=(3, 4, 6), size=6)])
def test_operators_before_and_after(network: IntegerNetwork, prefix: str) -> None:
    before, after = (onnx.parser.parse_model(text) for text in (BEFORE, AFTER))
    packed = compose.add_prefix(to_onnx(network), prefix) if prefix else to_onnx(network)
    joined = compose.merge_models(before, packed, [("scaled", f"{prefix}image")])
    joined = compose.merge_models(joined, after, [(f"{prefix}logits", "scores")])
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 3, 3), np.uint8)
    scaled = x.repeat(2, axis=2).repeat(2, axis=3).astype(np.float32) / np.float32(255)
    expected = integer.run(network, scaled)
    scores = network.real_output(expected)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    content, options = joined.SerializeToString(), onnxruntime.SessionOptions()
    assert use_kernels(options, content, 1).startswith("generated")
    for chosen in (onnxruntime.SessionOptions(), options):
        session = onnxruntime.InferenceSession(content, chosen, providers=PROVIDERS)
        integers, probabilities = session.run(
            [f"{prefix}logits_integer", "probabilities"], {"bytes": x}
        )
        assert np.array_equal(integers, expected)
        assert np.allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_functions_of_the_output_stay_with_onnx_runtime(function: str) -> None:
    network = replace(small_cnn(), output_function=function)
    x = inputs(network, 6)
    fast, portable = sessions(network)
    assert fast.form.startswith("generated")
    assert ";" not in fast.form
    expected = integer.run(network, x)
    for session in (fast, portable):
        assert np.array_equal(session.run_integers(x), expected)
        assert np.allclose(session.run(x), network.real_output(expected), rtol=1e-6, atol=0)
    assert np.array_equal(fast.run(x), portable.run(x))


def test_what_runs_where() -> None:
    fast, _ = sessions(partial_network())
    reason = "its integers do not fit 32 bits"
    assert fast.form.endswith(f"kernels; no kernel for wide: {reason}")
    choice = kernel_choice(partial_network())
    assert choice.form == fast.form
    assert "products" in choice.layers["conv1"]
    assert "lookups" in choice.layers["conv2"]
    assert choice.layers["wide"] == f"ONNX Runtime, no kernel: {reason}"
