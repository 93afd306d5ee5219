# SPDX-License-Identifier: Apache-2.0
import re
from xml.etree import ElementTree

import pytest

from qdeploy.report import Activity, Amounts, Fifo, Layer, Report, Resources, Schedule
from qdeploy.report import hardware_plots as plots


def texts(svg: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def spans(svg: str, colour: str) -> list[tuple[float, float]]:
    """Left and right end of every shape of a colour."""
    found = []
    for path in re.findall(rf'<path d="([^"]*)"[^>]*fill: {re.escape(colour)}', svg):
        xs = [float(x) for x in re.findall(r"[ML] (\S+) ", path)]
        found.append((min(xs), max(xs)))
    return found


def report(luts: list[float], used: float, predicted: float = 0) -> Report:
    return Report(
        name="net",
        version="1",
        board="board",
        images=0,
        stages=[],
        versions=[],
        layers=[
            Layer(
                name=f"layer{i}",
                kind="Linear",
                shape=(1,),
                bits=1,
                low=0,
                high=1,
                macs=400 * (i + 1),
                pe=4,
                simd=2,
                cycles=100 * (i + 1),
                used=Amounts(lut=lut, ff=0, bram36=0, dsp=0),
            )
            for i, lut in enumerate(luts)
        ],
        resources=[
            Resources(name="LUT", used=used, predicted=predicted, finn=None, available=1000)
        ],
    )


def test_shares_add_up_to_what_the_design_takes():
    shares = plots.shares(report([100, 50, 0], 180))
    assert {layer: taken["LUT"] for layer, (_, taken) in shares.items()} == {
        "layer0": 10,
        "layer1": 5,
        "layer2": 0,
        "the rest": pytest.approx(3),
    }


def test_only_the_largest_layers_have_colours():
    luts = [float(i) for i in range(1, 21)]
    shares = plots.shares(report(luts, sum(luts)))
    assert list(shares) == [f"layer{i}" for i in range(12, 20)] + ["the rest"]
    assert len({colour for colour, _ in shares.values()}) == 9
    assert shares["the rest"][1]["LUT"] == pytest.approx(sum(luts[:12]) / 10)


def test_stacked_bars_are_as_long_as_their_shares_and_end_where_the_design_does():
    svg = plots.utilization(report([100, 50], 180, predicted=180))
    colours = [colour for colour, _ in plots.shares(report([100, 50], 180)).values()]
    first, second, rest = (spans(svg, colour)[0] for colour in colours)
    scale = (first[1] - first[0]) / 100
    assert (second[1] - second[0], rest[1] - rest[0]) == pytest.approx((50 * scale, 30 * scale))
    assert (second[0], rest[0]) == pytest.approx((first[1], second[1]))


def test_lanes_used_are_macs_of_what_the_lanes_can_do_in_the_interval():
    svg = plots.lane_use(report([1, 1], 2))  # 8 lanes, 200 cycles per frame; 400 and 800 MACs
    assert texts(svg) == ["layer0", "layer1", "25.0 % of 8", "50.0 % of 8"]
    used = [right - left for left, right in spans(svg, "var(--accent, #2563a8)")]
    assert used[1] == pytest.approx(2 * used[0], abs=1e-4)


def test_frames_follow_each_other_in_the_timeline():
    schedule = Schedule(
        interval=100,
        activities=[Activity(layer="a", first=0, last=80), Activity(layer="b", first=50, last=150)],
        fifos=[],
    )
    svg = plots.timeline(schedule)
    (a, b) = sorted(spans(svg, "var(--accent, #2563a8)"))
    cycle = (a[1] - a[0]) / 80
    assert b == pytest.approx((a[0] + 50 * cycle, a[0] + 150 * cycle), abs=1e-3)
    others = spans(svg, "var(--line, #c4cad1)")
    # The next frame of a starts at 100; the one before of b ends at 50.
    assert any(left == pytest.approx(a[0] + 100 * cycle, abs=1e-3) for left, _ in others)
    assert any(right == pytest.approx(a[0] + 50 * cycle, abs=1e-3) for _, right in others)


def test_many_frames_in_flight_are_few_shapes():
    schedule = Schedule(
        interval=1, activities=[Activity(layer="a", first=0, last=100_000)], fifos=[]
    )
    assert plots.timeline(schedule).count("<path") < 100


def test_fifos_tell_their_depth_and_peak():
    fifos = [
        Fifo(name="deep", bits=8, depth=1024, peak=700),
        Fifo(name="empty", bits=8, depth=4, peak=0),
    ]
    assert texts(plots.fifo_occupancy(fifos)) == ["deep", "empty", "700 of 1,024", "0 of 4"]
