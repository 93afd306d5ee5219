# SPDX-License-Identifier: Apache-2.0
"""qdeploy doctor."""

from rich.console import Console
from rich.table import Table

from qdeploy.doctor import examine


def doctor() -> None:
    """Say which tools are installed, what they are for and how to get the missing ones."""
    table = Table(box=None, pad_edge=False)
    for title in ("tool", "found", "needed for", "how to get it"):
        table.add_column(title)
    for finding in examine():
        found = f"[green]{finding.version}[/]" if finding.version else "[yellow]missing[/]"
        remedy = "" if finding.version else finding.remedy
        table.add_row(finding.tool, found, finding.purpose, remedy)
    Console().print(table)
