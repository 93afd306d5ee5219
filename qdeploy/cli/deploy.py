# SPDX-License-Identifier: Apache-2.0
"""qdeploy deploy."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.deployment import deploy as deploy_package


def deploy(
    package: Annotated[Path, typer.Argument(help="Package (.qdp).")],
    host: Annotated[str, typer.Option("--to", help="The board: user@host.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of its ssh server.")] = 22,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands only.")] = False,
) -> None:
    """Copy a package to a board over ssh, install the runtime there, run the self-test."""
    deploy_package(package, host, port=port, dry_run=dry_run, say=_say)
    if not dry_run:
        print(f"{package.name} is in the folder qdeploy of {host} and works there")


def _say(line: str) -> None:
    print(line, flush=True)
