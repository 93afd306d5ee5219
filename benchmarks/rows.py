# SPDX-License-Identifier: Apache-2.0
"""What benchmarks write to their JSON files (docs/benchmarks.md is made of them)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A measured value.

    Attributes:
        case: what was measured.
        metric: what of it.
        value: in units of `unit`.
        unit: "" for a ratio or number.
        against: a limit, a rival or a remark.
    """

    case: str
    metric: str
    value: float
    unit: str
    against: str = ""


def write(rows: Iterable[Row], path: Path) -> None:
    """Write all rows, in their order."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
