# SPDX-License-Identifier: Apache-2.0
"""Programs made ahead of time, in this process."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir
from sample_networks import small_cnn

import qdeploy.board
from qdeploy import integer
from qdeploy.board import Program
from qdeploy.cpu.kernels.code import Code
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.linking import link
from qdeploy.cpu.kernels.targets import NEON64, TARGETS, host_targets
from qdeploy.cpu.program.ahead_of_time import board_program
from qdeploy.errors import InternalError, UserError

NETWORK = small_cnn()
X = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board") / "program"
    path.write_bytes(board_program(NETWORK, host_targets()[0]))
    return path


def test_exact(path: Path) -> None:
    program, expected = Program(path), integer.run(NETWORK, X)
    for _ in range(2):
        assert np.array_equal(program.run_integers(X), expected)
        assert np.array_equal(program.run(X), NETWORK.real_output(expected))
    assert np.array_equal(program.run_integers(X[0]), expected[:1])
    assert program.run(X[:0]).shape == (0, 10)


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_functions_of_the_output(function: str, tmp_path: Path) -> None:
    network = replace(NETWORK, output_function=function)
    path = tmp_path / "program"
    path.write_bytes(board_program(network, host_targets()[0]))
    program, expected = Program(path), integer.run(network, X)
    assert np.array_equal(program.run_integers(X), expected)
    assert np.array_equal(program.run(X), network.real_output(expected))


@pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)
def test_every_target(target, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(board_program(NETWORK, target))
    assert np.array_equal(Program(path).run_integers(X), integer.run(NETWORK, X))


def test_same_bytes(path: Path) -> None:
    assert board_program(NETWORK, host_targets()[0]) == path.read_bytes()


def test_bad_inputs(path: Path) -> None:
    program = Program(path)
    with pytest.raises(UserError, match=r"\(2, 8, 8\).*\('N', 1, 8, 8\)"):
        program.run(np.zeros((2, 8, 8)))
    with pytest.raises(UserError, match="NaN"):
        program.run_integers(np.full((1, 1, 8, 8), np.nan))


@pytest.mark.parametrize("place", [0, 70, 5000, -1])
def test_changed_byte(place: int, path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    (tmp_path / "changed").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        Program(tmp_path / "changed")


def test_files_that_are_none(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be mapped"):
        Program(tmp_path / "missing")
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="cannot be mapped"):
        Program(tmp_path / "empty")
    (tmp_path / "half").write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match="damaged"):
        Program(tmp_path / "half")


def test_other_processor(tmp_path: Path) -> None:
    foreign = next(t for t in TARGETS if t.architecture != host_targets()[0].architecture)
    (tmp_path / "foreign").write_bytes(board_program(NETWORK, foreign))
    with pytest.raises(UserError, match=f"is for {foreign.architecture}, this machine is"):
        Program(tmp_path / "foreign")


def test_what_cannot_be_linked() -> None:
    module = ir.Module("calls")
    outside = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "elsewhere")
    code = Code(module, "start", [], public=True)
    code.call(outside, [])
    code.call(outside, [])
    code.end()
    with pytest.raises(InternalError, match="'elsewhere'"):
        link(compile_object(module, NEON64), "start")


def test_board_runs_old_python() -> None:
    for path in Path(qdeploy.board.__file__).parent.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))
