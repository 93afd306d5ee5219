# SPDX-License-Identifier: Apache-2.0
"""The comparison of a packed model with the numpy reference."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qdeploy import integer
from qdeploy.cpu import Session, pack, to_onnx
from qdeploy.integer import IntegerNetwork


def assert_exact(network: IntegerNetwork, x: np.ndarray, *, fast: bool = True) -> None:
    """Both forms (or the portable one) of the packed model give the reference's outputs."""
    expected = integer.run(network, x)
    for session in sessions(network, fast=fast):
        got = session.run_integers(x)
        assert got.dtype == np.int64
        assert np.array_equal(got, expected)
        real = session.run(x)
        assert real.dtype == np.float32
        assert np.array_equal(real, network.real_output(expected))


def sessions(network: IntegerNetwork, *, fast: bool = True) -> list[Session]:
    """The fast form, if wanted, and the portable one."""
    forms = (False, True) if fast else (True,)
    with TemporaryDirectory() as directory:
        path = pack(network, Path(directory) / "cpu.onnx").path
        return [Session(path, threads=1, portable=portable) for portable in forms]


def operators(network: IntegerNetwork) -> Counter[str]:
    return Counter(node.op_type for node in to_onnx(network).functions[0].node)
