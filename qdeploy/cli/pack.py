# SPDX-License-Identifier: Apache-2.0
"""qdeploy pack."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy import integer
from qdeploy.cpu import pack as pack_network


def pack(
    network: Annotated[Path, typer.Argument(help="Integer network (integer.npz).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")] = Path(
        "cpu.onnx"
    ),
) -> None:
    """Pack an integer network into an ONNX file that stock ONNX Runtime runs."""
    packed = pack_network(integer.load(network), output)
    print(
        f"wrote {output}: {packed.file_bytes:,} bytes, of which {packed.weight_bytes:,} packed "
        f"weights (float32: {packed.float_bytes:,})"
    )
