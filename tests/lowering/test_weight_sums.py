# SPDX-License-Identifier: Apache-2.0
"""Weights that are sums of quantized constants become the planes of one layer."""

import numpy as np
import pytest
from comparison import compare
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.integer import IntegerNetwork
from qdeploy.lowering import lower

RNG = np.random.default_rng(0)


def plane(f: QonnxFile, codes: str, shape: tuple[int, ...], grid: tuple[int, ...]) -> str:
    """Codes of a book with scales a · 2^-6 of 8 bits on a grid that broadcasts in blocks."""
    scale = RNG.integers(1, 256, grid) / 64
    scale = scale.repeat(shape[1] // grid[1], axis=1) if grid[1] > 1 else scale
    low = {"binary": -1, "bits": 0, "ternary": -1}[codes]
    values = RNG.integers(low, 2, shape)
    if codes == "binary":
        return f.bipolar(f.constant(np.where(values, values, 1) * scale), scale)
    if codes == "bits":
        return f.quant(f.constant(values * scale), scale, 1, signed=0)
    return f.quant(f.constant(values * scale), scale, 2, narrow=1)


def sum_network(layer: str, operator: str, *planes: tuple[str, tuple[int, ...]]) -> QonnxFile:
    """One layer of 8 input channels whose weights are a sum of planes (codes, grid of scales)."""
    image = layer.startswith("Conv")
    f = QonnxFile((8, 5, 5) if image else (8,))
    shape = {"Conv": (6, 8, 3, 3), "ConvTranspose": (8, 6, 3, 3)}.get(layer, (6, 8))
    terms = [plane(f, codes, shape, grid) for codes, grid in planes]
    while len(terms) > 1:
        inputs = terms if operator == "Sum" else terms[:2]
        terms = [f.node(operator, *inputs, name="/layer/Add"), *terms[len(inputs) :]]
    (weights,) = terms
    x = f.quant("x", 0.25, 3)
    if layer == "Gemm":
        y = f.node("Gemm", x, weights, f.constant(RNG.normal(size=6)), transB=1)
    elif layer == "MatMul":
        y = f.node("MatMul", x, f.node("Transpose", weights, perm=[1, 0]))
    else:
        y = f.node(layer, x, weights, name=f"/layer/{layer}")
    f.output = f.quant(f.node("Relu", y), 4.0, 3, signed=0)
    return f


def checked(f: QonnxFile, tmp_path) -> IntegerNetwork:
    network = compare(f.model(f.output, rank=len(f.input_shape) + 1), tmp_path, samples=4)
    assert network is not None
    return network


LAYERS = [
    ("Conv", "Add", ("binary", (6, 1, 1, 1)), ("binary", (6, 1, 1, 1))),
    ("Conv", "Sum", ("bits", (6, 2, 1, 1)), ("ternary", (6, 1, 3, 3)), ("binary", (1, 4, 1, 1))),
    ("ConvTranspose", "Sub", ("binary", (1, 1, 3, 3)), ("bits", (1, 6, 1, 1))),
    ("Gemm", "Add", ("binary", (6, 4)), ("ternary", (6, 2)), ("bits", (6, 1))),
    ("MatMul", "Sum", ("binary", (6, 1)), ("bits", (6, 1))),
]


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{case[0]} of {len(case) - 2}")
def test_sums_are_planes(case, tmp_path):
    network = checked(sum_network(*case), tmp_path)
    layer = next(node for node in network.nodes if hasattr(node, "weights"))
    assert len(layer.weights.planes) == len(case) - 2
    for kept in layer.weights.planes:
        assert kept.multipliers.max() < 1 << 8
        assert set(np.unique(kept.codes)) <= {-1, 0, 1}


def test_the_common_divisor_of_all_planes_leaves_the_sum(tmp_path):
    f = QonnxFile((4,))
    first = f.bipolar(f.constant(RNG.normal(size=(2, 4))), [[0.75], [5.0]])
    second = f.bipolar(f.constant(RNG.normal(size=(2, 4))), [[0.5], [2.5]])
    weights = f.node("Mul", f.node("Add", first, second), f.constant([[3.0], [1.0]]))
    f.output = f.node("Gemm", f.quant("x", 0.5, 3), weights, transB=1)
    layer = checked(f, tmp_path).nodes[0]
    assert [p.multipliers.ravel().tolist() for p in layer.weights.planes] == [[3, 2], [2, 1]]


def test_explained(tmp_path):
    f = sum_network(*LAYERS[0])
    path = f.save(f.output, tmp_path / "net.onnx", rank=4)
    found = {n.name: n.became for part in explain(path).layers for n in part.nodes}
    assert found["/layer/Add"] == "the 2 planes stay apart: multi-bit weights"
    assert "binary + binary codes" in found["BipolarQuant_1"]


def test_planes_of_other_shapes_are_refused(tmp_path):
    f = QonnxFile((4,))
    first, second = (f.bipolar(f.constant(np.ones(shape)), 0.5) for shape in [(2, 4), (1, 4)])
    weights = f.node("Add", first, second, name="/fc/Add")
    y = f.node("Gemm", f.quant("x", 0.5, 3), weights, transB=1)
    with pytest.raises(UserError, match=r"2 planes .* \(2, 4\) and \(1, 4\)") as caught:
        lower(f.save(y, tmp_path / "net.onnx"))
    assert caught.value.layer == "fc"


def test_sums_that_double_are_refused(tmp_path):
    """Thirty nodes would make a billion planes."""
    f = QonnxFile((4,))
    weights = f.bipolar(f.constant(np.ones((2, 4))), 0.5)
    for _ in range(30):
        weights = f.node("Add", weights, weights)
    y = f.node("Gemm", f.quant("x", 0.5, 3), weights, transB=1)
    with pytest.raises(UserError, match="a sum of 32 planes"):
        lower(f.save(y, tmp_path / "net.onnx"))
