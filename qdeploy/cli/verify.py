# SPDX-License-Identifier: Apache-2.0
"""qdeploy verify."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdeploy.cli.lower import INPUT_TYPE, RESCALE
from qdeploy.config import compile_config
from qdeploy.verification import Verification
from qdeploy.verification.targets import verify_build, verify_file
from qdeploy.verification.wording import SUMS, sentences


def verify(
    path: Annotated[Path, typer.Argument(help="Build folder or QONNX file.")],
    data: Annotated[
        Path | None, typer.Option(help="Test data: .npz with x [N, ...] and optionally y [N].")
    ] = None,
    rescale_bits: Annotated[int | None, RESCALE] = None,
    input_type: Annotated[str | None, INPUT_TYPE] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare source file, integers and back ends, and promised ranges with observed ones."""
    if path.is_dir():
        found = verify_build(path, data)
    else:
        config = compile_config(rescale_bits=rescale_bits, input_type=input_type)
        found = verify_file(path, data, config.rescale_bits, config.input_type)
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    if data is None:
        console.print("Random inputs; name test data with --data.", markup=False)
    for sentence in sentences(found):
        console.print(sentence, markup=False)
    if found.source is not None and found.source.differences:
        console.print(_differences(found))
    console.print(_ranges(found))
    if found.labelled:
        print(f"correct: {found.correct}")


def _differences(found: Verification) -> Table:
    assert found.source is not None
    table = Table(box=None, pad_edge=False)
    for title in ("sample", "output", "float32", "integers mean", "exact"):
        table.add_column(title)
    for difference in found.source.differences:
        table.add_row(
            str(difference.sample),
            ", ".join(map(str, difference.output)),
            f"{difference.float32:.9g}",
            f"{difference.integers:.9g}",
            "not computed" if difference.exact is None else f"{difference.exact:.9g}",
        )
    return table


def _ranges(found: Verification) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("layer", "promised", "bits", "seen", "bits"):
        table.add_column(title)
    for tensor in found.extremes:
        if tensor.kind in SUMS:
            table.add_row(
                tensor.layer,
                f"{tensor.low}..{tensor.high}",
                str(tensor.bits),
                f"{tensor.observed_low}..{tensor.observed_high}",
                str(tensor.observed_bits),
            )
    return table
