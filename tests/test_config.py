# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from qdeploy.config import compile_config, load_config
from qdeploy.errors import UserError

MODELS = Path(__file__).parent.parent / "models"


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid(path):
    assert load_config(path).name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'a'\n[compile]\nbord = 'pynq-z2'\n", "compile.bord"),
        ("name = 'a'\n[compile]\nfps = -1\n", r"compile\.fps: .* \(given: -1\)"),
        ("name = 'a'\n[training]\nspeed = 1\n", "training.speed"),
        ("name = 'Upper Case'\n", "name: "),
        ("name = ", "is not TOML"),
    ],
)
def test_wrong_keys_and_values_are_named(text, message, tmp_path):
    path = tmp_path / "build.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_config(path)
    assert caught.value.exit_code == 2


def test_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        load_config(tmp_path / "missing.toml")


def test_folding_is_keyed_by_layer():
    config = compile_config(folding={"conv1": {"pe": 4, "simd": 1}})
    assert config.folding["conv1"].pe == 4
    with pytest.raises(UserError, match=r"folding\.conv1\.pe"):
        compile_config(folding={"conv1": {"pe": 0, "simd": 1}})


def test_hls_layers_are_only_for_finn():
    with pytest.raises(UserError, match='only FINN can build layers with HLS: set emit = "finn"'):
        compile_config(hls=("conv1",))
    assert compile_config(hls=("conv1",), emit="finn").hls == ("conv1",)
