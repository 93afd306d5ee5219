# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

from qdeploy.fpga.threshold_memory import ThresholdMemory


@dataclass(frozen=True)
class Quantizer:
    """Thresholds [channels, steps] of a `threshold` operator."""

    variant: Variant
    thresholds: np.ndarray
    base: int
    signed_input: bool


def quantizer(
    channels: int,
    pe: int,
    input_bits: int,
    steps: int,
    *,
    signed_input: bool,
    base: int = 0,
    alike: bool = False,
) -> Quantizer:
    generator = np.random.default_rng([channels, steps])
    low, high = (
        (-(1 << input_bits - 1), 1 << input_bits - 1) if signed_input else (0, 1 << input_bits)
    )
    thresholds = np.sort(generator.integers(low, high, (channels, steps), endpoint=True), axis=1)
    thresholds[0, 0] = low  # always reached
    thresholds[-1, -1] = high  # never reached
    if alike:
        thresholds[:] = thresholds[0]
    outputs = (base, base + steps)
    output_bits = max(value.bit_length() for value in outputs) + (min(outputs) < 0)
    variant = Variant(
        "threshold",
        {
            "CHANNELS": channels,
            "PE": pe,
            "INPUT_BITS": input_bits,
            "INPUT_SIGNED": int(signed_input),
            "STEPS": steps,
            "OUTPUT_BITS": output_bits,
            "BASE": base,
        },
        (pe, input_bits),
        (pe, output_bits),
        signed=min(outputs) < 0,
        memories={"row": ThresholdMemory(thresholds - low, pe, input_bits + 1)},
        rate=(channels // pe, channels // pe),
    )
    return Quantizer(variant, thresholds, base, signed_input)


QUANTIZERS = [
    quantizer(6, 2, 7, 3, signed_input=True),
    quantizer(4, 1, 5, 1, signed_input=False),
    quantizer(3, 3, 8, 15, signed_input=True, base=-8),
    quantizer(4, 4, 6, 2, signed_input=True, base=-1),  # ternary
    quantizer(8, 2, 9, 5, signed_input=False, base=3),
    quantizer(1, 1, 1, 1, signed_input=False, base=-1),
    quantizer(6, 2, 10, 255, signed_input=True),
    quantizer(9, 3, 6, 7, signed_input=True, alike=True),
]
SOURCES = [RTL / "row_output.v", RTL / "threshold.v"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(
        tmp_path_factory.mktemp("threshold"), [q.variant for q in QUANTIZERS], *SOURCES
    )


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda quantizer: str(quantizer.variant))
def test_counts_the_thresholds_reached(
    bench: Bench, quantizer: Quantizer, gaps: tuple[float, float]
) -> None:
    pixels = 300
    channels = len(quantizer.thresholds)
    pe, bits = quantizer.variant.inputs
    elements = random_elements(
        np.random.default_rng(5), pixels * channels // pe, pe, bits, signed=quantizer.signed_input
    )
    x = elements.reshape(pixels, channels, 1)
    expected = quantizer.base + (x >= quantizer.thresholds).sum(axis=2)
    bench.check(quantizer.variant, elements, expected.reshape(-1, pe), gaps)
