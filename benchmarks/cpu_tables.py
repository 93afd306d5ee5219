# SPDX-License-Identifier: Apache-2.0
"""The CPU part of docs/benchmarks.md. Part of benchmarks/tables.py."""

from __future__ import annotations

from typing import Any

Rows = dict[str, dict[str, dict[str, Any]]]  # by case and metric

_HEAD = """
## CPU

`python benchmarks/cpu.py --models models --json benchmarks/results/cpu.json`: {machine}; ONNX
Runtime {version}. One thread if nothing else is said, batch 1. No machine without AVX-512 was
measured.

The machine is shared with others (load {load:.1f} at the start, {load_after:.1f} at the end). So
all contenders run in one process, in turns of 10 ms; times on one thread are processor time of the
thread, in which other programs' turns do not count: the 10th percentile, and the median in
parentheses. Ratios are those of the 10th percentiles, and of the medians in parentheses. Other
programs still share caches, memory and clock.
"""

_NETWORKS = """
### Whole networks

float32 and int8 are ONNX Runtime's own, of the same shapes with random weights (Conv, Relu,
MaxPool, Gemm; int8 by QDQ per output channel, of which all layers became QLinearConv and QGemm).
The least ratios asked for are for machines with AVX2; here ONNX Runtime's int8 has AVX-512
VNNI, with two to three times the products of a cycle, its float32 AVX-512. So the rows with our
AVX2 kernels, too, are against these. Two threads: the shortest of all calls on the wall, and how
many times shorter than on one thread; where ONNX Runtime's float32 gains nothing either, two cores
were not free at once, and the column says nothing.

| network | us | x float32 | asked | x int8 | asked | two threads, us | x one thread |
|---|---|---|---|---|---|---|---|
"""

_LAYERS = """
### Layers of CNV

Microseconds of each step within the whole network, and in parentheses the share of the roofline:
the inner instructions of the kernel on registers alone, measured on the same core
({lookups:.0f} billion bytes looked up and added per second, {products:.0f} billion products of
bytes). A byte that is looked up stands for the products of six binary or three wider weights
(tables of 64), or four and two (tables of 16).

"""

_MATRICES = """
### Fully connected layers

float32 in and out, square, by batch; microseconds. w*X*a*Y*: generated kernels for weights of X
bits (T: ternary) and activations of Y bits. ORT is ONNX Runtime; 4 and 2 bit: MatMulNBits with
accuracy level 4, its 2-bit form {two_bit}.

"""

_CONVOLUTIONS = """
### Convolutions

3x3, padded, a sixth of six behind each other with their quantizers; microseconds. OpenVINO's
BinaryConvolution is w1a1 on activations 0 and 1.

"""

_LSTM = """
### LSTM

512 inputs and units, one sequence, int64 codes in and out; microseconds of a step in a call of one
step, and of one of 100. w2: two planes of one bit with scales per row.

"""

_CALLS = """
### Calls of the custom operator

A network of one weight takes {ours:.2f} us for each node within a session, its work included, a
stock operator (Abs) {stock:.2f} us: {more:.2f} us more, of at most 1 asked for.
"""

_FILES = """
### Files and loading

Bytes of the file, and how much more than codes, scales and thresholds hold. Loading: processor
time from the file to a session that can run, in a new process with its libraries imported, kernels
compiled or from the cache.

| network | file | over information | float32 | compiled, ms | cached, ms |
|---|---|---|---|---|---|
"""


def cpu_page(rows: Rows) -> str:
    """All tables; empty without results."""
    if not rows:
        return ""
    machine = rows["machine"]
    page = _HEAD.format(
        machine=machine["load"]["against"],
        version=machine["onnxruntime"]["against"],
        load=machine["load"]["value"],
        load_after=machine["load_after"]["value"],
    )
    page += _NETWORKS + "".join(
        _network(case, found) for case, found in rows.items() if "p10" in found
    )
    page += _not_reached(rows)
    page += _LAYERS.format(
        lookups=rows["roofline"]["lookups"]["value"],
        products=rows["roofline"]["products"]["value"],
    )
    page += _layers(rows)
    version = tuple(int(part) for part in machine["onnxruntime"]["against"].split(".")[:2])
    two_bit = "compiled in" if version >= (1, 27) else "by table lookups (mlas.use_lut_gemm)"
    page += _MATRICES.format(two_bit=two_bit) + _columns(rows, "fc-")
    page += _slower(rows, "fc-", "ORT int8")
    page += _CONVOLUTIONS + _columns(rows, "conv-") + _slower(rows, "conv-", "ORT int8")
    page += _LSTM + _columns(rows, "lstm-")
    page += _slower(rows, "lstm-", "ORT DynamicQuantizeLSTM int8")
    if "call" in rows:
        ours, stock = (rows["call"][name]["value"] for name in ("ours", "stock"))
        page += _CALLS.format(ours=ours, stock=stock, more=ours - stock)
    files = {case: found for case, found in rows.items() if "file_bytes" in found}
    return page + _FILES + "".join(_file(case, found) for case, found in files.items())


