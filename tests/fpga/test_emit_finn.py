# SPDX-License-Identifier: Apache-2.0
"""The input of `finn build`, and what FINN makes of it up to the doors of Vivado."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("finn", reason="finn-plus is missing")

from branching_networks import (
    dense_network,
    picture_network,
    residual_network,
    separable_network,
)
from finn_build import FinnBuilds
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn, small_mlp

from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.finn_emission import EmittedModel, emit_finn
from qdeploy.fpga.finn_import import execute_onnx
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.integer import IntegerNetwork
from qdeploy.verification import random_data

BOARD = load_board("pynq-z2")
CNN = small_cnn(channels=(1, 8, 12))
FOLDED = fold(map_network(CNN), BOARD, 20_000)


def codes_of(network: IntegerNetwork) -> np.ndarray:
    return network.quantizer.quantize(random_data(network, 2).x)


def emit(
    directory: Path, network: IntegerNetwork = CNN, *hls: str, fps: float = 20_000
) -> EmittedModel:
    folded = FOLDED if network is CNN else fold(map_network(network), BOARD, fps)
    directory.mkdir(parents=True)
    return emit_finn(folded.model, network, BOARD, codes_of(network), directory, hls)


def stream_widths_agree(model: ModelWrapper) -> None:
    for node in model.graph.node:
        writer = getCustomOp(node)
        for index, name in enumerate(node.output):
            reader = model.find_consumer(name)
            if reader is not None:
                position = list(reader.input).index(name)
                width = getCustomOp(reader).get_instream_width(position)
                assert writer.get_outstream_width(index) == width, (node.name, reader.name)


@pytest.mark.parametrize("network", [CNN, small_mlp(), residual_network()], ids=lambda n: n.name)
def test_the_emitted_model_computes_the_emitted_outputs(
    network: IntegerNetwork, tmp_path: Path
) -> None:
    assert emit(tmp_path / "finn", network).hls_nodes == ()
    model = ModelWrapper(str(tmp_path / "finn" / "model.onnx"))
    frames, expected = (
        np.load(tmp_path / "finn" / f"{n}.npy") for n in ("input", "expected_output")
    )
    assert len(frames) == len(expected) == 2
    for frame, output in zip(frames, expected, strict=True):
        found = execute_onnx(model, {model.graph.input[0].name: frame[np.newaxis]})
        assert np.array_equal(found[model.graph.output[0].name][0], output)


def test_only_layers_that_are_asked_for_become_hls(tmp_path: Path) -> None:
    assert emit(tmp_path / "finn", CNN, "conv2", "pool", "fc").hls_nodes == ("conv2", "pool", "fc")
    model = ModelWrapper(str(tmp_path / "finn" / "model.onnx"))
    kinds = {node.name: node.op_type for node in model.graph.node if node.op_type.endswith("_hls")}
    assert kinds == {"conv2": "MVAU_hls", "pool": "Pool_hls", "fc": "MVAU_hls"}
    stream_widths_agree(model)
    for node in FOLDED.model.graph.node:
        assert node.op_type.endswith("_rtl"), "the folded model stays as it is"
    assert "conv2, pool, fc" in (tmp_path / "finn" / "README.md").read_text()


def test_hls_that_finn_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)conv9.*conv1, conv2, pool, fc"):
        emit(tmp_path / "finn", CNN, "conv9")


def test_hls_cannot_become_verilog_here(tmp_path: Path) -> None:
    emit(tmp_path / "finn", CNN, "conv2")
    model = ModelWrapper(str(tmp_path / "finn" / "model.onnx"))
    (tmp_path / "rtl").mkdir()
    with pytest.raises(UserError, match=r"(?s)conv2.*MVAU_hls.*finn build"):
        generate(model, CNN, BOARD, tmp_path / "rtl")


@dataclass
class BlockDesign:
    """What the Tcl of a stitched IP makes."""

    tcl: str

    @cached_property
    def files(self) -> list[Path]:
        return [Path(p) for p in re.findall(r"^add_files -norecurse (/\S+)", self.tcl, re.M)]

    @cached_property
    def cells(self) -> dict[str, str]:
        pattern = r"^create_bd_cell -type module -reference (\S+) (\S+)"
        return {cell: module for module, cell in re.findall(pattern, self.tcl, re.M)}

    @cached_property
    def connections(self) -> list[tuple[str, str]]:
        pattern = r"^connect_bd_intf_net \[get_bd_intf_pins (\S+)\] \[get_bd_intf_pins (\S+)\]"
        return re.findall(pattern, self.tcl, re.M)

    @cached_property
    def external(self) -> list[str]:
        pattern = r"^make_bd_intf_pins_external \[get_bd_intf_pins (\S+)\]"
        return re.findall(pattern, self.tcl, re.M)

    def modules(self) -> Counter[str]:
        """How often each module is defined in the files, a file named twice being one."""
        files = [p for p in dict.fromkeys(self.files) if "wrapper" not in p.name]
        texts = [p.read_text() for p in files]
        return Counter(name for text in texts for name in re.findall(r"^module (\w+)", text, re.M))


def check_block_design(design: BlockDesign, network: IntegerNetwork) -> None:
    """Every module once, every node a cell of its module, every stream port connected once."""
    cells = {cell: module for cell, module in design.cells.items() if cell != "sim_ctrl_0"}
    folded = FOLDED if network is CNN else fold(map_network(network), BOARD, 20_000)
    assert len(cells) == len(folded.model.graph.node) == len(set(cells.values()))
    defined = design.modules()
    assert max(defined.values()) == 1
    assert set(cells.values()) <= defined.keys()
    assert all(path.is_absolute() for path in design.files)
    ports = Counter([pin for pair in design.connections for pin in pair] + design.external)
    assert max(ports.values()) == 1
    texts = {p.stem: p.read_text() for p in design.files if p.name.endswith("_node.v")}
    expected = {
        f"{cell}/{port}"
        for cell, module in cells.items()
        for port in re.findall(r"(\w+_V)_TVALID\b,?$", texts[module], re.M)
    }
    assert ports.keys() == expected


@pytest.fixture(scope="module")
def finn_builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinnBuilds]:
    builds = FinnBuilds(tmp_path_factory.mktemp("builds"))
    yield builds
    builds.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [CNN, residual_network(), dense_network(), separable_network(), picture_network()],
    ids=lambda n: n.name,
)
def test_finn_builds_it_up_to_the_tcl_of_the_bitstream(
    network: IntegerNetwork, finn_builds: FinnBuilds, tmp_path: Path
) -> None:
    emit(tmp_path / "finn", network)
    calls = finn_builds.run(tmp_path / "finn")
    scripts = [(tool, script.name) for tool, script in calls]
    assert scripts[0] == ("vivado", "make_project.tcl")
    assert scripts[-1] == ("vivado", "ip_config.tcl")
    # HLS is only FINN's own IODMA of the shell, one in and one out.
    hls = [script.stem for tool, script in calls if tool == "vitis_hls"]
    assert len(hls) == 2
    assert all("IODMA_hls" in name for name in hls)
    # The stitched IP; and again in the shell by a worker process, between the two IODMAs.
    designs = [BlockDesign(s.read_text()) for _, s in calls if s.name == "make_project.tcl"]
    ours = [design for design in designs if "IODMA" not in design.tcl]
    assert len(ours) == 2
    for design in ours:
        check_block_design(design, network)
    assert "StreamingDataflowPartition_1" in calls[-1][1].read_text()


@pytest.mark.slow
def test_finn_reports_our_cycles_and_finds_our_memories(
    finn_builds: FinnBuilds, tmp_path: Path
) -> None:
    network = small_mlp(widths=(512, 64, 8))
    emit(tmp_path / "finn", network)
    calls = finn_builds.run(tmp_path / "finn")
    reports = tmp_path / "finn" / "build" / "report"
    cycles = json.loads((reports / "estimate_layer_cycles.json").read_text())
    folded = fold(map_network(network), BOARD, 20_000)
    ours = [getCustomOp(node).get_exp_cycles() for node in folded.model.graph.node]
    assert list(cycles.values()) == ours
    performance = json.loads((reports / "estimate_network_performance.json").read_text())
    assert performance["max_cycles"] == folded.cycles_per_frame
    resources = json.loads((reports / "estimate_layer_resources.json").read_text())
    assert resources["total"]["LUT"] > 0
    counts = json.loads((reports / "op_and_param_counts.json").read_text())
    macs = sum(v for key, v in counts["total"].items() if key.startswith("op_mac"))
    assert macs == 512 * 64 + 64 * 8
    design = BlockDesign(calls[0][1].read_text())
    contents = [path for path in design.files if path.suffix == ".mem"]
    assert contents
    for path in contents:
        assert path.is_file()
        readers = [p for p in design.files if p.suffix == ".v" and "wrapper" not in p.name]
        assert any(f'$readmemh("{path}"' in p.read_text() for p in readers)


@pytest.mark.slow
def test_finn_generates_the_hls_layers_too(finn_builds: FinnBuilds, tmp_path: Path) -> None:
    emit(tmp_path / "finn", CNN, "conv2", "fc")
    calls = finn_builds.run(tmp_path / "finn")
    hls = [script.stem for tool, script in calls if tool == "vitis_hls"]
    assert sum("MVAU_hls" in name for name in hls) == 2
    assert sum("IODMA_hls" in name for name in hls) == 2
    assert len(hls) == 4
