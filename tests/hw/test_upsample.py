# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

WIDTH = 7
VARIANTS = [
    Variant(
        "upsample",
        {"WIDTH": WIDTH, "FOLD": fold, "IMAGE_WIDTH": width, "ROWS": rows, "COLUMNS": columns},
        (1, WIDTH),
        (1, WIDTH),
        rate=(rows * width * columns * fold, rows * width * columns * fold),
    )
    for fold, width, rows, columns in ((1, 4, 2, 2), (3, 5, 2, 3), (2, 1, 1, 4), (1, 1, 3, 1))
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("upsample"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_rows_and_pixels_repeated(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    p = {name: int(value) for name, value in variant.parameters.items()}
    shape = (20, p["IMAGE_WIDTH"], p["FOLD"])
    words = random_elements(np.random.default_rng(12), int(np.prod(shape)), 1, WIDTH, signed=False)
    expected = words.reshape(shape).repeat(p["ROWS"], axis=0).repeat(p["COLUMNS"], axis=1)
    bench.check(variant, words, expected.reshape(-1, 1), gaps)
