# SPDX-License-Identifier: Apache-2.0
"""Whole networks with random weights. Part of benchmarks/cpu.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdeploy.integer import Builder, Convolution, IntegerNetwork, Linear, Plane, Weights


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        name: of the row.
        network: of `qdeploy.networks`.
        weights: "binary", "ternary" or "2-bit".
        bits: of activations.
        granularity: of scales.
        floor: how many times faster than float32 and int8 it has to be at least, on AVX2.
    """

    name: str
    network: str
    weights: str
    bits: int
    granularity: str = "layer"
    floor: tuple[float, float] | None = None

    def make(self) -> IntegerNetwork:
        """With random weights."""
        from fpga_networks import RandomNetwork

        weights = "ternary" if self.weights == "2-bit" else self.weights
        network = RandomNetwork(self.network, weights, self.bits, self.granularity).make()
        return network if self.weights == weights else _with_two_bits(network)


CASES = (
    Case("cnv-w1a1", "cnv", "binary", 1, floor=(5.5, 3.0)),
    Case("cnv-w1a2", "cnv", "binary", 2, floor=(4.6, 2.5)),
    Case("cnv-wTa2", "cnv", "ternary", 2, floor=(3.5, 1.9)),
    Case("cnv-w2a2", "cnv", "2-bit", 2, floor=(3.0, 1.6)),
    Case("cnv-wTa2-pixel", "cnv", "ternary", 2, "pixel"),
    Case("tfc-w1a1", "tfc", "binary", 1),
    Case("lenet5-wTa2-pixel", "lenet5", "ternary", 2, "pixel"),
    Case("resnet20-wTa2-pixel", "resnet20", "ternary", 2, "pixel"),
)


def _with_two_bits(network: IntegerNetwork) -> IntegerNetwork:
    """The same network with random weights of two bits."""
    rng = np.random.default_rng(0)
    builder, x = Builder(), network.input_tensor
    builder.input(x.name, x.shape, x.range, x.meaning.scale[0])
    for node in network.nodes:
        if isinstance(node, (Convolution, Linear)):
            (plane,) = node.weights.planes
            codes = rng.integers(-2, 2, plane.codes.shape).astype(np.int8)
            node = replace(node, weights=Weights((Plane(codes, plane.multipliers),)))  # noqa: PLW2901
        builder.add(node, network.tensors[node.output].meaning)
    return builder.network(
        name=network.name,
        quantizer=network.quantizer,
        input_name=network.input_name,
        output_name=network.output_name,
    )
