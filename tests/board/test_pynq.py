# SPDX-License-Identifier: Apache-2.0
"""The runtime through unmodified versions of PYNQ, whose FPGA is the verilated accelerator."""

import numpy as np
import pytest
from environments import TESTS, python, run
from rehearsal import PARTS, Rehearsal, rehearse

import qdeploy
from qdeploy import integer

PYNQ = {"3.0.1": "3.10", "3.1.2": "3.11", "4.0.0": "3.12"}  # and a Python
# Python 3.10 is that of PYNQ's images up to 3.1, Python 3.12 that of 4.0, which lost Zynq-7000.
CASES = [
    (version, board)
    for version in PYNQ
    for board in PARTS
    if (version, board) != ("4.0.0", "PYNQ-Z2")
]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """With inputs and what the integer reference makes of them."""
    made = rehearse(tmp_path_factory.mktemp("rehearsal"))
    shape = made.network.input_tensor.shape
    x = np.random.default_rng(1).random((23, *shape)).astype(np.float32)
    integers = integer.run(made.network, x)
    reals = made.network.real_output(integers)
    for name, array in (("x", x), ("integers", integers), ("reals", reals)):
        np.save(made.folder / f"{name}.npy", array)
    return made


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_other_devices_give_the_same(device: str, rehearsal: Rehearsal) -> None:
    x, integers, reals = (
        np.load(rehearsal.folder / f"{name}.npy") for name in ("x", "integers", "reals")
    )
    runner = qdeploy.load(rehearsal.package(), device=device)
    assert np.array_equal(runner.run_integers(x), integers)
    assert np.array_equal(runner.run(x), reals)


@pytest.mark.slow
@pytest.mark.parametrize(("version", "board"), CASES)
def test_pynq(version: str, board: str, rehearsal: Rehearsal) -> None:
    interpreter = python(PYNQ[version], f"pynq=={version}", "pycparser<3")
    script = str(TESTS / "board" / "pynq_checks.py")
    said = run(str(interpreter), script, str(rehearsal.folder), board)
    assert said.rstrip().endswith(f"checks with PYNQ {version}")


def test_pynq_4_has_no_zynq_7000(rehearsal: Rehearsal) -> None:
    interpreter = python(PYNQ["4.0.0"], "pynq==4.0.0", "pycparser<3")
    program = "import sys; from qdeploy.board.__main__ import main; sys.exit(main() - 2)"
    said = run(str(interpreter), "-c", program, "preflight", str(rehearsal.package()))
    assert "FAIL PYNQ: 4.0.0, which cannot load overlays of Zynq-7000" in said
