# SPDX-License-Identifier: Apache-2.0
"""From a packed model to its measurement."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from qdeploy.cpu.description import read_network
from qdeploy.cpu.fast import NoFastForm, use_kernels
from qdeploy.cpu.measurement.contents import Latency, Layer, Loading, Measurement
from qdeploy.cpu.measurement.sessions import call_of, layers_in_float, session, session_options
from qdeploy.cpu.measurement.timing import Times, interleaved
from qdeploy.cpu.measurement.twins import float_twin, int8_twin
from qdeploy.cpu.packing import information_bits
from qdeploy.cpu.parts import split
from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Embedding, IntegerNetwork, Linear, Lstm

BATCH = 16


def measure(path: Path, threads: int = 1) -> Measurement:
    """Measure a packed model next to the float32 and int8 versions derived from its network.

    Args:
        path: a file written by `pack`.
        threads: of every form.

    Raises:
        UserError: if the file is missing or no packed model.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}", remedy="write it with 'qdeploy compile'")
    content = path.read_bytes()
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise UserError(
            f"{path} is no ONNX model", remedy="write it again with 'qdeploy compile'"
        ) from error
    network = read_network(model)
    loading: Loading | None = None
    layers: tuple[Layer, ...] = ()
    options = session_options(threads)
    try:
        form = use_kernels(options, content, threads)
    except NoFastForm as why:
        form = f"portable form ({why})"
    else:
        loading, layers = _loading(network, content, threads), _layers(network)
    twins = {"ONNX Runtime int8": int8_twin(network), "ONNX Runtime float32": float_twin(network)}
    contents = {"qdeploy": content}
    contents |= {name: twin.SerializeToString() for name, twin in twins.items()}
    sessions = {"qdeploy": session(content, options)}
    for name in twins:
        sessions[name] = session(contents[name], session_options(threads))
    single, many = (interleaved(_calls(sessions, network, n)) for n in (1, BATCH))
    count = macs(network)
    return Measurement(
        network=network.name,
        form=form,
        processor=processor(),
        load=round(os.getloadavg()[0], 2),
        onnxruntime=onnxruntime.__version__,
        threads=threads,
        batch=BATCH,
        macs=count,
        information_bytes=information_bits(network) / 8,
        latencies=tuple(
            _latency(name, single[name], many[name], threads, count, len(contents[name]))
            for name in sessions
        ),
        in_float=layers_in_float(twins["ONNX Runtime int8"]),
        loading=loading,
        layers=layers,
    )


def macs(network: IntegerNetwork) -> int:
    """Multiplications of an input in convolutions, fully connected and LSTM layers."""
    total = 0
    for node in network.nodes:
        if isinstance(node, (Convolution, Linear)):
            outputs = int(np.prod(network.tensors[node.output].shape))
            total += outputs * int(np.prod(node.weights.shape[1:]))
        elif isinstance(node, Lstm):
            steps = network.tensors[node.input].shape[0]
            layer = node.layer
            total += steps * sum(
                int(np.prod(weights.shape))
                for weights in (layer.input_weights, layer.hidden_weights)
            )
    return total


def processor() -> str:
    """Name of this machine's processor and how many cores we may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(found or [name])[0]}, {len(os.sched_getaffinity(0))} cores"


def _calls(
    sessions: dict[str, Any], network: IntegerNetwork, count: int
) -> dict[str, Callable[[], object]]:
    x = _inputs(network, count)
    return {name: call_of(loaded, x) for name, loaded in sessions.items()}


def _inputs(network: IntegerNetwork, count: int) -> NDArray[np.float32]:
    """Random numbers 0 .. 1, or tokens."""
    rng, shape = np.random.default_rng(0), (count, *network.input_tensor.shape)
    if isinstance(network.nodes[0], Embedding):
        return rng.integers(len(network.nodes[0].table), size=shape).astype(np.float32)
    return rng.random(shape, np.float32)


def _latency(name: str, single: Times, many: Times, threads: int, count: int, size: int) -> Latency:
    p10, p50, p90, p99 = (float(p) for p in np.percentile(single.wall, [10, 50, 90, 99]))
    clocks = [times.processor if threads == 1 else times.wall for times in (single, many)]
    one, batch = (float(np.median(clock)) for clock in clocks)
    return Latency(
        name=name,
        p10=p10,
        p50=p50,
        p90=p90,
        p99=p99,
        processor=one,
        images_per_second=BATCH / batch * 1e6,
        gmacs=count / one / 1e3,
        bytes=size,
    )


def _loading(network: IntegerNetwork, content: bytes, threads: int) -> Loading:
    """With `content` in the cache already."""
    from qdeploy.cpu.kernels.targets import host_targets
    from qdeploy.cpu.program.compiled import compile_program
    from qdeploy.cpu.program.planning import NoKernel

    start = time.perf_counter()
    for part in split(network):
        with suppress(NoKernel):
            compile_program(part, host_targets()[0])
    compiled = time.perf_counter()
    options = session_options(threads)
    use_kernels(options, content, threads)
    loaded = session(content, options)
    cached = time.perf_counter()
    call = call_of(loaded, np.zeros((1, *network.input_tensor.shape), np.float32))
    before = time.perf_counter()
    call()
    first = time.perf_counter() - before
    seconds = (cached - start, cached - compiled, first)
    return Loading(compiled=seconds[0] * 1e3, cached=seconds[1] * 1e3, first_call=seconds[2] * 1e3)


def _layers(network: IntegerNetwork) -> tuple[Layer, ...]:
    from qdeploy.cpu.kernels.targets import host_targets
    from qdeploy.cpu.measurement.roofline import roofline
    from qdeploy.cpu.measurement.steps import step_times
    from qdeploy.cpu.program.planning import NoKernel

    target = host_targets()[0]
    roof, steps = roofline(target), []
    for part in split(network):
        with suppress(NoKernel):
            steps += step_times(part, target, roof)
    return tuple(
        Layer(
            name=step.layer,
            kernel=step.description,
            macs=step.work,
            microseconds=step.microseconds,
            roofline=step.share,
        )
        for step in steps
    )
