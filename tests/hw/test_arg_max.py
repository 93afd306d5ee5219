# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

INDEX_BITS = 6
VARIANTS = [
    Variant(
        "arg_max",
        {
            "CLASSES": classes,
            "PE": pe,
            "BITS": bits,
            "SIGNED": int(signed),
            "INDEX_BITS": INDEX_BITS,
        },
        (pe, bits),
        (1, INDEX_BITS),
        rate=(1, classes // pe),
    )
    for classes, pe, bits, signed in (
        (10, 1, 8, True),
        (10, 5, 3, True),  # many equal elements
        (12, 3, 2, False),
        (7, 7, 6, False),
        (2, 1, 1, True),
    )
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("arg_max"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_index_of_the_first_maximum(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    p = {name: int(value) for name, value in variant.parameters.items()}
    words = p["CLASSES"] // p["PE"]
    elements = random_elements(
        np.random.default_rng(7), 400 * words, *variant.inputs, signed=bool(p["SIGNED"])
    )
    expected = elements.reshape(400, p["CLASSES"]).argmax(axis=1)
    bench.check(variant, elements, expected[:, None], gaps)
