# SPDX-License-Identifier: Apache-2.0
"""What is in the file, and what ONNX Runtime makes of it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from random_networks import one_node_network, plane
from sample_networks import small_cnn, small_mlp

from qdeploy.cpu import information_bits, pack
from qdeploy.errors import UserError
from qdeploy.integer import (
    Convolution,
    IntegerNetwork,
    Linear,
    Plane,
    Threshold,
    ValueRange,
    Weights,
)


def optimised(path: Path, directory: Path) -> onnx.ModelProto:
    """What ONNX Runtime makes of the file when it loads it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(directory / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def layer_network(channels: int, high: int, kinds: tuple[str, ...]) -> IntegerNetwork:
    rng = np.random.default_rng(0)
    planes = tuple(plane(rng, (8, channels, 3, 3), kind, "pixel") for kind in kinds)
    node = Convolution(name="conv", input="x", output="conv", weights=Weights(planes))
    return one_node_network(node, (channels, 4, 4), ValueRange(0, high))


@pytest.mark.parametrize(
    "network",
    [
        small_cnn(codes="ternary"),
        small_cnn(codes="binary"),
        small_mlp(),
        layer_network(4, 3, ("binary", "int3", "int8")),
        layer_network(128, 255, ("ternary",)),  # in pieces
        layer_network(4, 2**14, ("int4",)),  # float64
    ],
)
def test_expansion_is_folded_at_load(network: IntegerNetwork, tmp_path: Path) -> None:
    path = pack(network, tmp_path / "cpu.onnx").path
    (function,) = onnx.load(path).functions
    assert {"Div", "Mod", "Gather"} <= {node.op_type for node in function.node}
    graph = optimised(path, tmp_path).graph
    assert graph.node
    assert {node.op_type for node in graph.node}.isdisjoint({"Div", "Mod", "Slice", "Network"})
    constant = {tensor.name for tensor in graph.initializer}
    assert all(set(node.input) - constant for node in graph.node)


@pytest.mark.parametrize("codes", ["binary", "ternary", "int3"])
def test_file_size(codes: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = plane(rng, (256, 256), codes, "layer").codes
    weights = Weights((Plane(values, np.ones((1, 1), np.int64)),))
    node = Linear(name="fc", input="x", output="fc", weights=weights)
    network = one_node_network(node, (256,), ValueRange(0, 1))
    packed = pack(network, tmp_path / "cpu.onnx")
    assert packed.file_bytes == packed.path.stat().st_size
    assert packed.float_bytes == 4 * 256 * 256
    bits = {"binary": 1, "ternary": 2, "int3": 3}[codes]
    assert packed.weight_bytes <= 256 * 256 * bits / 8
    content = onnx.load(packed.path).graph.initializer
    assert packed.weight_bytes == max(len(tensor.raw_data) for tensor in content)
    # The graph itself takes about as much for a large layer as for a small one.
    assert packed.file_bytes <= information_bits(network) / 8 + 2560


def test_small_network_is_smaller_than_its_floats(tmp_path: Path) -> None:
    network = small_cnn(channels=(1, 16, 32))
    packed = pack(network, tmp_path / "cpu.onnx")
    assert packed.float_bytes == 4 * (9 * 16 + 9 * 16 * 32 + 512 * 10)
    assert packed.file_bytes < packed.float_bytes / 4
    assert packed.file_bytes < information_bits(network) / 8 + 6144


def test_unreachable_thresholds_take_no_wider_integers(tmp_path: Path) -> None:
    def size(thresholds: list[int]) -> int:
        node = Threshold(
            name="t",
            input="x",
            output="t",
            thresholds=np.array([thresholds]),
            base=np.zeros(1, np.int64),
            step=np.ones(1, np.int64),
        )
        network = one_node_network(node, (4,), ValueRange(0, 3))
        return pack(network, tmp_path / "cpu.onnx").file_bytes

    assert size([-(2**40), 1, 2, 2**40]) == size([0, 1, 2, 3])


def test_equal_networks_give_equal_files(tmp_path: Path) -> None:
    first, second = (pack(small_cnn(), tmp_path / f"{n}.onnx").path.read_bytes() for n in (1, 2))
    assert first == second


def test_only_the_file_is_left(tmp_path: Path) -> None:
    (tmp_path / "cpu.onnx").write_text("old")
    pack(small_mlp(), tmp_path / "cpu.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["cpu.onnx"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        pack(small_mlp(), tmp_path / "file" / "cpu.onnx")
