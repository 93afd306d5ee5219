# SPDX-License-Identifier: Apache-2.0
import io

from rich.console import Console

from qdeploy.build import Build
from qdeploy.cli.progress import show_result
from qdeploy.report import Report, closing_table


def lines(report: Report) -> list[str]:
    """The table in a terminal of 80 columns, blanks collapsed, frames left out."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(closing_table(report))
    printed = stream.getvalue().splitlines()
    assert max(map(len, printed)) <= 80
    return [" ".join(line.replace("│", " ").split()) for line in printed]


def test_full_table_has_one_line_per_number(full_report):
    printed = lines(full_report)
    assert len(printed) == 1 + 2 + 5 + 3 + 3 + 4 + 3  # title, frame, parts, lines between the parts
    for expected in (
        "digits-syq on PYNQ-Z2",
        "Float 99.4 % 358 of 360",
        "Trained, quantized 98.9 % 356 of 360 equal to integer",
        "Integer reference 98.9 % 356 of 360 the reference",
        "CPU 98.9 % 356 of 360 equal to integer",
        "RTL 98.9 % 356 of 360 equal to integer",
        "Weights, float32 39,488 B",
        "Weights, packed 2,512 B 15.7× smaller",
        "cpu.onnx, whole file 11,402 B",
        "Cycles/frame, measured 576 predicted 576 equal",
        "Latency, cycles 1,893 18.93 µs",
        "Frames per second 173,611 at 100 MHz slowest: conv2",
        "LUT 4,321 of 53,200 8.1 %",
        "FF 3,876 of 106,400 3.6 %",
        "BRAM36 2.5 of 140 1.8 %",
        "DSP 4 of 220 1.8 %",
    ):
        assert expected in printed


def test_difference_is_loud(full_report):
    different = full_report.versions[4].model_copy(update={"equal": False})
    speed = full_report.performance.model_copy(update={"measured_cycles": 577})
    report = full_report.model_copy(update={"versions": [different], "performance": speed})
    printed = lines(report)
    assert "RTL 98.9 % 356 of 360 DIFFERENT" in printed
    assert "Cycles/frame, measured 577 predicted 576 still filling" in printed


def test_lost_throughput_is_loud(full_report, tmp_path):
    reason = "conv2_fifo [2 words] is full"
    speed = full_report.performance.model_copy(update={"measured_cycles": 577, "slowed_by": reason})
    report = full_report.model_copy(update={"performance": speed})
    assert "Cycles/frame, measured 577 predicted 576 SLOWER" in lines(report)
    (tmp_path / "report.json").write_text(report.model_dump_json())
    stream = io.StringIO()
    show_result(Console(file=stream, width=80), Build(tmp_path, {}))
    assert f"slower than predicted: {reason}" in stream.getvalue().splitlines()


def test_no_labels(full_report):
    version = full_report.versions[3].model_copy(update={"correct": None})
    printed = lines(full_report.model_copy(update={"versions": [version]}))
    assert "CPU – no labels equal to integer" in printed


def test_nothing_measured(minimal_report):
    assert "nothing was measured" in lines(minimal_report)


def test_names_are_not_markup(full_report):
    name = "[b]fc[/b]"
    speed = full_report.performance.model_copy(update={"slowest": name})
    printed = "".join(lines(full_report.model_copy(update={"name": name, "performance": speed})))
    assert f"{name} on PYNQ-Z2" in printed
    assert f"slowest: {name}" in printed
