# SPDX-License-Identifier: Apache-2.0
"""A folded graph as input of `finn build`: model, configuration, data to verify with, README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from qdeploy.errors import UserError
from qdeploy.fpga.board import Board
from qdeploy.fpga.finn_import import dataflow_performance
from qdeploy.fpga.finn_steps import step_use_qdeploy_operators
from qdeploy.fpga.graph import channels_last
from qdeploy.fpga.hls_layers import executable, use_hls
from qdeploy.fpga.solver.options import note_costs
from qdeploy.fpga.verification import verify_nodes
from qdeploy.integer import IntegerNetwork, Integers, run_codes

MODEL, CONFIGURATION = "model.onnx", "build.json"
STIMULUS, EXPECTED = "input.npy", "expected_output.npy"
# The model is mapped, folded and has its FIFOs: what is left is FINN's way from there to a bitfile.
# (step_generate_hardware would size the FIFOs again, step_measure_rtlsim_performance needs that.)
STEPS = (
    f"{step_use_qdeploy_operators.__module__}.{step_use_qdeploy_operators.__name__}",
    "step_create_dataflow_partition",
    "step_generate_estimate_reports",
    "step_hw_codegen",
    "step_hw_ipgen",
    "step_create_stitched_ip",
    "step_prepare_synthesis",
    "step_synthesize_bitfile",
    "step_make_driver",
    "step_deployment_package",
)
OUTPUTS = (
    "estimate_reports",
    "stitched_ip",
    "bitfile",
    "pynq_driver",
    "deployment_package",
)
_README = """\
# {name} for FINN

`{model}` is the network as a FINN dataflow graph for {board} at {clock:g} MHz: operators of
qdeploy's Verilog library, folded, with width converters and FIFOs. Integers in and out, channels
last. FINN's own analysis expects a frame every {cycles:,} cycles ({fps:,.0f} frames/s).

With finn-plus {finn}, qdeploy {qdeploy} in the same environment, and Vivado and Vitis HLS
installed:

    cd {folder}
    finn build {configuration} {model}

Run it in this folder: `{stimulus}` and `{expected}` are found relative to it. FINN compares the
stitched design with them in its RTL simulator; the results lie in `{output}`.

{hls}
FINN's Zynq shell moves data with its own IODMA, which is HLS whatever the model is made of.
"""


@dataclass(frozen=True)
class EmittedModel:
    """What `emit_finn` wrote.

    Attributes:
        directory: its folder.
        hls_nodes: the nodes that FINN makes with Vitis HLS.
    """

    directory: Path
    hls_nodes: tuple[str, ...]


def emit_finn(
    model: ModelWrapper,
    network: IntegerNetwork,
    board: Board,
    codes: Integers,
    directory: Path,
    hls: Sequence[str] = (),
) -> EmittedModel:
    """Write the input of `finn build` for a network.

    Args:
        model: the `model` of what `fold` returned; stays as it is.
        network: the integer network it was made from.
        board: part and clock.
        codes: frames that FINN verifies the design with: integers [N, C, H, W] or [N, C].
        directory: where the files go; it exists.
        hls: layers whose computing operators are to be FINN's own, made with Vitis HLS.

    Raises:
        UserError: if FINN does not know the board, or has no HLS operator for a layer of `hls`.
        InternalError: if the model with HLS operators computes something else.
    """
    emitted, hls_nodes = use_hls(model, hls)
    if hls_nodes:
        verify_nodes(executable(emitted), network, codes)
    note_costs(emitted)
    emitted.save(str(directory / MODEL))
    shape = emitted.get_tensor_shape(emitted.graph.output[0].name)
    outputs = channels_last(run_codes(network, codes)[network.output])
    np.save(directory / STIMULUS, channels_last(codes).astype(np.float32))
    np.save(directory / EXPECTED, outputs.reshape(-1, *shape[1:]).astype(np.float32))
    cycles = int(emitted.analysis(dataflow_performance)["max_cycles"])
    settings = configuration(board, board.clock_mhz * 1e6 / cycles)
    (directory / CONFIGURATION).write_text(json.dumps(settings, indent=2) + "\n")
    text = _README.format(
        name=network.name,
        model=MODEL,
        board=board.name,
        clock=board.clock_mhz,
        cycles=cycles,
        fps=board.clock_mhz * 1e6 / cycles,
        finn=version("finn-plus"),
        qdeploy=version("qdeploy"),
        folder=directory.name,
        configuration=CONFIGURATION,
        stimulus=STIMULUS,
        expected=EXPECTED,
        output=settings["output_dir"],
        hls=_about_hls(hls_nodes),
    )
    (directory / "README.md").write_text(text)
    return EmittedModel(directory, hls_nodes)


def configuration(board: Board, fps: float) -> dict[str, Any]:
    """The build configuration, keys as in FINN's DataflowBuildConfig."""
    if board.finn_board is None:
        raise UserError(
            f"FINN does not know the board {board.name}",
            remedy="build its bitstream with 'qdeploy bitstream', or choose another board",
        )
    return {
        "output_dir": "build",
        "board": board.finn_board,
        "fpga_part": board.part,
        "shell_flow_type": "vivado_zynq",
        "synth_clk_period_ns": 1e3 / board.clock_mhz,
        # FINN wants a target although no step folds.
        "target_fps": max(1, int(fps)),
        "steps": list(STEPS),
        "generate_outputs": list(OUTPUTS),
        "verify_steps": ["stitched_ip_rtlsim"],
        "verify_input_npy": STIMULUS,
        "verify_expected_output_npy": EXPECTED,
    }


def _about_hls(nodes: Sequence[str]) -> str:
    if not nodes:
        return "No node of the model is made with HLS."
    return f"Made with Vitis HLS, as asked for: {', '.join(nodes)}. All other nodes are Verilog."
