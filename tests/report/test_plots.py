# SPDX-License-Identifier: Apache-2.0
import re
from xml.etree import ElementTree

import pytest

from qdeploy.report import Layer, plots


def layer(**parts) -> Layer:
    return Layer(name="conv", kind="Convolution", shape=(1,), bits=8, low=0, high=1, **parts)


def texts(svg: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def test_few_codes_get_counts_and_shares():
    svg = plots.code_histogram(layer(code_counts={1: 3000, -1: 1000}))
    assert texts(svg)[:2] == ["−1", "1"]
    assert {"1,000", "25.0 %", "3,000", "75.0 %"} <= set(texts(svg))


def test_many_codes_are_one_shape_with_an_axis():
    svg = plots.code_histogram(layer(code_counts={c: 1200 for c in range(-128, 128) if c % 2}))
    assert svg.count("var(--accent") == 1
    assert "1,000" in texts(svg)


@pytest.mark.parametrize("matrix", [[[7]], [[1, 2, 3]], [[1], [2]], [[5, 5], [5, 5]], [[0, -3]]])
def test_small_matrices_show_their_numbers(matrix):
    shown = texts(plots.multiplier_map(layer(multipliers=matrix)))
    assert shown == [str(value).replace("-", "−") for row in matrix for value in row]


def test_numbers_contrast_with_their_cells():
    svg = plots.multiplier_map(layer(multipliers=[[10, 11, 250, 255]]))
    white = re.findall(r"<text [^>]*fill: #ffffff[^>]*>(\d+)<", svg)
    assert white == ["250", "255"]
    assert texts(svg) == ["10", "11", "250", "255"]


def test_large_matrices_have_no_numbers():
    svg = plots.multiplier_map(layer(multipliers=[[r * c for c in range(14)] for r in range(4)]))
    assert texts(svg) == []
    assert svg.count("<path") > 56


def test_bars_are_as_long_as_their_values():
    svg = plots.layer_bars({"first": 100, "second": 25.5, "none": 0}, "LUT")
    assert texts(svg) == ["first", "second", "none", "100", "25.5", "0"]
    paths = re.findall(r'<path d="([^"]*)"[^>]*var\(--accent', svg)
    spans = []
    for path in paths:
        xs = [float(x) for x in re.findall(r"[ML] (\S+) ", path)]
        spans.append(max(xs) - min(xs))
    assert spans[1] / spans[0] == pytest.approx(0.255, rel=1e-3)
    assert spans[2] == 0


def test_long_names_leave_room_for_the_bars():
    name = "features.stage3.block12.downsample_projection"
    svg = plots.layer_bars({name: 1}, "LUT")
    assert texts(svg)[0] == "…downsample_projection"
    assert name in ElementTree.fromstring(svg).get("aria-label")


def test_all_zero_bars():
    assert texts(plots.layer_bars({"a": 0, "b": 0}, "LUT")) == ["a", "b", "0", "0"]
