# SPDX-License-Identifier: Apache-2.0
"""qdeploy bench."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdeploy.board import open_package
from qdeploy.build import SUFFIX, open_build, package_of
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from qdeploy.cpu.measurement import Measurement


def bench(
    model: Annotated[Path, typer.Argument(help="Build folder, package (.qdp) or cpu.onnx.")],
    device: Annotated[str, typer.Option(help="cpu or board.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of every form.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a network here: on the cpu next to ONNX Runtime's float32 and int8, or on a board."""
    if device == "board":
        _bench_board(model, as_json)
        return
    if device != "cpu":
        raise UserError(
            f"device '{device}' cannot be measured",
            remedy="use --device cpu or board; 'qdeploy report' has the cycles of an accelerator",
        )
    from qdeploy.cpu.measurement import measure

    with tempfile.TemporaryDirectory() as folder:
        path = model
        if model.is_dir():
            path = open_build(model).file("pack", "cpu.onnx")
        elif model.suffix == SUFFIX:
            path = open_package(model).extract(Path(folder), ["cpu.onnx"]) / "cpu.onnx"
        found = measure(path, threads)
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"{found.network}: {found.form}, threads: {found.threads}, batch 1, "
        f"{found.macs / 1e6:,.1f} million multiplications",
        markup=False,
    )
    console.print(
        f"{found.processor}, load {found.load:.1f}; ONNX Runtime {found.onnxruntime}", markup=False
    )
    console.print(_latencies(found))
    if found.in_float:
        console.print(f"int8 left in float32: {', '.join(found.in_float)}", markup=False)
    if found.loading is not None:
        loading = found.loading
        console.print(
            f"load: {loading.compiled:,.0f} ms with compilation, {loading.cached:,.0f} ms from the "
            f"cache; first call {1e3 * loading.first_call:,.0f} us"
        )
    size, information = found.latencies[0].bytes, found.information_bytes
    console.print(
        f"file: {size:,} bytes; codes, scales and thresholds hold {information:,.0f}", markup=False
    )
    if found.layers:
        console.print(_layers(found))


def _bench_board(model: Path, as_json: bool) -> None:
    from qdeploy.board.bench import describe, measure

    found = measure(package_of(model), "board")
    print(json.dumps(asdict(found), indent=2) if as_json else describe(found))


def _latencies(found: Measurement) -> Table:
    _, int8, float32 = found.latencies
    table = _table("us", "p10", "p50", "p90", "p99", "CPU", "images/s", "GMAC/s")
    for title in ("x int8", "x float32"):
        table.add_column(title, justify="right")
    for row in found.latencies:
        times = (row.p10, row.p50, row.p90, row.p99, row.processor)
        table.add_row(
            row.name,
            *(f"{time:,.1f}" for time in times),
            f"{row.images_per_second:,.0f}",
            f"{row.gmacs:,.1f}",
            *(f"{other.processor / row.processor:.2f}" for other in (int8, float32)),
        )
    return table


def _layers(found: Measurement) -> Table:
    table = _table("layer", "us", "share", "GMAC/s", "of roofline")
    table.add_column("kernel", overflow="fold")
    total = sum(layer.microseconds for layer in found.layers)
    for layer in found.layers:
        table.add_row(
            layer.name,
            f"{layer.microseconds:,.1f}",
            f"{layer.microseconds / total:.0%}",
            f"{layer.macs / layer.microseconds / 1e3:,.0f}" if layer.macs else "",
            "" if layer.roofline is None else f"{layer.roofline:.0%}",
            layer.kernel,
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right")
    return table
