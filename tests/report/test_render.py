# SPDX-License-Identifier: Apache-2.0
"""The page is parsed as a browser would: nothing outside it, everything of the report in it."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from qdeploy.report import Implementation, Report
from qdeploy.report.render import render

VOID = {"meta", "link", "img", "br", "hr", "input"}
SECTIONS = [
    "Pipeline",
    "Accuracy and size",
    "Comparisons",
    "Performance",
    "Resources",
    "Network",
    "Layers",
    "Weights and scales",
    "Hardware",
    "Schedule",
    "Notes",
]


class Page(HTMLParser):
    """Text, tags, attributes and ids of a page; checks that every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def test_the_sentence_under_the_title_is_the_whole_result(full_page):
    assert (
        "98.9 % on 360 images, integer = CPU = RTL bit for bit, "
        "173,611 frames/s at 100 MHz on PYNQ-Z2, 4,321 LUT" in Page(full_page).text
    )


def test_sections_are_there_in_order(full_page, minimal_report):
    assert Page(full_page).headings == SECTIONS
    assert Page(render(minimal_report)).headings == SECTIONS


def test_page_refers_to_nothing_outside_itself(full_page):
    page = Page(full_page)
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "image"})
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for attribute in ("href", "xlink:href"):
        assert all(value.removeprefix("#") in ids for value in page.values(attribute))
    assert set(re.findall(r"url\(#(.*?)\)", full_page)) <= set(ids)
    assert not re.search(r"url\((?!#)|@import|https?:|//cdn", full_page)
    assert page.values("src") == []


def test_page_holds_every_name_and_number(full_report, full_page):
    text = Page(full_page).text
    for layer in full_report.layers:
        assert layer.name in text
        assert layer.kind in text
        for integer in (layer.low, layer.high, layer.codes, *layer.code_counts.values()):
            assert f"{integer:,}".replace("-", "−") in text
        for multiplier in (value for row in layer.multipliers for value in row):
            assert f" {multiplier} " in text
    for stage in full_report.stages:
        assert f"{stage.name} " in text
        assert stage.summary in text
    for expected in (
        *(
            "1 × 8 × 8 · 4 bit · 0 … 15",
            "16 × 8 × 8 · 14 bit · −7,305 … 7,140",
            "512 · 2 bit · 0 … 3",
        ),
        *("41.3 s", "2 min 8 s", "reused"),
        *("Float 99.4 % 358 of 360 –", "RTL 98.9 % 356 of 360 ✓ yes"),
        *("39,488", "2,512 15.7×", "11,402 3.5×"),
        *("1,893 cycles", "18.93 µs", "173,611 frames/s"),
        *(
            "LUT 4,321 53,200 8.1 % 4,290 5,210",
            "FF 3,876 106,400 3.6 % 3,900 –",
            "BRAM36 2.5 140 1.8 % 2.5 3",
        ),
        "conv2 Convolution 32 × 8 × 8 17 −40,128 … 41,295 −9,120 … 8,733 ternary, 3 × 3",
        "ternary, 3 × 3 multipliers of 8 bits 294,912",
        "conv1 16 1 16 LUTs DSP slices post 576 100.0 % 100.0 % 611.5 100 0 0 –",
        "conv2 16 32 512 block RAM LUTs post 576 100.0 % 100.0 % 2,148 2,207 1.5 4 2,201",
        "pool – – – – – – 64 11.1 % – 187",
        "fc 2 8 16 logic LUTs – 320 55.6 % 55.6 % 341",
        "conv2 post ✓ chosen 16 32 576 1,833 1,901 3.5 16",
        "16 recode 0 32 576 7,406 6,113 15 0",
        "536.9 of 544, 98.7 %",
        "one every 576 cycles",
        "2 of 3 FIFOs, the deepest",
        *full_report.notes,
        "qdeploy 0.1.0",
    ):
        assert expected in text


