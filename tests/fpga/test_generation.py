# SPDX-License-Identifier: Apache-2.0
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from awkward_network import awkward_network
from sample_networks import small_cnn

from qdeploy.errors import UserError
from qdeploy.files import content_hash
from qdeploy.fpga.board import hardware_directory, load_board
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.memory import contents_files, write_memory
from qdeploy.integer import IntegerNetwork

BOARD = load_board("pynq-z2")
# What looks like an instance and is declared nowhere: cells of the FPGA, and keywords.
PRIMITIVES = {"LUT6", "LUT6_2", "CARRY4", "FDRE", "DSP48E1", "MUXF7", "MUXF8"}
PRIMITIVES |= {"function", "generate"}


def design(network: IntegerNetwork, directory: Path, cycles: int = 600) -> Design:
    directory.mkdir(exist_ok=True)
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / cycles)
    return generate(folded.model, network, BOARD, directory)


def test_the_folder_is_complete_and_names_nothing_outside(tmp_path: Path) -> None:
    made = design(small_cnn(), tmp_path / "rtl")
    files = {*made.files, *made.memories, "design.json"}
    assert {p.name for p in (tmp_path / "rtl").iterdir()} == files
    texts = {name: (tmp_path / "rtl" / name).read_text() for name in made.files}
    declared: set[str] = set()
    for name, text in texts.items():
        assert str(tmp_path) not in text
        assert str(hardware_directory()) not in text
        used = set(re.findall(r"^  (\w+) (?:#\(|\w+ \()", text, re.M)) - PRIMITIVES
        declared |= set(re.findall(r"^module (\w+)", text, re.M))
        assert used <= declared, name  # compile order: what a module uses does not come later
    assert made.top in declared
    assert str(tmp_path) not in (tmp_path / "rtl" / "design.json").read_text()


def test_equal_inputs_give_equal_files(tmp_path: Path) -> None:
    first, second = (design(small_cnn(), tmp_path / name) for name in "ab")
    assert first == second
    for name in (*first.files, *first.memories, "design.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_description_says_how_to_talk_to_the_design(tmp_path: Path) -> None:
    made = design(small_cnn(), tmp_path)
    assert load_design(tmp_path) == made
    assert made.input.shape == (8, 8, 1)
    assert (made.input.bits, made.input.signed, made.input.words_per_frame) == (5, False, 64)
    assert made.output.shape == (10,)
    assert made.output.signed
    assert made.output.elements_per_word * made.output.words_per_frame == 10
    assert made.cycles_per_frame == max(node.cycles for node in made.nodes) == 576
    conv2 = next(node for node in made.nodes if node.name == "conv2")
    assert (conv2.weight_bits, conv2.scale_form, conv2.layer) == (2, "post", "conv2")
    assert conv2.finn_luts > 0
    assert {node.layer for node in made.nodes} == {"conv1", "conv2", "pool", "fc"}


def test_weights_of_a_scaled_layer_are_stored_as_codes(tmp_path: Path) -> None:
    design(small_cnn(), tmp_path)
    network = small_cnn()
    conv2 = next(node for node in network.nodes if node.name == "conv2")
    source = tmp_path / "conv2_unit_weights.v"
    words = re.findall(r"WORDS = \d+'h([0-9a-f]+);", source.read_text())
    for file in contents_files(source):
        words += file.read_text().split()
    bits = sum(int(word, 16).bit_count() for word in words)
    codes = conv2.weights.planes[0].codes
    assert bits == (codes == 1).sum() + 2 * (codes == -1).sum()  # not zero, negative


def test_contents_of_block_rams_lie_in_files_of_known_hash(tmp_path: Path) -> None:
    words = [1 << bit for bit in range(8)]
    write_memory(tmp_path / "weights.v", "weights", words, 8, "block")
    file = tmp_path / "weights.mem"
    assert [int(line, 16) for line in file.read_text().split()] == words
    assert contents_files(tmp_path / "weights.v") == [file]
    made = design(small_cnn(), tmp_path)
    described = made.model_copy(update={"memories": {"weights.mem": content_hash(file)}})
    described.save(tmp_path)
    assert load_design(tmp_path) == described
    file.write_text("03\n00\nff\n12\n")
    with pytest.raises(UserError, match=r"weights\.mem.* is changed"):
        load_design(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match=r"weights\.mem.* is missing"):
        load_design(tmp_path)


def test_a_name_cannot_leave_its_comment(tmp_path: Path) -> None:
    network = small_cnn()
    nasty = "a\nendmodule //"
    nodes = tuple(replace(n, name=nasty) if n.name == "act1" else n for n in network.nodes)
    made = design(replace(network, nodes=nodes, name="b\nc"), tmp_path)
    assert made.top == "b_c_top"
    for name in made.files:
        for line in (tmp_path / name).read_text().splitlines():
            assert not line.startswith("endmodule //")


@pytest.mark.parametrize("damage", ["", "{}", "[]", "not json"])
def test_a_damaged_description_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "design.json").write_text(damage)
    with pytest.raises(UserError, match="is no design"):
        load_design(tmp_path)


def test_a_description_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    design(awkward_network(), tmp_path)
    document = json.loads((tmp_path / "design.json").read_text())
    document["files"].append("../other.v")
    (tmp_path / "design.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="outside"):
        load_design(tmp_path)
