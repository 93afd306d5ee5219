# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements


@dataclass(frozen=True)
class Layer:
    """A matrix-vector unit with random weights.

    Attributes:
        weights: codes [MH, MW].
        multipliers: one per group of input words, or none.
    """

    variant: Variant
    weights: np.ndarray
    multipliers: np.ndarray | None
    signed_input: bool

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """Rows of `vectors` [n, MW] times the scaled matrix: [n, MH]."""
        scale = np.ones(1, np.int64) if self.multipliers is None else self.multipliers
        columns = self.weights.shape[1]
        return vectors @ (self.weights * np.repeat(scale, columns // len(scale))).T


def layer(
    shape: tuple[int, int],
    simd: int,
    pe: int,
    weight_bits: int,
    input_bits: int,
    *,
    signed_input: bool = False,
    group_words: int = 0,
    multiplier_bits: int = 0,
) -> Layer:
    rows, columns = shape
    generator = np.random.default_rng([rows, columns, weight_bits])
    low, high = {1: (0, 1), 2: (-1, 1)}.get(
        weight_bits, (-(1 << weight_bits - 1), (1 << weight_bits - 1) - 1)
    )
    codes = generator.integers(low, high, shape, endpoint=True)
    codes[0] = high  # reach the ends of the accumulator
    codes[-1] = low
    words, folds = columns // simd, rows // pe
    memory = codes.reshape(folds, pe, words, simd).transpose(0, 2, 1, 3)
    multipliers = None
    parameters: dict[str, int | str] = {
        "MW": columns,
        "MH": rows,
        "SIMD": simd,
        "PE": pe,
        "INPUT_BITS": input_bits,
        "INPUT_SIGNED": int(signed_input),
        "WEIGHT_BITS": weight_bits,
    }
    if group_words:
        multipliers = generator.integers(1, 1 << multiplier_bits, words // group_words)
        multipliers[-1] = (1 << multiplier_bits) - 1
        packed = sum(int(m) << (multiplier_bits * g) for g, m in enumerate(multipliers))
        parameters |= {
            "SCALED": 1,
            "GROUP_WORDS": group_words,
            "MULTIPLIER_BITS": multiplier_bits,
            "MULTIPLIERS": f"{len(multipliers) * multiplier_bits}'h{packed:x}",
        }
    weights = 2 * codes - 1 if weight_bits == 1 else codes
    largest = 1 << (input_bits - 1) if signed_input else (1 << input_bits) - 1
    sums = largest * np.abs(weights).sum(axis=1).max()
    if multipliers is not None:
        sums *= multipliers.max()
    accumulator_bits = int(sums).bit_length() + 1
    parameters["ACCUMULATOR_BITS"] = accumulator_bits
    variant = Variant(
        "matrix_vector_unit",
        parameters,
        (simd, input_bits),
        (pe, accumulator_bits),
        signed=True,
        memory=("weight", memory.reshape(words * folds, pe * simd), weight_bits),
        rate=(folds, words * folds),
    )
    return Layer(variant, weights, multipliers, signed_input)


LAYERS = [
    layer((6, 12), simd=4, pe=2, weight_bits=1, input_bits=1),
    layer((8, 72), simd=8, pe=4, weight_bits=2, input_bits=2),
    layer((8, 72), simd=4, pe=2, weight_bits=2, input_bits=2, group_words=2, multiplier_bits=8),
    layer((4, 12), simd=3, pe=4, weight_bits=2, input_bits=4, signed_input=True),
    layer((8, 10), simd=10, pe=2, weight_bits=4, input_bits=4),
    layer((4, 9), simd=1, pe=4, weight_bits=1, input_bits=2, group_words=1, multiplier_bits=5),
    layer((2, 6), simd=2, pe=1, weight_bits=2, input_bits=3, group_words=3, multiplier_bits=4),
    layer((1, 1), simd=1, pe=1, weight_bits=2, input_bits=2),
    layer((3, 40), simd=20, pe=1, weight_bits=2, input_bits=8),
    layer((3, 6), simd=2, pe=3, weight_bits=3, input_bits=3, signed_input=True),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("matrix_vector_unit")
    return build_bench(directory, [layer.variant for layer in LAYERS])


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer.variant))
def test_product_with_the_scaled_matrix(
    bench: Bench, layer: Layer, gaps: tuple[float, float]
) -> None:
    p = layer.variant.parameters
    simd, bits = layer.variant.inputs
    vectors = 40
    elements = random_elements(
        np.random.default_rng(3),
        vectors * (int(p["MW"]) // simd),
        simd,
        bits,
        signed=layer.signed_input,
    )
    expected = layer.product(elements.reshape(vectors, -1))
    bench.check(layer.variant, elements, expected.reshape(-1, int(p["PE"])), gaps)


def test_next_vector_is_taken_while_one_is_computed(bench: Bench) -> None:
    """A slow but steady source costs nothing: the unit has room for a second vector."""
    chosen = LAYERS[1]
    folds, interval = chosen.variant.rate
    elements = random_elements(np.random.default_rng(4), 60 * interval // folds, 8, 2, signed=False)
    _, result = bench.run(chosen.variant, elements, 60 * folds, gaps=(1 - 1.3 / folds, 0.0))
    frames = np.diff(result.output_cycles[folds - 1 :: folds])
    assert frames[5:].mean() < 1.1 * interval
