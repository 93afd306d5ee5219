# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

INDEX_BITS = 5
VARIANTS = [
    Variant(
        "top_k",
        {
            "CLASSES": classes,
            "K": k,
            "BITS": bits,
            "SIGNED": int(signed),
            "INDEX_BITS": INDEX_BITS,
        },
        (1, bits),
        (k, INDEX_BITS),
        rate=(1, classes),
    )
    for classes, k, bits, signed in (
        (10, 5, 8, True),
        (12, 3, 2, False),  # many equal elements
        (4, 4, 3, True),
        (7, 1, 6, False),
    )
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("top_k"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_indices_of_the_largest(bench: Bench, variant: Variant, gaps: tuple[float, float]) -> None:
    p = {name: int(value) for name, value in variant.parameters.items()}
    elements = random_elements(
        np.random.default_rng(13), 200 * p["CLASSES"], *variant.inputs, signed=bool(p["SIGNED"])
    )
    vectors = elements.reshape(200, p["CLASSES"])
    expected = np.argsort(-vectors, axis=1, kind="stable")[:, : p["K"]]
    bench.check(variant, elements, expected, gaps)
