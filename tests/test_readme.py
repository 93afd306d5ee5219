# SPDX-License-Identifier: Apache-2.0
"""The example of README.md on networks of one's own runs as it is printed."""

import re
from pathlib import Path

import numpy as np
import pytest

import qdeploy
from qdeploy.training import datasets

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_an_own_network(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = (block for block in blocks if "qdeploy.fit" in block)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert names["history"][-1].metric > 0.9
    x = datasets.load("digits").x_test[:4]
    cpu, simulated = (qdeploy.load("build/own", device=device) for device in ("cpu", "sim"))
    assert np.array_equal(cpu.run_integers(x), simulated.run_integers(x))
    logits = names["twin"](names["torch"].from_numpy(x)).detach().numpy()
    assert np.allclose(cpu.run(x), logits, atol=1e-4)
