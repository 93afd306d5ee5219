# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

ELEMENT_BITS = 3
VARIANTS = [
    Variant(
        "width_converter",
        {"IN_WIDTH": inputs * ELEMENT_BITS, "OUT_WIDTH": outputs * ELEMENT_BITS},
        (inputs, ELEMENT_BITS),
        (outputs, ELEMENT_BITS),
        rate=(max(inputs // outputs, 1), max(inputs, outputs) // min(inputs, outputs)),
    )
    for inputs, outputs in ((1, 2), (2, 10), (12, 4), (25, 1), (3, 3))
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("width_converter"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_elements_stay_in_order(bench: Bench, variant: Variant, gaps: tuple[float, float]) -> None:
    elements = random_elements(np.random.default_rng(0), 200, *variant.inputs, signed=False)
    bench.check(variant, elements, elements.reshape(-1, variant.outputs[0]), gaps)