def test_pictures_speak_to_screen_readers(full_page):
    labels = Page(full_page).values("aria-label")
    assert "Weight codes of conv2: −1: 1,711, 0: 1,102, 1: 1,795" in labels
    assert ("Multipliers of conv1, row by row: 71 122 64; 103 187 98; 59 131 77") in labels
    assert (
        "LUT per layer: conv1 611.5, act1 214, conv2 2,148, act2 402, pool 187, fc 341"
    ) in labels
    assert "8.1 % of the board’s LUT" in labels
    assert ("Lanes used: conv1 100.0 % of 16, conv2 100.0 % of 512, fc 55.6 % of 16") in labels
    assert (
        "Cycles in which a layer works on a frame: "
        "conv1 27 to 601, conv2 180 to 790, pool 310 to 801, fc 860 to 1,180"
    ) in labels
    assert "Words in FIFOs, most ever: conv1_padding_fifo 11 of 18, fc_fifo 497 of 512" in labels
    shares = next(label for label in labels if label.startswith("Shares of the board"))
    assert "LUT 8.1 %: conv1 1.1 %, act1 0.4 %, conv2 4.0 %, act2 0.8 %, pool 0.4 %" in shares
    assert "the rest 0.8 %; FF 3.6 %" in shares


def test_back_ends_fork_after_the_model(full_page):
    rows = re.findall(r"<h3>(.*?)</h3>(.*?)</ol>", full_page, re.DOTALL)
    stages = {row: re.findall(r"<strong>(.*?)</strong>", body) for row, body in rows}
    assert stages == {
        "Model": ["train", "export", "lower"],
        "CPU": ["pack"],
        "FPGA": ["map", "fold", "generate", "simulate", "estimate"],
    }


def test_same_report_gives_the_same_bytes(full_report, full_page):
    command = (
        "import sys; from qdeploy.report import Report; from qdeploy.report.render import render;"
        "sys.stdout.buffer.write(render(Report.model_validate_json(sys.stdin.read())).encode())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", command],
        input=full_report.model_dump_json().encode(),
        capture_output=True,
        check=True,
    )
    assert elsewhere.stderr == b""
    assert elsewhere.stdout == full_page.encode()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{$", "a\"b'c&d", "层.<b>"])
def test_hostile_names_stay_text(full_report, full_page, name, recwarn):
    layers = [
        layer.model_copy(update={"name": f"{name}{layer.name}"}) for layer in full_report.layers
    ]
    layers[0] = layers[0].model_copy(update={"weights": name, "kind": name, "scale_form": name})
    stage = full_report.stages[0].model_copy(update={"name": name, "summary": name})
    version = full_report.versions[0].model_copy(update={"name": name, "what": name})
    hostile = full_report.model_copy(
        update={
            "name": name,
            "version": name,
            "board": name,
            "layers": layers,
            "stages": [stage],
            "versions": [version],
            "notes": [name],
            "performance": full_report.performance.model_copy(update={"slowest": name}),
        }
    )
    source = render(hostile)
    page = Page(source)
    assert page.tags == Page(full_page).tags
    assert page.text.count(" ".join(name.split())) > 20
    assert any(f"{name}conv1" in label for label in page.values("aria-label"))
    assert not recwarn.list


def test_missing_parts_say_why(minimal_report):
    text = Page(render(minimal_report)).text
    assert "Nothing was measured in this build." in text
    assert "No stages were recorded." in text
    assert "No version of the network was run on data." in text
    assert "no board was asked for" in text
    assert "The network was not lowered" in text


def without_fpga(report: Report) -> Report:
    nothing = dict.fromkeys(
        ("scale_form", "pe", "simd", "cycles", "used", "predicted", "weight_memory", "products")
    ) | {"scale_forms": []}
    return report.model_copy(
        update={
            "board": None,
            "performance": None,
            "resources": [],
            "schedule": None,
            "layers": [layer.model_copy(update=nothing) for layer in report.layers],
            "versions": report.versions[:4],
            "stages": report.stages[:4],
        }
    )


