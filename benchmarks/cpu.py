# SPDX-License-Identifier: Apache-2.0
"""Packed models on this machine's CPU, next to ONNX Runtime's own kernels and to others.

    python benchmarks/cpu.py --models models --json benchmarks/results/cpu.json

All contenders of a table run in one process, in turns of 10 ms. Times on one thread are those of
the thread (what other programs take does not count), on two those of the wall. Weights are random;
packed models are kept in the folder of --models, so that a second run, perhaps with another ONNX
Runtime, needs no PyTorch. OpenVINO is measured too where it is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import llvmlite.binding as llvm
import numpy as np
import onnx
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cpu_layers import CHAIN, FULLY_CONNECTED, call_contenders, chain_contenders, matrix_contenders  # noqa: E402
from cpu_lstm import STEPS, lstm_contenders  # noqa: E402
from cpu_networks import CASES, Case  # noqa: E402
from rows import Row, write  # noqa: E402

from qdeploy.cpu import NoFastForm, information_bits, pack, use_kernels  # noqa: E402
from qdeploy.cpu.description import read_network  # noqa: E402
from qdeploy.cpu.kernels.targets import AVX2, Target, host_targets  # noqa: E402
from qdeploy.cpu.measurement.measure import macs, processor  # noqa: E402
from qdeploy.cpu.measurement.roofline import roofline  # noqa: E402
from qdeploy.cpu.measurement.sessions import (  # noqa: E402
    call_of,
    layers_in_float,
    session,
    session_options,
)
from qdeploy.cpu.measurement.steps import step_times  # noqa: E402
from qdeploy.cpu.measurement.timing import Times, interleaved  # noqa: E402
from qdeploy.cpu.measurement.twins import float_twin, int8_twin  # noqa: E402
from qdeploy.cpu.parts import whole  # noqa: E402
from qdeploy.integer import IntegerNetwork  # noqa: E402

PARTS = ("networks", "layers", "matrices", "convolutions", "lstm", "calls", "sizes", "loading")
LOADS = 5
_LOAD = """
import sys, time
from pathlib import Path
import llvmlite.binding, onnx, onnxruntime
from qdeploy.cpu import Session
import qdeploy.cpu.custom_op.registration, qdeploy.cpu.program.cache
start = time.process_time()
Session(Path(sys.argv[1]), 1)
print(time.process_time() - start)
"""


def main() -> None:
    """Print the rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--models", type=Path, required=True, help="folder of packed models")
    parser.add_argument(
        "--rounds", type=int, default=30, help="turns of each contender, fewer of large ones"
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for row in measured(options.parts, options.models, options.rounds):
        print(f"{row.case:24} {row.metric:24} {row.value:12.5g} {row.unit:7} {row.against}")
        rows.append(row)
    if options.json:
        write(rows, options.json)


def measured(parts: Sequence[str], folder: Path, rounds: int) -> Iterator[Row]:
    """All rows of some parts."""
    target = host_targets()[0]
    machine = f"{processor()} ({llvm.get_host_cpu_name()}), kernels for {target.name}"
    yield Row("machine", "load", os.getloadavg()[0], "", machine)
    yield Row("machine", "onnxruntime", 0, "", onnxruntime.__version__)
    models = {case: _model(case, folder) for case in CASES}
    if "networks" in parts:
        for threads in (1, 2):
            yield from networks(models, threads, rounds)
    if "layers" in parts:
        yield from layers(models)
    yield from single_layers(parts, rounds)
    if "calls" in parts:
        yield from calls(rounds)
    if "sizes" in parts:
        yield from sizes(models)
    if "loading" in parts:
        yield from loading(models)
    yield Row("machine", "load_after", os.getloadavg()[0], "")


def networks(models: dict[Case, Path], threads: int, rounds: int) -> Iterator[Row]:
    """Latency of whole networks, all interleaved; of CNV also with kernels for AVX2."""
    calls: dict[str, Callable[[], object]] = {}
    ours: dict[str, Case] = {}
    best, *others = host_targets()
    for case, path in models.items():
        network = _network(path)
        x = np.random.default_rng(0).random((1, *network.input_tensor.shape), np.float32)
        older = [AVX2] if AVX2 in others and case.network == "cnv" and threads == 1 else []
        for target in (best, *older):
            name = case.name if target is best else f"{case.name}, {target.name}"
            try:
                calls[name] = call_of(_fast(path, threads, target), x)
                ours[name] = case
            except NoFastForm as why:
                print(f"{name}: {why}")
        if f"{case.network} int8" not in calls:
            for kind, twin in (("float32", float_twin(network)), ("int8", int8_twin(network))):
                loaded = session(twin.SerializeToString(), session_options(threads))
                calls[f"{case.network} {kind}"] = call_of(loaded, x)
            left = layers_in_float(int8_twin(network))
            if left:
                print(f"{case.network}: ONNX Runtime computes {left} in float32, not in int8")
    found = interleaved(calls, rounds)
    clock = {name: t.processor if threads == 1 else t.wall for name, t in found.items()}
    suffix = "" if threads == 1 else "_2_threads"
    for name in sorted(found, key=lambda name: name in ours):  # those of ONNX Runtime first
        yield from _percentiles(name, found[name], clock[name], suffix)
    for name, case in ours.items():
        for place, kind in enumerate(("float32", "int8")):
            floor = f"at least {case.floor[place]} on AVX2" if case.floor else ""
            for metric, percent in (("median", 50), ("p10", 10)):
                other = np.percentile(clock[f"{case.network} {kind}"], percent)
                ratio = float(other / np.percentile(clock[name], percent))
                yield Row(name, f"x_{kind}_{metric}{suffix}", ratio, "x", floor)


def single_layers(parts: Sequence[str], rounds: int) -> Iterator[Row]:
    """Layers of many widths among their rivals."""
    few = max(3, rounds // 4)  # large batches take long
    cases = {
        "matrices": [
            (name, partial(matrix_contenders, *shape), few)
            for name, shape in FULLY_CONNECTED.items()
        ],
        "convolutions": [
            (name, partial(chain_contenders, *shape), rounds) for name, shape in CHAIN.items()
        ],
        "lstm": [
            (f"lstm-{name}", partial(lstm_contenders, steps), rounds)
            for name, steps in (("step", 1), ("sequence", STEPS))
        ],
    }
    for name, make, turns in chain(*(cases[part] for part in cases if part in parts)):
        contenders, length = make()
        for contender, times in interleaved(contenders, turns).items():
            took = times.processor / length
            median = f"{np.median(took):.1f} median"
            yield Row(name, contender, float(np.percentile(took, 10)), "us", median)


def calls(rounds: int) -> Iterator[Row]:
    """What a call of the custom operator costs within a session, and one of a stock operator."""
    contenders, length = call_contenders()
    for name, times in interleaved(contenders, rounds).items():
        took = np.percentile(times.processor, 10) / length
        yield Row("call", name, float(took), "us", "at most 1 more" if name == "ours" else "")


def layers(models: dict[Case, Path]) -> Iterator[Row]:
    """Time of each layer of CNV and its share of what the core could do."""
    target = host_targets()[0]
    roof = roofline(target)
    yield Row("roofline", "lookups", roof.lookups / 1e9, "G/s", target.name)
    yield Row("roofline", "products", roof.products / 1e9, "G/s", target.name)
    for case, path in models.items():
        if case.network != "cnv":
            continue
        for step in step_times(whole(_network(path)), target, roof):
            yield Row(f"{case.name}/{step.layer}", "time", step.microseconds, "us")
            if step.share is not None:
                yield Row(
                    f"{case.name}/{step.layer}",
                    "roofline",
                    100 * step.share,
                    "%",
                    f"{step.work} MAC, {step.description}",
                )


def sizes(models: dict[Case, Path]) -> Iterator[Row]:
    """Files against what they have to hold."""
    for case, path in models.items():
        network, size = _network(path), path.stat().st_size
        information = information_bits(network) / 8
        limit = "at most 210,000" if case.name == "cnv-w1a1" else ""
        yield Row(case.name, "file_bytes", size, "B", limit)
        over = 100 * (size / information - 1)
        yield Row(case.name, "over_information", over, "%", f"{information:.0f} bytes; at most 5")
        yield Row(case.name, "float32_bytes", float_twin(network).ByteSize(), "B")
        yield Row(case.name, "macs", macs(network), "MAC")


def loading(models: dict[Case, Path]) -> Iterator[Row]:
    """Processor time from a file to a session in a new process, libraries imported."""
    for case, path in models.items():
        if case.name not in {"cnv-w1a1", "cnv-wTa2-pixel", "tfc-w1a1"}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"XDG_CACHE_HOME": folder, "PYTHONPATH": _python_path()}
            command = [sys.executable, "-c", _LOAD, str(path)]
            seconds = [
                float(subprocess.check_output(command, env=environment, text=True))
                for _ in range(1 + LOADS)
            ]
        yield Row(case.name, "compile", 1e3 * seconds[0], "ms", "at most 2000")
        yield Row(case.name, "load", 1e3 * float(np.median(seconds[1:])), "ms", "at most 100")


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])


def _percentiles(name: str, times: Times, clock: Any, suffix: str) -> Iterator[Row]:
    for metric, percent in (("median", 50), ("p10", 10)):
        wall = f"{np.percentile(times.wall, percent):.1f} on the wall"
        yield Row(name, f"{metric}{suffix}", float(np.percentile(clock, percent)), "us", wall)
    yield Row(name, f"least_wall{suffix}", float(times.wall.min()), "us")


def _model(case: Case, folder: Path) -> Path:
    """The packed model of a case, from the folder if it is there."""
    path = folder / f"{case.name}.onnx"
    return path if path.exists() else pack(case.make(), path).path


def _network(path: Path) -> IntegerNetwork:
    return read_network(onnx.load(path))


def _fast(path: Path, threads: int, target: Target) -> Any:
    """A session with kernels for `target`."""
    options = session_options(threads)
    with patch("qdeploy.cpu.kernels.targets.host_targets", lambda: (target,)):
        use_kernels(options, path.read_bytes(), threads)
    return session(path.read_bytes(), options)


if __name__ == "__main__":
    main()
