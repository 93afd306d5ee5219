# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

WITHOUT_FINN = """
import sys
sys.modules["finn"] = None
import qdeploy.fpga.board, qdeploy.fpga.estimation, qdeploy.fpga.simulated
from qdeploy.errors import ToolError
for module in ("mapping", "folding", "generation", "verification"):
    try:
        __import__("qdeploy.fpga." + module)
    except ToolError as error:
        print(error)
"""


def test_without_finn_a_tool_error_says_how_to_get_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FINN], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("finn-plus: cannot be imported") == 4
    assert "make setup" in done.stdout
