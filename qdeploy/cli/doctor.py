# SPDX-License-Identifier: Apache-2.0
"""qdeploy doctor."""

from rich.console import Console

from qdeploy.doctor import examine


def doctor() -> None:
    """Say which tools are installed, what they are for and how to get the missing ones."""
    console = Console(highlight=False)
    for finding in examine():
        if finding.version:
            line = f"[green]✓[/] {finding.tool:13} {finding.version:14} {finding.purpose}"
        else:
            line = (
                f"[yellow]–[/] {finding.tool:13} {'missing':14} {finding.purpose}: {finding.remedy}"
            )
        console.print(line, soft_wrap=True)
