# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, Bench, Variant, build_bench, random_elements

WIDTH = 6


def variant(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    fold: int = 1,
    *,
    depthwise: bool = False,
    whole_rows: bool = False,
) -> Variant:
    rows, columns = output_size(image, kernel, stride, dilation)
    inputs = image[0] * image[1] * fold
    pixels = kernel[1] if whole_rows else 1
    outputs = rows * columns * kernel[0] * kernel[1] * fold // pixels
    return Variant(
        "sliding_window",
        {
            "WIDTH": WIDTH,
            "FOLD": fold,
            "HEIGHT": image[0],
            "IMAGE_WIDTH": image[1],
            "KERNEL_HEIGHT": kernel[0],
            "KERNEL_WIDTH": kernel[1],
            "STRIDE_HEIGHT": stride[0],
            "STRIDE_WIDTH": stride[1],
            "DILATION_HEIGHT": dilation[0],
            "DILATION_WIDTH": dilation[1],
            "DEPTHWISE": int(depthwise),
            "WHOLE_ROWS": int(whole_rows),
        },
        (1, WIDTH),
        (pixels, WIDTH),
        rate=(outputs, max(inputs, outputs)),
    )


def output_size(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    rows, columns = (
        (image[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    )
    return rows, columns


VARIANTS = [
    variant((6, 5), (3, 3)),
    variant((8, 8), (2, 2), (2, 2), fold=2, depthwise=True),  # no slack: as many words out as in
    variant((9, 7), (3, 3), (2, 2), fold=3),  # a column and a row less than the image are used
    variant((8, 6), (3, 3), (2, 2), depthwise=True),
    variant((7, 6), (1, 1), (2, 2), fold=2),
    variant((9, 8), (3, 3), dilation=(2, 2)),
    variant((1, 12), (1, 3), (1, 2), fold=2),
    variant((4, 4), (4, 4), fold=2),  # the whole image is one window
    variant((6, 7), (3, 2), (1, 2), fold=3, depthwise=True),
    variant((3, 1), (1, 1)),
    variant((5, 9), (2, 2), (3, 3)),  # strides larger than the kernel
    variant((7, 8), (3, 3), whole_rows=True),
    variant((9, 12), (3, 4), (2, 1), (2, 2), whole_rows=True),
    variant((6, 9), (2, 3), (1, 3), whole_rows=True),  # no slack: as many words out as in
    variant((3, 4), (3, 4), whole_rows=True),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("sliding_window"), VARIANTS)


def windows(frames: np.ndarray, parameters: dict[str, int | str]) -> np.ndarray:
    """Words of all windows [words] of `frames` [frames, height, width, fold]."""
    p = {name: int(value) for name, value in parameters.items()}
    kernel = (p["KERNEL_HEIGHT"], p["KERNEL_WIDTH"])
    stride = (p["STRIDE_HEIGHT"], p["STRIDE_WIDTH"])
    dilation = (p["DILATION_HEIGHT"], p["DILATION_WIDTH"])
    rows, columns = output_size(frames.shape[1:3], kernel, stride, dilation)  # type: ignore[arg-type]
    out = []
    for frame in frames:
        for row in range(rows):
            for column in range(columns):
                top, left = row * stride[0], column * stride[1]
                window = frame[
                    top : top + dilation[0] * (kernel[0] - 1) + 1 : dilation[0],
                    left : left + dilation[1] * (kernel[1] - 1) + 1 : dilation[1],
                ]
                out.append(window.transpose(2, 0, 1) if p["DEPTHWISE"] else window)
    return np.concatenate([window.ravel() for window in out])


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_words_of_every_window_in_order(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    p = variant.parameters
    shape = (12, int(p["HEIGHT"]), int(p["IMAGE_WIDTH"]), int(p["FOLD"]))
    frames = random_elements(np.random.default_rng(1), int(np.prod(shape)), 1, WIDTH, signed=False)
    expected = windows(frames.reshape(shape), p)
    bench.check(variant, frames, expected.reshape(-1, variant.outputs[0]), gaps)
