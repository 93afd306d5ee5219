# SPDX-License-Identifier: Apache-2.0
"""The only exceptions qdeploy raises on purpose.

`UserError` says what the user can change, `ToolError` that an outside program failed,
`InternalError` that qdeploy broke one of its own promises.
"""

from __future__ import annotations


class QdeployError(Exception):
    """Base of all errors; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(QdeployError):
    """Something in the user's model, configuration or call.

    Args:
        problem: what is wrong, with the values.
        layer: name of the layer as in the PyTorch model, if one is to blame.
        remedy: what to do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, *, layer: str | None = None, remedy: str = "") -> None:
        self.problem = problem
        self.layer = layer
        self.remedy = remedy
        where = f"layer '{layer}': " if layer else ""
        what_to_do = f"\n  What to do: {remedy}" if remedy else ""
        super().__init__(f"{where}{problem}{what_to_do}")


class ToolError(QdeployError):
    """An outside program (compiler, Verilator, Yosys...) is missing or failed.

    Args:
        tool: name of the program.
        problem: what happened, with the first error line of its output.
        command: the command line that reproduces it.
        remedy: how to get or repair the tool.
    """

    exit_code = 3

    def __init__(self, tool: str, problem: str, *, command: str = "", remedy: str = "") -> None:
        self.tool = tool
        self.problem = problem
        reproduce = f"\n  Command: {command}" if command else ""
        what_to_do = f"\n  What to do: {remedy}" if remedy else ""
        super().__init__(f"{tool}: {problem}{reproduce}{what_to_do}")


class InternalError(QdeployError):
    """A promise of qdeploy is broken (for instance: a back end differs from the reference)."""

    exit_code = 4
