# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

from qdeploy.fpga.memory import Memory
from qdeploy.fpga.threshold_memory import ThresholdMemory


@dataclass(frozen=True)
class Depthwise:
    """A depthwise unit, its weights [channels, pixels of a window] and thresholds."""

    variant: Variant
    weights: np.ndarray
    thresholds: np.ndarray | None


def depthwise(
    channels: int,
    pe: int,
    pixels: int,
    input_bits: int,
    weight_bits: int,
    *,
    signed: bool = False,
    bipolar: bool = False,
    steps: int = 0,
    lanes: int = 0,
    base: int = 0,
) -> Depthwise:
    generator = np.random.default_rng([channels, pixels, weight_bits])
    half = 1 << weight_bits - 1
    low, high = {1: (0, 1), 2: (-1, 1)}.get(weight_bits, (-half, half - 1))
    codes = generator.integers(low, high, (channels, pixels), endpoint=True)
    codes[0], codes[-1] = high, low  # reach the ends of the sum
    weights = 2 * codes - 1 if weight_bits == 1 else codes
    largest = 1 if bipolar else 1 << (input_bits - signed)
    reach = int(largest * np.abs(weights).sum(axis=1).max())
    sum_bits = (reach + 1).bit_length() + 1
    memories: dict[str, Memory | ThresholdMemory] = {}
    thresholds, lanes, output_bits = None, lanes or pe, sum_bits
    if steps:
        thresholds = np.sort(generator.integers(-reach, reach, (channels, steps)) // 2, axis=1)
        thresholds[0, 0], thresholds[-1, -1] = -reach, reach + 1  # always, never
        rows = thresholds + (1 << sum_bits - 1)
        memories["row"] = ThresholdMemory(rows, lanes, sum_bits)
        output_bits = max(end.bit_length() for end in (base, base + steps)) + (base < 0)
    codes_in_order = codes.reshape(channels // pe, pe, pixels).transpose(0, 2, 1).reshape(-1, pe)
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
            "SUM_BITS": sum_bits,
            "STEPS": steps,
            "LANES": lanes,
            "OUTPUT_BITS": output_bits,
            "BASE": base,
        },
        (pe, input_bits),
        (lanes, output_bits),
        signed=not steps or base < 0,
        memories={"weight": Memory(codes_in_order, weight_bits), **memories},
        open_ports=() if steps else ("row_enable", "row_address", "row_data"),
        rate=(channels // lanes, channels // pe * pixels),
    )
    return Depthwise(variant, weights, thresholds)


UNITS = [
    depthwise(6, 2, 9, 2, 2),
    depthwise(4, 4, 9, 4, 1),
    depthwise(3, 1, 5, 1, 1, bipolar=True),
    depthwise(8, 4, 4, 1, 2, bipolar=True),
    depthwise(2, 2, 25, 8, 4, signed=True),
    depthwise(5, 1, 1, 3, 2, signed=True),
    depthwise(6, 3, 9, 2, 2, steps=3, lanes=1),
    depthwise(8, 4, 3, 3, 1, steps=15, lanes=2, base=-8),
    depthwise(4, 4, 4, 1, 2, bipolar=True, steps=1, lanes=1),  # as many lanes as keep up
    depthwise(3, 3, 1, 4, 3, signed=True, steps=5),
]
SOURCES = [RTL / f"{name}.v" for name in ("parallel_to_serial", "row_output", "depthwise_unit")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("depthwise_unit")
    return build_bench(directory, [unit.variant for unit in UNITS], *SOURCES)


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
    if unit.thresholds is not None:
        count = (expected[:, :, np.newaxis] >= unit.thresholds).sum(axis=2)
        expected = count + int(unit.variant.parameters["BASE"])
    bench.check(unit.variant, elements, expected.reshape(-1, unit.variant.outputs[0]), gaps)
