# SPDX-License-Identifier: Apache-2.0
"""qdeploy package."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.build import open_build


def package(
    directory: Annotated[Path, typer.Argument(help="Build folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path(
        "model.qdp"
    ),
) -> None:
    """Write a build as one file for boards and other machines."""
    from qdeploy.packaging import package as package_build

    written = package_build(open_build(directory), output)
    print(
        f"wrote {output}: {written.bytes:,} bytes, "
        f"{'with' if written.bitstream else 'without'} bitstream"
    )
    for note in written.notes:
        print(note)
