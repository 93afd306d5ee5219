# SPDX-License-Identifier: Apache-2.0
"""The rows of a table in a JSON file, so that an interrupted run goes on with the next one."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Rows:
    """What has been measured under one setting; nothing is kept without a file.

    Args:
        path: JSON file; rows measured under another setting are dropped.
        setting: of all rows.
    """

    def __init__(self, path: Path | None, setting: Row) -> None:
        self.path, self.setting = path, json.loads(json.dumps(setting))  # lists, no tuples
        self.rows: dict[str, Row] = {}
        if path is not None and path.exists():
            document = json.loads(path.read_text())
            if document["setting"] == self.setting:
                self.rows = document["rows"]

    def measure(self, name: str, run: Callable[[], Row]) -> Row:
        """The row of that name, measured now if it is not there."""
        if name not in self.rows:
            self.rows[name] = run()
            if self.path is not None:
                document = {"setting": self.setting, "rows": self.rows}
                self.path.write_text(json.dumps(document, indent=2) + "\n")
        return self.rows[name]


def spread(values: Sequence[float], factor: float = 1, digits: int = 2) -> str:
    """Mean and deviation of some seeds, in units of 1 / `factor`."""
    mean = f"{factor * statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {factor * statistics.stdev(values):.{digits}f}"
