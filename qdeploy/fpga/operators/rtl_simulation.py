# SPDX-License-Identifier: Apache-2.0
"""A node's module in FINN's RTL simulator (XSI): FINN's execution mode "rtlsim"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finn.util.data_packing import npy_to_rtlsim_input, rtlsim_output_to_npy

if TYPE_CHECKING:
    from qdeploy.fpga.operators.wrapper import VerilogOperator


def simulate_node(operator: VerilogOperator, context: dict[str, Any]) -> None:
    """Feed a frame from the context through the compiled module, outputs into the context.

    FINN's own function would stream constants, too.
    """
    node = operator.onnx_node
    inputs = {}
    for i, name in enumerate(node.input[: operator.input_streams()]):
        words = context[name].reshape(operator.get_folded_input_shape(i))
        width = operator.get_instream_width(i)
        inputs[f"in{i}"] = npy_to_rtlsim_input(words, operator.get_input_datatype(i), width)
    streams: dict[str, Any] = {
        "inputs": inputs,
        "outputs": {f"out{i}": [] for i in range(operator.output_streams())},
    }
    simulation = operator.get_rtlsim()
    operator.reset_rtlsim(simulation)
    operator.rtlsim_multi_io(simulation, streams)
    operator.close_rtlsim(simulation)
    for i, name in enumerate(node.output[: operator.output_streams()]):
        kind = operator.get_output_datatype(i)
        found = rtlsim_output_to_npy(
            streams["outputs"][f"out{i}"],
            None,
            kind,
            operator.get_folded_output_shape(i),
            operator.get_outstream_width(i),
            kind.bitwidth(),
        )
        context[name] = found.reshape(operator.get_normal_output_shape(i)).astype("float32")
