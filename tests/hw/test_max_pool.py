# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

VARIANTS = [
    Variant(
        "max_pool",
        {"PE": pe, "BITS": bits, "SIGNED": int(signed), "KERNEL_WORDS": words},
        (pe, bits),
        (pe, bits),
        signed=signed,
        rate=(1, words),
    )
    for pe, bits, signed, words in (
        (3, 4, False, 4),
        (2, 5, True, 9),
        (1, 1, False, 2),
        (4, 3, True, 1),
    )
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("max_pool"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_maximum_of_every_window(bench: Bench, variant: Variant, gaps: tuple[float, float]) -> None:
    words = int(variant.parameters["KERNEL_WORDS"])
    elements = random_elements(
        np.random.default_rng(6), 200 * words, *variant.inputs, signed=variant.signed
    )
    windows = elements.reshape(200, words, -1)
    bench.check(variant, elements, windows.max(axis=1), gaps)
