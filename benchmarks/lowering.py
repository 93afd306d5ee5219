# SPDX-License-Identifier: Apache-2.0
"""Speed, memory and growth of lowering, beside FINN's own streamlining of the same files.

Every case is lowered in a process of its own on one core. `--quick` keeps below a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rows import Row, write

DOMAIN = "qonnx.custom_op.general"
IMAGE = (3, 32, 32)
STAGES = 3  # of one resolution each
TARGET_SECONDS, TARGET_BYTES = 20.0, 2e9
FINN = "finn-plus {version}: cleanup, ConvertQONNXtoFINN, Streamline; same file, same run"


@dataclass(frozen=True)
class Case:
    """A network of `layers` convolutions with about `weights` weights."""

    layers: int
    weights: int
    residual: bool = False

    @property
    def name(self) -> str:
        """cnn-100x20.0M, or resnet-..."""
        kind = "resnet" if self.residual else "cnn"
        return f"{kind}-{self.layers}x{self.weights / 1e6:g}M"


# Ten times the layers and weights between the first and the last chain.
QUICK = [Case(6, 200_000), Case(60, 2_000_000), Case(60, 2_000_000, residual=True)]
FULL = [
    Case(10, 2_000_000),
    Case(20, 4_000_000),
    Case(50, 10_000_000),
    Case(100, 20_000_000),
    Case(100, 20_000_000, residual=True),
]


class Network:
    """A CNN under construction: blocks of Conv, BatchNormalization, Relu, Quant."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.weights = 0

    def block(self, x: str, name: str, inputs: int, outputs: int, stride: int) -> str:
        """3x3 convolution with 3-bit weights per channel, then 3-bit activations."""
        y = self._node(
            "Conv",
            x,
            self._weights(name, (outputs, inputs, 3, 3)),
            name=f"/{name}/conv/Conv",
            pads=[1, 1, 1, 1],
            strides=[stride, stride],
        )
        statistics = [
            self.random.uniform(0.5, 1.5, outputs)
            * self.random.choice([-1, 1], outputs, p=[0.1, 0.9]),
            self.random.normal(0, 0.3, outputs),
            self.random.normal(0, 0.3, outputs),
            self.random.uniform(0.5, 1.5, outputs),
        ]
        y = self._node(
            "BatchNormalization",
            y,
            *map(self._constant, statistics),
            name=f"/{name}/bn/BatchNormalization",
        )
        y = self._node("Relu", y, name=f"/{name}/act/Relu")
        return self.quantizer(y, f"/{name}/act/act_quant/Quant")

    def add(self, left: str, right: str, name: str) -> str:
        """Residual sum of two activations of one scale, quantized again."""
        return self.quantizer(
            self._node("Add", left, right, name=f"/{name}/Add"), f"/{name}/act/act_quant/Quant"
        )

    def quantizer(self, x: str, name: str) -> str:
        """Unsigned 3-bit activations, one scale."""
        return self._quant(x, np.float32(0.21), bits=3, signed=0, name=name)

    def _weights(self, name: str, shape: tuple[int, ...]) -> str:
        self.weights += int(np.prod(shape))
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        real = self.random.standard_normal(shape, np.float32) * np.float32(spread)
        scale = np.abs(real).max(axis=tuple(range(1, len(shape))), keepdims=True) / np.float32(3)
        return self._quant(
            self._constant(real), scale, bits=3, narrow=1, name=f"/{name}/conv/weight_quant/Quant"
        )

    def _quant(
        self, x: str, scale: object, *, bits: int, name: str, signed: int = 1, narrow: int = 0
    ) -> str:
        return self._node(
            "Quant",
            x,
            self._constant(scale),
            self._constant(0),
            self._constant(bits),
            name=name,
            domain=DOMAIN,
            signed=signed,
            narrow=narrow,
            rounding_mode="ROUND",
        )

    def _constant(self, values: object) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def _node(self, operator: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def save(self, output: str, shape: tuple[int, ...], path: Path) -> None:
        """Write the file."""
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *IMAGE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, *shape])],
            self.initializers,
        )
        imports = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def write_network(path: Path, case: Case) -> int:
    """Write the network of `case`; returns the exact number of weights."""
    width = max(8, round((case.weights / (9 * (case.layers - 1))) ** 0.5))
    network = Network(case.layers)
    x = network.quantizer("x", "/image/Quant")
    x = network.block(x, "block0", IMAGE[0], width, 1)
    size, shortcut = IMAGE[1], x
    for index in range(1, case.layers):
        stride = 1 if index % -(-case.layers // STAGES) else 2
        x = network.block(x, f"block{index}", width, width, stride)
        size //= stride
        if stride == 2:
            shortcut = x
        elif case.residual and index % 2 == 0:
            x = shortcut = network.add(x, shortcut, f"sum{index}")
    network.save(x, (width, size, size), path)
    return network.weights


def lower_once(path: Path) -> None:
    """In a process of its own: print seconds and peak bytes of lowering."""
    from qdeploy.lowering import lower
    from qdeploy.lowering import start as begin

    begin(path)  # imports are not counted
    start = time.perf_counter()
    lower(path)
    seconds = time.perf_counter() - start
    # Not ru_maxrss: it survives exec and would count the parent.
    status = Path("/proc/self/status").read_text()
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    print(json.dumps({"seconds": seconds, "bytes": 1024 * kibibytes}))


def streamline_once(path: Path) -> None:
    """In a process of its own: print the seconds of FINN's streamlining."""
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    start = time.perf_counter()
    model = cleanup_model(ModelWrapper(str(path)))
    model.transform(ConvertQONNXtoFINN()).transform(Streamline())
    print(json.dumps({"seconds": time.perf_counter() - start}))


def measure(what: str, path: Path, limit: float) -> dict[str, float] | None:
    """Run `lower_once` or `streamline_once` on one core; None past the limit in seconds."""
    core = min(os.sched_getaffinity(0))
    try:
        process = subprocess.run(
            [sys.executable, __file__, "--once", what, str(path)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if process.returncode:
        sys.exit(f"{what} of {path.name} failed:\n{process.stderr[-2000:]}")
    result: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return result


def run_case(case: Case, directory: Path, finn_limit: float) -> list[Row]:
    """Lower one network, streamline it with FINN, print a line."""
    path = directory / f"{case.name}.onnx"
    weights = write_network(path, case)
    ours = measure("lower", path, limit=3600)
    assert ours is not None
    seconds = ours["seconds"]
    against = ""
    comparison = "FINN not asked"
    if finn_limit:
        finn = measure("streamline", path, finn_limit)
        sign, other = ("", finn["seconds"]) if finn else ("more than ", finn_limit)
        comparison = f"FINN {sign}{other:.1f} s: {sign}{other / seconds:.0f}x"
        against = f"{FINN.format(version=version('finn-plus'))}: {comparison}"
    path.unlink()
    print(
        f"{case.name:16} {case.layers:4} layers {weights:11,} weights {seconds:7.2f} s "
        f"{1e6 * seconds / weights:6.3f} s/M {ours['bytes'] / 1e9:5.2f} GB   {comparison}",
        flush=True,
    )
    return [
        Row(case.name, "lowering_seconds", seconds, "s", against),
        Row(case.name, "lowering_peak_bytes", ours["bytes"], "bytes"),
    ]


def summarize(rows: list[Row], cases: list[Case]) -> None:
    """Print the growth over ten times the size and, for the largest network, the target."""
    values = {(row.case, row.metric): row.value for row in rows}
    chains = [case for case in cases if not case.residual]
    first, last = chains[0], chains[-1]
    growth = values[last.name, "lowering_seconds"] / values[first.name, "lowering_seconds"]
    print(f"{last.layers / first.layers:g}x the layers and weights: {growth:.1f}x the time")
    if last.weights >= FULL[-1].weights:
        seconds, peak = (
            values[last.name, f"lowering_{what}"] for what in ("seconds", "peak_bytes")
        )
        met = seconds < TARGET_SECONDS and peak < TARGET_BYTES
        print(
            f"target {TARGET_SECONDS:g} s and {TARGET_BYTES / 1e9:g} GB for {last.name}: "
            f"{'met' if met else 'MISSED'}"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, small networks")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--finn-limit", type=float, help="seconds per file; 0 leaves FINN out")
    parser.add_argument("--once", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        what, path = arguments.once
        {"lower": lower_once, "streamline": streamline_once}[what](Path(path))
        return
    cases = QUICK if arguments.quick else FULL
    limit = arguments.finn_limit
    if limit is None:
        limit = 0.0 if find_spec("finn") is None else (15.0 if arguments.quick else 300.0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        for case in cases:
            rows += run_case(case, Path(directory), limit)
    summarize(rows, cases)
    if arguments.json:
        write(rows, arguments.json)


if __name__ == "__main__":
    main()
