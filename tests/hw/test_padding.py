# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

WIDTH = 5
PAD_WORD = 19


def variant(image: tuple[int, int], border: tuple[int, int, int, int], fold: int = 1) -> Variant:
    top, left, bottom, right = border
    words = (top + image[0] + bottom) * (left + image[1] + right) * fold
    names = ("FOLD", "HEIGHT", "IMAGE_WIDTH", "TOP", "LEFT", "BOTTOM", "RIGHT")
    sizes = dict(zip(names, (fold, *image, *border), strict=True))
    return Variant(
        "padding",
        {"WIDTH": WIDTH, "PAD_WORD": PAD_WORD, **sizes},
        (1, WIDTH),
        (1, WIDTH),
        rate=(words, words),
    )


VARIANTS = [
    variant((4, 5), (1, 1, 1, 1)),
    variant((3, 2), (0, 1, 2, 0), fold=3),
    variant((1, 6), (0, 2, 0, 3)),
    variant((2, 2), (3, 0, 0, 0), fold=2),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("padding"), VARIANTS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_border_around_every_frame(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    p = {name: int(value) for name, value in variant.parameters.items()}
    shape = (12, p["HEIGHT"], p["IMAGE_WIDTH"], p["FOLD"])
    words = random_elements(np.random.default_rng(2), int(np.prod(shape)), 1, WIDTH, signed=False)
    border = ((0, 0), (p["TOP"], p["BOTTOM"]), (p["LEFT"], p["RIGHT"]), (0, 0))
    expected = np.pad(words.reshape(shape), border, constant_values=PAD_WORD)
    bench.check(variant, words, expected.reshape(-1, 1), gaps)