def _network(case: str, found: dict[str, dict[str, Any]]) -> str:
    cells = [case, _both(found["p10"]["value"], found["median"]["value"])]
    for kind in ("float32", "int8"):
        ratio = found.get(f"x_{kind}_p10")
        if ratio is None:
            cells += ["", ""]
            continue
        cells.append(_both(ratio["value"], found[f"x_{kind}_median"]["value"], ".2f"))
        cells.append(ratio["against"].removesuffix(" on AVX2"))
    one, two = (found.get(f"least_wall{suffix}") for suffix in ("", "_2_threads"))
    if one is not None and two is not None:
        cells += [_number(two["value"]), f"{one['value'] / two['value']:.2f}"]
    return _line(cells)


def _not_reached(rows: Rows) -> str:
    """Which of the ratios asked for are missed at the 10th percentile."""
    missed = [
        f"{case} x {kind}"
        for case, found in rows.items()
        for kind in ("float32", "int8")
        if (row := found.get(f"x_{kind}_p10")) and row["against"]
        if row["value"] < float(row["against"].split()[2])
    ]
    return f"\nNot reached: {'; '.join(missed) or 'none'}.\n"


def _slower(rows: Rows, prefix: str, rival: str) -> str:
    """Which generated kernels are slower than a rival at the 10th percentile."""
    slower = [
        f"{name} in {case}"
        for case, found in rows.items()
        if case.startswith(prefix)
        for name, row in found.items()
        if name.startswith("w") and row["value"] > found[rival]["value"]
    ]
    return f"\nSlower than {rival}: {'; '.join(slower) or 'none'}.\n"


def _layers(rows: Rows) -> str:
    by_layer: Rows = {}
    for case, found in rows.items():
        network, _, layer = case.partition("/")
        if layer:
            by_layer.setdefault(layer, {})[network] = found
    networks = list(dict.fromkeys(name for found in by_layer.values() for name in found))
    page = _line(["layer", *networks]) + _line(["---"] * (1 + len(networks)))
    for layer, cases in by_layer.items():
        cells = [layer]
        for name in networks:
            found = cases.get(name)
            if found is None:
                cells.append("")
                continue
            share = f" ({found['roofline']['value']:.0f} %)" if "roofline" in found else ""
            cells.append(f"{found['time']['value']:.1f}{share}")
        page += _line(cells)
    return page


def _columns(rows: Rows, prefix: str) -> str:
    """A column for each case, a row for each contender."""
    cases = {case: found for case, found in rows.items() if case.startswith(prefix)}
    names = list(dict.fromkeys(name for found in cases.values() for name in found))
    page = _line(["", *cases]) + _line(["---"] * (1 + len(cases)))
    for name in names:
        cells = [
            _both(found[name]["value"], float(found[name]["against"].split()[0]))
            if name in found
            else ""
            for found in cases.values()
        ]
        page += _line([name, *cells])
    return page


def _file(case: str, found: dict[str, dict[str, Any]]) -> str:
    times = [
        f"{found[metric]['value']:.0f}" if metric in found else "" for metric in ("compile", "load")
    ]
    over = f"{found['over_information']['value']:.1f} %"
    sizes = [f"{found[name]['value']:,}" for name in ("file_bytes", "float32_bytes")]
    return _line([case, sizes[0], over, sizes[1], *times])


def _both(first: float, second: float, form: str = "") -> str:
    """A percentile, and the median in parentheses."""
    return f"{_number(first, form)} ({_number(second, form)})"


def _number(value: float, form: str = "") -> str:
    return format(value, form or (",.0f" if value >= 100 else ".1f"))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
