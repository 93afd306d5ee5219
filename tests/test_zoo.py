# SPDX-License-Identifier: Apache-2.0
"""The zoo: every model computes what the network in torch did, on the CPU and in simulation."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qdeploy import integer
from qdeploy.cli import app
from qdeploy.config import load_config
from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.lowering import lower
from qdeploy.training import datasets
from qdeploy.verification import Samples, compare_source
from qdeploy.zoo import load_zoo, model_file, models_folder

ZOO = {model.name: model for model in load_zoo()}
# Of the test samples, for the reference.
SAMPLES = 100
# Of the simulation: a low rate is a small accelerator.
FRAMES, FPS = 3, 2000
MEGABYTE = 1_000_000


@cache
def samples_of(dataset):
    """Inputs and classes of the test set, if its files are here."""
    try:
        data = datasets.load(dataset)
    except UserError as missing:
        pytest.skip(missing.problem)
    return data.x_test, data.y_test


@pytest.mark.parametrize("name", ZOO)
def test_integers_predict_what_torch_did(name, tmp_path):
    model = ZOO[name]
    x, y = samples_of(model.dataset)
    network = lower(model.file)
    packed = pack(network, tmp_path / "cpu.onnx")
    assert (packed.float_bytes, packed.weight_bytes) == (model.float_bytes, model.packed_bytes)
    integers = Session(tmp_path / "cpu.onnx").run_integers(x)
    classes = network.real_output(integers).argmax(axis=-1)
    assert (classes == y).mean() == model.accuracy
    assert hashlib.sha256(classes.astype(np.uint8).tobytes()).hexdigest() == model.predictions
    some = x[:SAMPLES]
    reference = integer.run(network, some)
    assert np.array_equal(integers[:SAMPLES], reference)
    portable = Session(tmp_path / "cpu.onnx", portable=True)
    assert np.array_equal(portable.run_integers(some), reference)


@pytest.mark.parametrize("name", ZOO)
def test_integers_are_what_the_file_means(name):
    model = ZOO[name]
    x = samples_of(model.dataset)[0][:1]
    comparison, rescaling = compare_source(model.file, lower(model.file), Samples(x, None))
    assert (comparison.exact_frames, comparison.rescaled, rescaling) == (1, False, None)
    assert comparison.differing == comparison.proven
    if model.accelerator:  # qonnx executes no LSTM
        assert comparison.frames == 1


@pytest.mark.parametrize("name", [name for name, model in ZOO.items() if model.accelerator])
def test_simulated_accelerator(name, tmp_path):
    board = load_board("pynq-z2")
    network = lower(ZOO[name].file)
    fps = min(FPS, load_config(models_folder() / f"{name}.toml").compile.fps)
    folded = fold(map_network(network), board, fps)
    generate(folded.model, network, board, tmp_path)
    simulator = build_simulator(tmp_path, tmp_path)
    x = samples_of(ZOO[name].dataset)[0][:FRAMES]
    simulated = SimulatedAccelerator(tmp_path, simulator, network).run_integers(x)
    assert np.array_equal(simulated, integer.run(network, x))


def test_every_model_has_its_build_file():
    recipes = {name: load_config(models_folder() / f"{name}.toml") for name in ZOO}
    sizes = [model.file.stat().st_size for model in ZOO.values()]
    assert max(sizes) < 2 * MEGABYTE
    assert sum(sizes) < 12 * MEGABYTE
    page = (models_folder() / "README.md").read_text()
    for name, model in ZOO.items():
        assert model.network == recipes[name].network.name
        assert f"| {' | '.join(model.cells())} |" in page
    methods = {recipe.quantization.method for recipe in recipes.values()}
    assert methods == {"syq", "laq", "retraining", "alq", "fractional-bits"}


def test_names_stand_for_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("digits-syq", "models/digits-syq"):
        assert model_file(Path(path)) == ZOO["digits-syq"].file
    Path("digits-syq").write_text("a file of that name comes first")
    assert model_file(Path("digits-syq")) == Path("digits-syq")
    assert model_file(Path("missing.onnx")) == Path("missing.onnx")
    with pytest.raises(UserError, match=r"no model 'digits'.*(?s:.)*digits-alq, .*digits-syq"):
        model_file(Path("digits"))


def test_command_lists_all():
    answer = CliRunner().invoke(app, ["models"])
    assert answer.exit_code == 0
    assert all(f"\n{name} " in answer.stdout for name in ZOO)
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert {model["name"]: model["accuracy"] for model in listed} == {
        name: model.accuracy for name, model in ZOO.items()
    }
