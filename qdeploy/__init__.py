# SPDX-License-Identifier: Apache-2.0
"""qdeploy: very-low-bit neural networks from training to an FPGA board, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Build",
    "Report",
    "Runner",
    "TrainingResult",
    "compile",
    "export",
    "fit",
    "load",
    "quantize",
    "train",
]

if TYPE_CHECKING:
    from qdeploy.api import compile, export, fit, quantize, train  # noqa: A004
    from qdeploy.build import Build, Runner, load
    from qdeploy.report.contents import Report
    from qdeploy.training import TrainingResult

_HOME = {
    "Build": "qdeploy.build",
    "Report": "qdeploy.report.contents",
    "Runner": "qdeploy.build",
    "TrainingResult": "qdeploy.training",
    "compile": "qdeploy.api",
    "export": "qdeploy.api",
    "fit": "qdeploy.api",
    "load": "qdeploy.build",
    "quantize": "qdeploy.api",
    "train": "qdeploy.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import qdeploy` stays light."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'qdeploy' has no attribute '{name}'")
    try:
        home = import_module(_HOME[name])
    except ModuleNotFoundError as error:
        if (name, error.name) != ("load", "qdeploy.build"):
            raise
        home = import_module("qdeploy.board")  # all there is on a board
    return getattr(home, name)
