# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements


@dataclass(frozen=True)
class Depthwise:
    """A depthwise unit and its weights [channels, pixels of a window]."""

    variant: Variant
    weights: np.ndarray


def depthwise(
    channels: int,
    pe: int,
    pixels: int,
    input_bits: int,
    weight_bits: int,
    *,
    signed: bool = False,
    bipolar: bool = False,
) -> Depthwise:
    generator = np.random.default_rng([channels, pixels, weight_bits])
    half = 1 << weight_bits - 1
    low, high = {1: (0, 1), 2: (-1, 1)}.get(weight_bits, (-half, half - 1))
    codes = generator.integers(low, high, (channels, pixels), endpoint=True)
    codes[0], codes[-1] = high, low  # reach the ends of the sum
    weights = 2 * codes - 1 if weight_bits == 1 else codes
    largest = 1 if bipolar else 1 << (input_bits - signed)
    output_bits = int(largest * np.abs(weights).sum(axis=1).max()).bit_length() + 1
    memory = codes.reshape(channels // pe, pe, pixels).transpose(0, 2, 1).reshape(-1, pe)
    variant = Variant(
        "depthwise_unit",
        {
            "CHANNELS": channels,
            "PE": pe,
            "KERNEL_WORDS": pixels,
            "INPUT_BITS": input_bits,
            "INPUT_SIGNED": int(signed),
            "BIPOLAR": int(bipolar),
            "WEIGHT_BITS": weight_bits,
            "OUTPUT_BITS": output_bits,
        },
        (pe, input_bits),
        (pe, output_bits),
        signed=True,
        memory=("weight", memory, weight_bits),
        rate=(channels // pe, channels // pe * pixels),
    )
    return Depthwise(variant, weights)


UNITS = [
    depthwise(6, 2, 9, 2, 2),
    depthwise(4, 4, 9, 4, 1),
    depthwise(3, 1, 5, 1, 1, bipolar=True),
    depthwise(8, 4, 4, 1, 2, bipolar=True),
    depthwise(2, 2, 25, 8, 4, signed=True),
    depthwise(5, 1, 1, 3, 2, signed=True),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("depthwise_unit"), [u.variant for u in UNITS])


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.variant))
def test_channels_have_weights_of_their_own(
    bench: Bench, unit: Depthwise, gaps: tuple[float, float]
) -> None:
    windows = 30
    channels, pixels = unit.weights.shape
    pe, bits = unit.variant.inputs
    signed = bool(unit.variant.parameters["INPUT_SIGNED"])
    elements = random_elements(
        np.random.default_rng(14), windows * channels // pe * pixels, pe, bits, signed=signed
    )
    x = 2 * elements - 1 if unit.variant.parameters["BIPOLAR"] else elements
    x = x.reshape(windows, channels // pe, pixels, pe).transpose(0, 1, 3, 2)
    expected = (x.reshape(windows, channels, pixels) * unit.weights).sum(axis=2)
    bench.check(unit.variant, elements, expected.reshape(-1, pe), gaps)
