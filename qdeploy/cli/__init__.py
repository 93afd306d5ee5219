# SPDX-License-Identifier: Apache-2.0
"""The command line: one file per command, no logic."""

from __future__ import annotations

import sys

import typer

from qdeploy.cli import (
    bench,
    bitstream,
    build,
    compile_,
    deploy,
    doctor,
    estimate,
    explain,
    export,
    generate,
    lower,
    map_,
    models,
    pack,
    package,
    report,
    run,
    selftest,
    simulate,
    train,
    verify,
)
from qdeploy.errors import QdeployError

INTERRUPTED = 130  # exit code after Ctrl-C
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Very-low-bit neural networks from training to an FPGA board, bit for bit.",
)
for _command, _name in (
    (build.build, "build"),
    (train.train, "train"),
    (export.export, "export"),
    (compile_.compile_, "compile"),
    (explain.explain, "explain"),
    (lower.lower, "lower"),
    (pack.pack, "pack"),
    (map_.map_, "map"),
    (generate.generate, "generate"),
    (simulate.simulate, "simulate"),
    (estimate.estimate, "estimate"),
    (bitstream.bitstream, "bitstream"),
    (package.package, "package"),
    (deploy.deploy, "deploy"),
    (run.run, "run"),
    (selftest.selftest, "selftest"),
    (bench.bench, "bench"),
    (verify.verify, "verify"),
    (report.report, "report"),
    (models.models, "models"),
    (doctor.doctor, "doctor"),
):
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; errors become one message and an exit code, no traceback."""
    try:
        app()
    except QdeployError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:  # Typer ends so after Ctrl-C
        if ended.code == INTERRUPTED:
            print("interrupted; run the same command again to go on", file=sys.stderr)
        raise
