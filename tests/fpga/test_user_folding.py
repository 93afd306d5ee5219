# SPDX-License-Identifier: Apache-2.0
"""A build file may say how a layer is folded; what is illegal is refused with what is nearest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx_files import QonnxFile

from qdeploy import integer, pipeline
from qdeploy.build_stages import map_stage
from qdeploy.config import CompileConfig, compile_config
from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.lowering import lower
from qdeploy.stages import Outcome

# What a user may write behind "folding =", and what the message must name.
ILLEGAL = [
    ({"conv2": {"pe": 4, "simd": 8}}, "conv2", "PE = 4 does not divide its 6 outputs", "3 and 6"),
    ({"conv2": {"pe": 3, "simd": 16}}, "conv2", "SIMD = 16 does not divide its 72 in", "12 and 18"),
    (
        {"conv2": {"pe": 3, "simd": 16, "scale_form": "post"}},
        "conv2",
        "SIMD = 16 does not divide its 8 inputs that share a multiplier",
        "8",
    ),
    ({"fc": {"pe": 1, "simd": 36}}, "fc", "SIMD = 36 does not divide its 24 inputs", "24"),
    (
        {"conv3": {"pe": 1, "simd": 1}},
        "",
        "'conv3', which has no matrix-vector",
        "conv1, conv2, fc",
    ),
    ({"act1": {"pe": 1, "simd": 1}}, "", "'act1', which has no matrix-vector", "conv1, conv2, fc"),
    (
        {"fc": {"pe": 5, "simd": 12, "memory": "constant"}},
        "fc",
        "all 5 outputs and 24 inputs at once, not PE = 5 and SIMD = 12",
        "PE = 5 and SIMD = 24, or memory 'block' or 'distributed'",
    ),
    (
        {"wide": {"pe": 600, "simd": 20, "memory": "constant"}},
        "wide",
        "constant weights are at most 10,000, it has 12,000",
        "memory 'block' or 'distributed'",
    ),
    (
        {"fc": {"pe": 5, "simd": 24, "memory": "block"}},
        "fc",
        "a single word",
        "a smaller PE or SIMD",
    ),
    (
        {"conv2": {"pe": 6, "simd": 72, "memory": "constant", "scale_form": "post"}},
        "conv2",
        "its scales have form 'post'",
        "or use 'recode', or use memory 'block' or 'distributed'",
    ),
    (
        {"conv2": {"pe": 6, "simd": 72, "memory": "constant", "scale_form": "pre"}},
        "conv2",
        "its scales have form 'pre'",
        "or use 'recode', or use memory 'block' or 'distributed'",
    ),
    (
        {"fc": {"pe": 1, "simd": 1, "scale_form": "pre"}},
        "fc",
        "no scales inside its sums that could have the form 'pre'",
        "leave out its scale_form",
    ),
    (
        {"conv1": {"pe": 1, "simd": 1, "scale_form": "post"}},
        "conv1",
        "no scales inside its sums that could have the form 'post'",
        "leave out its scale_form",
    ),
]
# The same behind "products =", for layers that `folding` may fold, too.
ILLEGAL_PRODUCTS = [
    ({}, {"fc": "dsp"}, "fc", "do not multiply its ternary weights of 2 bits", "be 'lut'"),
    ({}, {"act1": "dsp"}, "", "'products' names 'act1'", "conv1, conv2, fc"),
    (
        {"conv2": {"pe": 6, "simd": 8, "scale_form": "post"}},
        {"conv2": "dsp"},
        "conv2",
        "do not multiply its ternary weights",
        "be 'lut'",
    ),
    (
        {"conv2": {"pe": 6, "simd": 72, "memory": "constant"}},
        {"conv2": "dsp"},
        "conv2",
        "constant weights are logic, they take no DSP slices",
        "use products 'lut', or memory 'block' or 'distributed'",
    ),
]


PIXELS, ROWS_AND_PIXELS = (1, 1, 3, 3), (6, 1, 3, 3)


def scaled_network(path: Path, scaled: Mapping[str, tuple[int, ...]]) -> Path:
    """conv1 (8 channels) - conv2 (6 channels) - fc; scales of these shapes in convolutions."""
    rng = np.random.default_rng(0)
    f = QonnxFile((1, 6, 6))
    x = f.quant("x", 0.25, 2, signed=0, name="/image/Quant")
    for name, inputs, outputs in (("conv1", 1, 8), ("conv2", 8, 6)):
        shape = scaled.get(name)
        scales = rng.integers(1, 200, shape) / 256 if shape else np.array(0.5)
        codes = rng.choice([-1, 0, 1], (outputs, inputs, 3, 3))
        w = f.quant(f.constant(codes * scales), scales, 2, narrow=1)
        x = f.node("Conv", x, w, name=f"/{name}/Conv")
        x = f.quant(f.node("Relu", x), 0.25, 2, signed=0, name=f"/{name.replace('conv', 'act')}/Q")
    x = f.node("Flatten", x, name="/flatten/Flatten")
    w = f.quant(f.constant(rng.choice([-0.5, 0, 0.5], (24, 5))), 0.5, 2, narrow=1)
    return f.save(f.node("MatMul", x, w, name="/fc/MatMul"), path)


def wide_network(path: Path) -> Path:
    rng = np.random.default_rng(0)
    f = QonnxFile((20,))
    x = f.quant("x", 0.25, 2, signed=0, name="/image/Quant")
    w = f.quant(f.constant(rng.choice([-0.5, 0, 0.5], (20, 600))), 0.5, 2, narrow=1)
    return f.save(f.node("MatMul", x, w, name="/wide/MatMul"), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folding")
    scaled_network(folder / "scaled.onnx", {"conv2": PIXELS})
    scaled_network(folder / "narrow.onnx", {"conv1": PIXELS, "conv2": ROWS_AND_PIXELS})
    wide_network(folder / "wide.onnx")
    return folder


def compile_with(
    folder: Path, folding: Mapping[str, object], name: str = "scaled", **options: object
) -> None:
    config = CompileConfig.model_validate({"folding": folding, **options})

    def progress(stage: str, outcome: Outcome | None) -> None:
        assert outcome is None or stage in ("lower", "pack")

    pipeline.compile_model(folder / f"{name}.onnx", config, folder / name, progress, None)


@pytest.mark.parametrize(("folding", "layer", "message", "remedy"), ILLEGAL)
def test_an_illegal_folding_is_refused_with_the_nearest_legal_one(
    folder: Path, folding: dict[str, object], layer: str, message: str, remedy: str
) -> None:
    with pytest.raises(UserError) as caught:
        compile_with(folder, folding, "wide" if "wide" in folding else "scaled")
    assert message in str(caught.value)
    assert caught.value.layer == (layer or None)
    assert caught.value.remedy.endswith(remedy)


@pytest.mark.parametrize(("folding", "products", "layer", "message", "remedy"), ILLEGAL_PRODUCTS)
def test_products_that_a_layer_cannot_have_are_refused(
    folder: Path,
    folding: dict[str, object],
    products: dict[str, str],
    layer: str,
    message: str,
    remedy: str,
) -> None:
    with pytest.raises(UserError) as caught:
        compile_with(folder, folding, products=products)
    assert message in str(caught.value)
    assert caught.value.layer == (layer or None)
    assert caught.value.remedy.endswith(remedy)


@pytest.mark.parametrize("form", ["post", "pre"])
def test_a_form_that_a_layer_cannot_have_is_refused(folder: Path, form: str) -> None:
    """conv1 has a multiplier for every column, conv2 others for every row."""
    layer = {"post": "conv1", "pre": "conv2"}[form]
    with pytest.raises(UserError, match="scales cannot have the form") as caught:
        compile_with(folder, {}, "narrow", scale_form=form)
    assert caught.value.layer == layer
    assert "'recode'" in caught.value.remedy


@pytest.mark.parametrize(
    ("layer", "pe", "simd", "memory", "form"),
    [
        ("conv2", 6, 72, "constant", "recode"),
        ("conv2", 2, 4, "block", None),
        ("conv2", 3, 24, "distributed", None),
        ("fc", 5, 24, "constant", "none"),
        ("fc", 5, 24, "distributed", "none"),
        ("fc", 1, 2, "block", "none"),
    ],
)
def test_a_legal_folding_is_taken(
    folder: Path, tmp_path: Path, layer: str, pe: int, simd: int, memory: str, form: str | None
) -> None:
    """Also by FINN's node-by-node execution, which the stage compares with the reference."""
    integer.save(lower(folder / "scaled.onnx"), tmp_path / "integer.npz")
    config = CompileConfig.model_validate(
        {"folding": {layer: {"pe": pe, "simd": simd, "memory": memory}}}
    )
    stage = map_stage(tmp_path / "integer.npz", config, load_board("pynq-z2"))
    stage.run(tmp_path)
    node = ModelWrapper(str(tmp_path / "folded.onnx")).get_node_from_name(layer)
    operator = getCustomOp(node)
    names = ("PE", "SIMD", "weight_memory")
    assert tuple(map(operator.get_nodeattr, names)) == (pe, simd, memory)
    assert form in (None, operator.get_nodeattr("scale_form"))


def test_unknown_memories_are_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"'block', 'distributed' or 'constant'"):
        compile_config(folding={"fc": {"pe": 1, "simd": 1, "memory": "ultra"}})
