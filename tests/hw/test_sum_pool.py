# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

VARIANTS = [
    Variant(
        "sum_pool",
        {
            "PE": pe,
            "INPUT_BITS": bits,
            "INPUT_SIGNED": int(signed),
            "PIXELS": pixels,
            "FOLD": fold,
            "OUTPUT_BITS": bits + (pixels - 1).bit_length(),
        },
        (pe, bits),
        (pe, bits + (pixels - 1).bit_length()),
        signed=signed,
        rate=(fold, pixels * fold),
    )
    for pe, bits, signed, pixels, fold in (
        (3, 4, False, 4, 1),
        (2, 5, True, 9, 1),
        (1, 2, False, 6, 5),
        (2, 3, True, 49, 4),
        (4, 1, False, 1, 2),
    )
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("sum_pool"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_sum_of_pixels(bench: Bench, variant: Variant, gaps: tuple[float, float]) -> None:
    pixels, fold = (int(variant.parameters[name]) for name in ("PIXELS", "FOLD"))
    elements = random_elements(
        np.random.default_rng(11), 20 * pixels * fold, *variant.inputs, signed=variant.signed
    )
    sums = elements.reshape(20, pixels, fold, -1).sum(axis=1)
    bench.check(variant, elements, sums.reshape(20 * fold, -1), gaps)
