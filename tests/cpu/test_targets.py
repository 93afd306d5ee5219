# SPDX-License-Identifier: Apache-2.0
"""Kernels for processors other than this machine's, and which ones a machine runs."""

from fractions import Fraction
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from emulation import emulated
from random_networks import inputs, one_node_network, plane, threshold
from sample_networks import branching_network, small_cnn, small_mlp

from qdeploy import integer
from qdeploy.cpu.kernels.targets import (
    AVX2,
    AVX512,
    NEON32,
    NEON64,
    SSSE3,
    TARGETS,
    Target,
    host_targets,
)
from qdeploy.integer import (
    Builder,
    Convolution,
    InputQuantizer,
    IntegerNetwork,
    Quotient,
    Requantize,
    ValueRange,
    Weights,
)


def convolution(codes: str, high: int, pad_code: int, multipliers: str = "") -> IntegerNetwork:
    """One layer alone, on inputs 0..high."""
    rng = np.random.default_rng(3)
    kernels = plane(rng, (21, 8, 3, 3), codes, multipliers or "layer")
    if not multipliers:
        kernels.multipliers[:] = 1
    names = {"name": "conv", "input": "x", "output": "conv"}
    node = Convolution(
        weights=Weights((kernels,)),
        pads=(1, 2, 0, 1),
        strides=(1, 2),
        pad_code=pad_code,
        **names,
    )
    return one_node_network(node, (8, 7, 6), ValueRange(0, high))


def many_codes() -> IntegerNetwork:
    """Quotients with numerators of 50 bits, then thresholds of 300 levels."""
    rng, builder = np.random.default_rng(5), Builder()
    x = builder.input("x", (5, 3, 4), ValueRange(-500, 499), Fraction(1))
    p, q, d = (rng.integers(1, most, 5) for most in (1 << 40, 1 << 48, 1 << 39))
    limits = np.full(1, -2000), np.full(1, 3000)
    quotient = Quotient(p * [1, -1, 1, 1, -1], q, d, *limits, "HALF_EVEN")
    x = builder.add(Requantize(name="q", input=x.name, output="q", quotient=quotient))
    builder.add(threshold(rng, "levels", x, 300, 5, 1))
    return builder.network(
        name="codes",
        quantizer=InputQuantizer(np.arange(999, dtype=np.float32), -500),
        input_name="image",
        output_name="y",
    )


NETWORKS = {
    "1-bit lookups": small_cnn(0, "binary", "layer", 1, (3, 20, 33)),
    "2-bit lookups, wide sums": small_cnn(1, "ternary", "pixel", 2, (1, 16, 24)),
    "groups of two bytes": small_cnn(2, "binary", "layer", 4, (1, 8, 70)),
    "4-bit lookups": small_cnn(3, "ternary", "row", 4, (2, 8, 12)),
    "byte of its own for padding": convolution("ternary", 3, -1),
    "padding in a finer lattice": convolution("binary", 1, 3),
    "products": convolution("int4", 255, 7),
    "products of bytes, wide sums": convolution("int8", 255, 0, "kernel"),
    "fully connected": small_mlp(4, "ternary", 1, (40, 70, 33, 5)),
    "branches": branching_network(),
    "products of 32 bits": convolution("int4", 999, 7),
    "many codes": many_codes(),
}


@pytest.mark.parametrize("target", [NEON64, NEON32], ids=lambda target: target.architecture)
@pytest.mark.parametrize("name", NETWORKS)
def test_arm(name: str, target: Target, tmp_path: Path) -> None:
    network = NETWORKS[name]
    x = inputs(network, 3)
    expected = integer.run(network, x)
    reals, integers = emulated(network, target, x, tmp_path)
    assert np.array_equal(integers, expected)
    assert np.array_equal(reals, network.real_output(expected))


@pytest.mark.parametrize(
    ("triple", "missing", "expected"),
    [
        ("x86_64-unknown-linux-gnu", [], [AVX512, AVX2, SSSE3]),
        ("x86_64-unknown-linux-gnu", ["avx512vbmi"], [AVX2, SSSE3]),
        ("x86_64-unknown-linux-gnu", ["avx512vnni", "fma"], [SSSE3]),
        ("x86_64-unknown-linux-gnu", ["avx512f", "avx", "avx2"], [SSSE3]),
        ("x86_64-unknown-linux-gnu", ["ssse3"], []),
        ("aarch64-unknown-linux-gnu", [], [NEON64]),
        ("armv7l-unknown-linux-gnueabihf", [], [NEON32]),
        ("armv7l-unknown-linux-gnueabihf", ["neon"], []),
        ("x86_64-apple-darwin", [], []),
        ("riscv64-unknown-linux-gnu", [], []),
    ],
)
def test_host_targets(
    triple: str, missing: list[str], expected: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    features = {name: name not in missing for target in TARGETS for name in target.needs}
    monkeypatch.setattr(llvm, "get_process_triple", lambda: triple)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: features)
    assert host_targets() == tuple(expected)


def test_needs_are_known_to_llvm() -> None:
    host = llvm.get_host_cpu_features()
    architecture = llvm.get_process_triple().split("-")[0]
    for target in TARGETS:
        if target.architecture == architecture:
            assert set(target.needs) <= set(host)
