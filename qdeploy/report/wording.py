# SPDX-License-Identifier: Apache-2.0
"""Numbers and sentences as people read them, the same on the page and in the terminal."""

from __future__ import annotations

from qdeploy.report.contents import Report, Version

VERSION_TITLES = {
    "float": "Float",
    "trained": "Trained, quantized",
    "integer": "Integer reference",
    "cpu": "CPU",
    "rtl": "RTL",
}


def number(value: float) -> str:
    """A count with thousands separators; a tenth is shown only of small broken numbers."""
    broken = value != int(value) and abs(value) < 1000
    return f"{value:,.1f}" if broken else f"{value:,.0f}"


def signed(value: int) -> str:
    """An integer with a typographic minus sign."""
    return number(value).replace("-", "−")


def percent(part: float, whole: float) -> str:
    """The share of `part` in `whole`; "–" of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def factor(before: float, after: float) -> str:
    """How many times smaller `after` is; "–" of nothing."""
    return f"{before / after:.1f}×" if after else "–"


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes and seconds."""
    if seconds < 119.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def shape(sizes: tuple[int, ...]) -> str:
    """The axes of a tensor, "16 × 8 × 8"."""
    return " × ".join(number(size) for size in sizes)


def span(low: int, high: int) -> str:
    """A range of integers, ends included."""
    return signed(low) if low == high else f"{signed(low)} … {signed(high)}"


def version_title(version: Version) -> str:
    """What people call a version of the network."""
    return VERSION_TITLES.get(version.name, version.name)


def result(report: Report) -> list[str]:
    """The outcome of a build as the parts of one sentence; what was not measured is left out."""
    return [
        part
        for part in (_accuracy(report), *_equality(report), _speed(report), _area(report))
        if part
    ]


def _accuracy(report: Report) -> str:
    labelled = {v.name: v.correct for v in report.versions if v.correct is not None}
    if not labelled or not report.images:
        return ""
    correct = labelled.get("integer", next(iter(labelled.values())))
    return f"{percent(correct, report.images)} on {number(report.images)} images"


def _equality(report: Report) -> list[str]:
    compared = [v for v in report.versions if v.name in {"cpu", "rtl"} and v.equal is not None]
    equal = [v.name.upper() for v in compared if v.equal]
    different = [v.name.upper() for v in compared if not v.equal]
    parts = [f"{' = '.join(['integer', *equal])} bit for bit"] if equal else []
    return parts + [f"{name} DIFFERS from the integer reference" for name in different]


def _speed(report: Report) -> str:
    if report.performance is None:
        return ""
    rate = number(round(report.performance.frames_per_second))
    where = f" on {report.board}" if report.board else ""
    return f"{rate} frames/s at {number(report.performance.clock_mhz)} MHz{where}"


def _area(report: Report) -> str:
    luts = next((part.used for part in report.resources if part.name.lower() == "lut"), None)
    return "" if luts is None else f"{number(luts)} LUT"
