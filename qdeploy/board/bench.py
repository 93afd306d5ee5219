# SPDX-License-Identifier: Apache-2.0
"""How fast a package runs on a device: the first call, latency, throughput, and power."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.board.devices import load

if TYPE_CHECKING:
    from qdeploy.board.devices import Device
    from qdeploy.board.package import Package

SECONDS = 2.0  # about, of each measurement
CALLS = 1000  # at most, that latency is taken from
BATCH = 1024  # frames of a call for throughput
SAMPLE_SECONDS = 0.02  # between two looks at the power rails


@dataclass(frozen=True)
class Measurement:
    """Times in milliseconds.

    Attributes:
        network: its name.
        form: of it on the device.
        load: until the device was ready, the bitstream loaded.
        first: of the first call of one frame.
        p50: of calls of one frame, half are faster.
        p99: 99 of 100 are faster.
        calls: how many those were.
        batch: frames of a call for throughput.
        frames_per_second: then.
        idle_watts: of all rails that the board measures, at rest; None where it measures none.
        busy_watts: then.
    """

    network: str
    form: str
    load: float
    first: float
    p50: float
    p99: float
    calls: int
    batch: int
    frames_per_second: float
    idle_watts: float | None
    busy_watts: float | None


def measure(package: Package, device: Device) -> Measurement:
    """Load a package on a device and run its self-test inputs again and again.

    Raises:
        UserError: as `load`.
        ToolError: if the device fails.
    """
    inputs = package.array("selftest/input.npy")
    begin = time.perf_counter()
    runner = load(package, device)
    loaded = time.perf_counter()
    runner.run(inputs[:1])
    first = time.perf_counter()
    sensors = _power_sensors()
    with _sampled(sensors) as idle:
        if sensors:
            time.sleep(SECONDS / 2)
    latencies: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(latencies) < CALLS and (not latencies or time.perf_counter() < end):
        frame = inputs[len(latencies) % len(inputs)][np.newaxis]
        start = time.perf_counter()
        runner.run(frame)
        latencies.append(time.perf_counter() - start)
    median = float(np.percentile(latencies, 50))
    batch = max(1, min(BATCH, int(SECONDS / median)))
    batched = inputs[np.arange(batch) % len(inputs)]
    frames, start = 0, time.perf_counter()
    with _sampled(sensors) as busy:
        while not frames or time.perf_counter() - start < SECONDS:
            runner.run(batched)
            frames += batch
        seconds = time.perf_counter() - start
    return Measurement(
        package.manifest.name,
        runner.form,
        1e3 * (loaded - begin),
        1e3 * (first - loaded),
        1e3 * median,
        1e3 * float(np.percentile(latencies, 99)),
        len(latencies),
        batch,
        frames / seconds,
        mean(idle) if idle else None,
        mean(busy) if busy else None,
    )


def describe(found: Measurement) -> str:
    """A measurement for people."""
    watts = "not measured on this board"
    if found.busy_watts is not None and found.idle_watts is not None:
        watts = f"{found.busy_watts:.2f} W at full speed, {found.idle_watts:.2f} W idle"
    rows = {
        "load": f"{found.load:,.0f} ms",
        "first call": f"{found.first:,.2f} ms",
        "latency": f"{found.p50:,.3f} ms p50, {found.p99:,.3f} ms p99, {found.calls} single frames",
        "throughput": f"{found.frames_per_second:,.0f} frames/s, {found.batch} at once",
        "power": watts,
    }
    lines = (f"  {name:10}  {value}" for name, value in rows.items())
    return "\n".join([f"{found.network}: {found.form}", *lines])


def _power_sensors() -> list[Any]:
    """PYNQ's sensor of each power rail (PMBus, on some boards); its `value` is in watts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pynq.pmbus import get_rails

            rails = list(get_rails().values())
    except Exception:  # no PYNQ, or none of the sensors it expects: power is not known
        return []
    return [rail.power for rail in rails if rail.power is not None]


@contextmanager
def _sampled(sensors: list[Any]) -> Iterator[list[float]]:
    """The sum of all sensors, again and again while the block runs."""
    samples: list[float] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append(sum(float(sensor.value) for sensor in sensors))

    thread = threading.Thread(target=sample, daemon=True)
    if sensors:
        thread.start()
    try:
        yield samples
    finally:
        done.set()
        if sensors:
            thread.join()
