# SPDX-License-Identifier: Apache-2.0
"""Random QONNX graphs for as long as you like: exact rationals == reference == CPU back end.

    python benchmarks/fuzz.py --minutes 10 --seed 1 --output failures

Each failing graph is cut after the first tensor that is wrong and saved as <output>/<seed>.onnx;
moved to tests/regressions it is replayed by the test suite. The exit status is 1 if any failed.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import onnx

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "differential")]

from comparison import compare  # noqa: E402
from qonnx_graphs import RandomGraph  # noqa: E402


def main() -> int:
    """Run until the time is over; print one line per failure and the totals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first graph; then counted up")
    parser.add_argument("--output", type=Path, default=Path("failures"))
    options = parser.parse_args()
    end, seed = time.monotonic() + 60 * options.minutes, options.seed
    outcome: Counter[str] = Counter()
    while time.monotonic() < end:
        model = RandomGraph(random.Random(seed)).build()  # noqa: S311 (no secret)
        answer = attempt(model)
        outcome[answer.partition(":")[0]] += 1
        if answer not in ("equal", "refused"):
            options.output.mkdir(parents=True, exist_ok=True)
            smallest = first_failing_prefix(model)
            onnx.save(smallest, options.output / f"{seed}.onnx")
            print(f"seed {seed}: {attempt(smallest)}", flush=True)
        seed += 1
    total = ", ".join(f"{count} {kind}" for kind, count in outcome.most_common())
    print(f"{seed - options.seed} graphs: {total}")
    return 0 if set(outcome) <= {"equal", "refused"} else 1


def attempt(model: onnx.ModelProto) -> str:
    """What came out: "equal", "refused" for a good reason, or what went wrong and where."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return "refused" if compare(model, Path(folder)) is None else "equal"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return f"{type(error).__name__}: {where}: {str(error).partition(chr(10))[0]}"


def first_failing_prefix(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the earliest output at which the same kind of failure appears."""
    kind = attempt(model).split(": ")[:2]
    for node in model.graph.node:
        prefix = onnx.ModelProto()
        prefix.CopyFrom(model)
        prefix.graph.output[0].name = node.output[0]
        keep_what_the_output_needs(prefix.graph)
        if attempt(prefix).split(": ")[:2] == kind:
            return prefix
    return model


def keep_what_the_output_needs(graph: onnx.GraphProto) -> None:
    """Drop every other node and initializer."""
    needed = {graph.output[0].name}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


if __name__ == "__main__":
    sys.exit(main())