def test_cpu_build_has_no_hardware_columns(full_report):
    page = Page(render(without_fpga(full_report)))
    assert "98.9 % on 360 images, integer = CPU bit for bit Pipeline" in page.text
    assert "SIMD" not in page.text
    assert page.text.count("no board was asked for") == 4
    assert "1,711" in page.text


def test_design_that_was_not_simulated(full_report):
    report = full_report.model_copy(update={"performance": None})
    assert "The design was not simulated" in Page(render(report)).text


def test_data_without_labels(full_report):
    versions = [v.model_copy(update={"correct": None}) for v in full_report.versions]
    text = Page(render(full_report.model_copy(update={"versions": versions}))).text
    assert "no labels" in text
    assert "RTL – – ✓ yes" in text
    assert "% on 360" not in text.split("Pipeline")[0]


def test_difference_and_overflow_are_not_hidden(full_report):
    versions = [
        *full_report.versions[:4],
        full_report.versions[4].model_copy(update={"equal": False}),
    ]
    lut = full_report.resources[0].model_copy(update={"used": 61234})
    report = full_report.model_copy(update={"versions": versions, "resources": [lut]})
    text = Page(render(report)).text
    assert "integer = CPU bit for bit, RTL DIFFERS from the integer reference" in text
    assert "✗ no" in text
    assert "115.1 % 4,290 5,210 does not fit" in text


def test_prediction_that_was_missed_is_stated(full_report):
    speed = full_report.performance.model_copy(update={"measured_cycles": 604.5})
    text = Page(render(full_report.model_copy(update={"performance": speed}))).text
    assert "604.5 cycles" in text
    assert "is 104.9 % of the predicted one" in text
    assert "the pipeline was still filling" in text
    slow = speed.model_copy(update={"slowed_by": "pool works 604.5 cycles per frame"})
    text = Page(render(full_report.model_copy(update={"performance": slow}))).text
    assert "It took longer than predicted: pool works 604.5 cycles per frame." in text
    assert "still filling" not in text


def test_peaks_of_deep_fifos_stand_in_a_table(full_page):
    text = Page(full_page).text
    assert "FIFO Bits Depth Schedule Full speed With pauses" in text
    assert "conv1_padding_fifo 4 18 11 10 13 fc_fifo 2 512 497 – –" in text


def test_large_multiplier_matrices_are_told_not_drawn(full_report):
    layer = full_report.layers[0].model_copy(update={"multipliers": [[1, 77]] * 600})
    source = render(full_report.model_copy(update={"layers": [layer]}))
    assert "multipliers 1 … 77" in Page(source).text
    assert "Multipliers of conv1" not in source


def test_report_survives_json(full_report):
    assert Report.model_validate_json(full_report.model_dump_json()) == full_report


def test_data_and_table_need_no_page_tools():
    command = (
        "import sys; import qdeploy.report; "
        "sys.exit(bool({'matplotlib', 'jinja2', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_fifos_of_two_words_are_counted_not_drawn(full_report):
    schedule = full_report.schedule.model_copy(update={"fifos": full_report.schedule.fifos[1:2]})
    source = render(full_report.model_copy(update={"schedule": schedule}))
    assert "All 1 FIFOs hold two words" in Page(source).text
    assert "Words in FIFOs" not in source


def test_bitstream_is_shown_beside_the_estimates(full_report: Report, full_page: str) -> None:
    assert "Synthesized" not in full_page
    made = Implementation(
        vivado="2024.1",
        clock_mhz=100,
        slack_ns=1.234,
        reachable_mhz=114.1,
        worst="conv2",
        watts=1.6,
    )
    counts = {"synthesized": 4444, "routed": 4333, "whole": 7777}
    report = full_report.model_copy(
        update={
            "implementation": made,
            "resources": [part.model_copy(update=counts) for part in full_report.resources],
        }
    )
    page = render(report)
    for words in ("Synthesized", "Routed", "4,444", "4,333", "7,777", "Vivado 2024.1", "114.1 MHz"):
        assert words in page
    assert "the slowest path is in conv2" in page
