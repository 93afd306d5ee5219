# SPDX-License-Identifier: Apache-2.0
"""What runs on a board: numpy and Python 3.8, nothing to compile."""

from qdeploy.board.devices import Runner, load
from qdeploy.board.package import Package, open_package
from qdeploy.board.program import Program

__all__ = ["Package", "Program", "Runner", "load", "open_package"]
