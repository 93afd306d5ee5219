# SPDX-License-Identifier: Apache-2.0
"""`pip install .` alone must lower, pack and run without training, FPGA or report packages."""

import subprocess
import sys

import numpy as np
from qonnx_files import QonnxFile

from qdeploy.integer import run
from qdeploy.lowering import lower

HEAVY = [
    "torch", "brevitas", "finn", "qonnx", "sklearn", "matplotlib", "jinja2", "scipy", "safetensors",
]  # fmt: skip
PROGRAM = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ImportError(f"{{name}} is not in the light install")

sys.meta_path.insert(0, Block())
sys.argv = ["qdeploy", *sys.argv[1:]]
from qdeploy.cli import main
main()
"""


def light(*arguments: object) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return " ".join(answer.stdout.split())


def test_lower_pack_run_and_doctor(tmp_path):
    rng = np.random.default_rng(0)
    f = QonnxFile((6,))
    w = f.quant(f.constant(rng.integers(-1, 2, (6, 3))), 0.5, 2, narrow=1)
    f.save(f.node("MatMul", f.quant("x", 0.25, 4), w, name="/fc/MatMul"), tmp_path / "net.onnx")
    assert "fc" in light("lower", tmp_path / "net.onnx", "-o", tmp_path / "integer.npz")
    light("pack", tmp_path / "integer.npz", "-o", tmp_path / "cpu.onnx")
    x = rng.normal(size=(5, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    light("run", tmp_path / "cpu.onnx", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    network = lower(tmp_path / "net.onnx")
    assert np.array_equal(np.load(tmp_path / "y.npy"), network.real_output(run(network, x)))
    verified = light("verify", tmp_path / "net.onnx")
    assert "not executed in float32 (the package is not installed)" in verified
    assert "exact rationals 4 samples were executed and the integers are right" in verified
    assert "Verilator" in light("doctor")
    assert "digits-syq" in light("models")
    assert "compile" in light("--help")
