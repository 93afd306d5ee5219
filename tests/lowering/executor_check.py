# SPDX-License-Identifier: Apache-2.0
"""Lowered files against the public executor."""

import numpy as np
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session, pack
from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower


def weights(f: QonnxFile, rng: np.random.Generator, shape: tuple[int, ...], scale: object = 0.5):
    codes = rng.integers(-1, 2, shape)
    return f.quant(f.constant(codes * np.asarray(scale)), scale, 2, narrow=1)


def check(f: QonnxFile, output: str, tmp_path, shape, rank: int) -> IntegerNetwork:
    """Random inputs on a grid of 1/4: every float32 step of the executor is exact.

    The CPU back end must give the same integers.
    """
    path = f.save(output, tmp_path / "net.onnx", rank=rank)
    x = (np.random.default_rng(7).integers(-12, 13, (12, *shape)) / 4).astype(np.float32)
    network = lower(path)
    integers = run(network, x)
    assert np.array_equal(network.real_output(integers), execute(path, x))
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)
    return network
