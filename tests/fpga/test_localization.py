# SPDX-License-Identifier: Apache-2.0
"""A defect in one layer of a generated design is found at the stream behind that layer."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from awkward_network import random_codes
from branching_networks import residual_network, signal_network
from sample_networks import small_cnn

from qdeploy.errors import InternalError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.design import load_design
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.graph import channels_last
from qdeploy.fpga.localization import first_difference, simulate_exactly
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import IntegerNetwork, Plane, Weights, run_codes

BOARD = load_board("pynq-z2")
NETWORK = small_cnn(2)


def design(network: IntegerNetwork, directory: Path) -> None:
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / 720)
    generate(folded.model, network, BOARD, directory)


def with_other_weight(network: IntegerNetwork, layer: str) -> IntegerNetwork:
    """Column 7 of the first row of a layer's weights (channel 3 of 4) is 0 instead of 1."""
    node = next(node for node in network.nodes if node.name == layer)
    plane = node.weights.planes[0]
    codes = plane.codes.copy()
    assert codes[0, 3, 0, 1] == 1
    codes[0, 3, 0, 1] = 0
    other = replace(node, weights=Weights((Plane(codes, plane.multipliers),)))
    return replace(network, nodes=tuple(other if n is node else n for n in network.nodes))


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rtl")
    design(NETWORK, directory)
    return directory


def test_a_wrong_weight_names_its_layer_and_the_first_wrong_value(
    rtl: Path, tmp_path: Path
) -> None:
    shutil.copytree(rtl, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "conv2_unit_weights.v"
    text = file.read_text()
    words = re.search(r"WORDS = (\d+)'h([0-9a-f]+);", text)
    assert words is not None
    node = next(node for node in load_design(tmp_path).nodes if node.name == "conv2")
    assert node.pe is not None
    assert node.simd is not None
    # Of a row in a word, `simd` bits say which codes are not 0, the next ones which are negative.
    bit = 7 // node.simd * (node.pe * 2 * node.simd) + 7 % node.simd
    other = f"WORDS = {words[1]}'h{int(words[2], 16) ^ (1 << bit):x};"
    file.write_text(text.replace(words[0], other))

    codes = random_codes(NETWORK, 12)
    reference, wrong = (run_codes(n, codes) for n in (NETWORK, with_other_weight(NETWORK, "conv2")))
    tensor = next(node.output for node in NETWORK.nodes if node.name == "act2")
    expected, got = (channels_last(tensors[tensor]) for tensors in (reference, wrong))
    outputs = [tensors[NETWORK.output] for tensors in (reference, wrong)]
    frame = int(np.flatnonzero((outputs[0] != outputs[1]).any(axis=1))[0])
    start = max(0, frame - 3)  # the frames that are simulated once more
    differences = np.argwhere(expected[start:] != got[start:])
    n, y, x, channel = (int(i) for i in differences[0])
    place = f"frame {start + n}, y {y}, x {x}, channel {channel}"
    values = expected[start + n, y, x, channel], got[start + n, y, x, channel]

    accelerator = SimulatedAccelerator(tmp_path, build_simulator(tmp_path, tmp_path), NETWORK)
    with pytest.raises(InternalError) as caught:
        simulate_exactly(accelerator, codes, outputs[0], "the design")
    assert re.match(r"the design differs from the integer reference in \d+", str(caught.value))
    found = f"first wrong layer 'conv2' (tensor {tensor}): {place}: expected %d, got %d" % values
    assert found in str(caught.value)


def test_a_standstill_says_how_far_the_words_got(rtl: Path, tmp_path: Path) -> None:
    shutil.copytree(rtl, tmp_path, dirs_exist_ok=True)
    top = next(tmp_path.glob("*_top.v"))
    text = top.read_text()
    offer = r"(conv2_instance \(.*?in0_V_TVALID\()\w+"
    top.write_text(re.sub(offer, r"\g<1>1'b0", text, flags=re.DOTALL))
    message = first_difference(tmp_path, NETWORK, random_codes(NETWORK, 2))
    assert "no stream between layers carries a wrong value" in message
    moved = {name: int(count) for name, count in re.findall(r"(\w+) (\d+) of \d+", message)}
    tensors = {node.name: node.output for node in NETWORK.nodes}
    assert moved[tensors["act1"]] > 0
    assert moved[tensors["act2"]] == 0


@pytest.mark.parametrize("network", [residual_network(), signal_network()], ids=lambda n: n.name)
def test_every_stream_of_a_right_design_carries_the_tensor_of_the_reference(
    network: IntegerNetwork, tmp_path: Path
) -> None:
    design(network, tmp_path)
    message = first_difference(tmp_path, network, random_codes(network, 2), output_stall=0.5)
    counts = re.findall(r"(\d+) of (\d+)", message)
    assert len(counts) >= 5
    assert all(moved == words for moved, words in counts)
