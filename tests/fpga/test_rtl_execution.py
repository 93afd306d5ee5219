# SPDX-License-Identifier: Apache-2.0
"""FINN's execution mode "rtlsim" of our operators, with Verilator in the place of its XSI."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("finn", reason="finn-plus is missing")

import finn.xsi
from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
from finn.transformation.fpgadataflow.prepare_rtlsim import PrepareRTLSim
from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn, small_mlp

from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.verification import verify_nodes
from qdeploy.integer import IntegerNetwork
from qdeploy.simulation.driver import StreamSimulator
from qdeploy.simulation.verilator import build_model
from qdeploy.verification import random_data

BOARD = load_board("pynq-z2")


def compile_sim_obj(
    top: str, sources: list[str], directory: Path, debug: bool, behavioural: bool
) -> tuple[Path, Path]:
    built = build_model([Path(source) for source in sources], top, directory / "xsim.dir")
    return directory, built.relative_to(directory)


def load_sim_obj(base: Path, relative: Path, trace: str) -> StreamSimulator:
    return StreamSimulator(base / relative)


def nothing(simulation: StreamSimulator) -> None:
    """Start and end of a run: a StreamSimulator resets and frees itself."""


def rtlsim_multi_io(
    simulation: StreamSimulator, streams: dict[str, Any], outputs: int, **_: Any
) -> int:
    size = simulation.input_bytes
    data = b"".join(int(word).to_bytes(size, "little") for word in streams["inputs"]["in0"])
    result = simulation.run(np.frombuffer(data, np.uint8).reshape(-1, size), outputs)
    streams["outputs"]["out0"] = [int.from_bytes(w.tobytes(), "little") for w in result.words]
    return result.cycles


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [small_mlp(activation_bits=1), small_cnn(size=4)], ids=lambda n: n.name
)
def test_every_node_computes_in_rtl_what_the_network_means(
    network: IntegerNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINN_BUILD_DIR", str(tmp_path))
    for name in ("compile_sim_obj", "load_sim_obj", "rtlsim_multi_io"):
        monkeypatch.setitem(vars(finn.xsi), name, globals()[name])
    for name in ("reset_rtlsim", "close_rtlsim"):
        monkeypatch.setitem(vars(finn.xsi), name, nothing)
    model = fold(map_network(network), BOARD, 200_000).model
    model = model.transform(PrepareIP(BOARD.part, 1e3 / BOARD.clock_mhz))
    for node in model.graph.node:  # FINN's stitching renames nodes after code generation
        node.name = f"partition_{node.name}"
    model = model.transform(PrepareRTLSim(num_workers=1)).transform(SetExecMode("rtlsim"))
    verify_nodes(model, network, network.quantizer.quantize(random_data(network, 2).x))
    for node in model.graph.node:
        assert getCustomOp(node).get_nodeattr("cycles_rtlsim") > 0, node.name
