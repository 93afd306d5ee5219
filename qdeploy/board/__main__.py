# SPDX-License-Identifier: Apache-2.0
"""`python3 -m qdeploy.board`: a package on this board, from a shell."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.board.bench import describe, measure
from qdeploy.board.devices import load
from qdeploy.board.package import Package, open_package
from qdeploy.board.preflight import preflight
from qdeploy.board.selftest import self_test
from qdeploy.errors import QdeployError, UserError

DEVICES = ("auto", "board", "cpu")
INTERRUPTED = 130  # as shells say it


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors become one message and an exit code, no traceback."""
    options = _parser().parse_args(arguments)
    try:
        package = open_package(options.package)
        return int(options.command(package, options) or 0)
    except QdeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python3 -m qdeploy.board", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Any, description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=description, description=description)
        added.add_argument("package", type=Path, help="package (.qdp)")
        added.set_defaults(command=command)
        return added

    run = add("run", _run, "run a network on inputs in the model's own units and layout")
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, metavar="X.npy", help="inputs, [N, ...]")
    what.add_argument("--selftest", action="store_true", help="the package's own test instead")
    run.add_argument("-o", "--output", type=Path, metavar="Y.npy", help="write the outputs")
    test = add("selftest", _self_test, "run the package's test inputs, compare every integer")
    bench = add("bench", _bench, "measure load, latency, throughput, and power where possible")
    bench.add_argument("--json", action="store_true", help="print JSON")
    for command in (run, test, bench):
        command.add_argument("--device", choices=DEVICES, default="auto")
    add("preflight", _preflight, "check whether this board can run a package")
    return parser


def _run(package: Package, options: argparse.Namespace) -> None:
    if options.selftest:
        _self_test(package, options)
        return
    try:
        x = np.load(options.input, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        problem = f"cannot read {options.input}: {error}"
        raise UserError(problem, remedy="save it with numpy.save") from error
    y = load(package, options.device).run(x)
    if options.output is None:
        classes = package.manifest.network.classes
        print(np.array2string(y, threshold=200, precision=4, suppress_small=True))
        if classes and y.shape[1:] == (len(classes),):
            print(" ".join(classes[index] for index in y.argmax(axis=1)[:100]))
        return
    try:
        with options.output.open("wb") as file:
            np.save(file, y)
    except OSError as error:
        problem = f"cannot write {options.output}: {error.strerror}"
        raise UserError(problem, remedy="choose another file") from error
    print(f"wrote {options.output}: {y.shape}")


def _self_test(package: Package, options: argparse.Namespace) -> None:
    runner = load(package, options.device)
    frames = self_test(package, runner)
    print(f"self-test passed: {frames} frames equal the integer reference on {runner.form}")


def _bench(package: Package, options: argparse.Namespace) -> None:
    found = measure(package, options.device)
    print(json.dumps(asdict(found), indent=2) if options.json else describe(found))


def _preflight(package: Package, options: argparse.Namespace) -> int:
    checks = preflight(package)
    for check in checks:
        print(f"{'ok  ' if check.met else 'FAIL'} {check.name}: {check.found}")
    unmet = [check for check in checks if not check.met]
    for check in unmet:
        print(f"error: {check.name}: {check.found}\n  What to do: {check.remedy}", file=sys.stderr)
    return UserError.exit_code if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
