# SPDX-License-Identifier: Apache-2.0
"""The top module: all nodes, connected by AXI4-Streams."""

from __future__ import annotations

from collections.abc import Callable

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import InternalError

_TOP = """\
// SPDX-License-Identifier: Apache-2.0
// Network {network!r}.
module {top} (
    input ap_clk,
    input ap_rst_n,
    input [{input_bits}-1:0] in0_V_TDATA,
    input in0_V_TVALID,
    output in0_V_TREADY,
    output [{output_bits}-1:0] out0_V_TDATA,
    output out0_V_TVALID,
    input out0_V_TREADY
);
{streams}
{instances}
endmodule
"""
_STREAM = """\
  wire [{bits}-1:0] {data};
  wire {valid}, {ready};"""
_INSTANCE = """\
  {module} {node}_instance (
      .ap_clk(ap_clk),
      .ap_rst_n(ap_rst_n),
      {connections}
  );"""
_CONNECTION = """\
.{port}_V_TDATA({data}),
      .{port}_V_TVALID({valid}),
      .{port}_V_TREADY({ready})"""


def stitch(model: ModelWrapper, network: str, top: str) -> str:
    """Verilog of the top module of a folded model."""
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    nets = stream_nets(model)
    widths: dict[str, int] = {}
    streams: list[str] = []
    for node in model.graph.node:
        operator = getCustomOp(node)
        for index, tensor in enumerate(node.output[: operator.output_streams()]):
            widths[tensor] = operator.get_outstream_width_padded(index)
            if tensor != sink:
                streams.append(_STREAM.format(bits=widths[tensor], **nets[tensor]))
    written, read = {source}, {sink}
    instances = []
    for node in model.graph.node:
        operator = getCustomOp(node)
        ports = [
            *((f"in{i}", name) for i, name in enumerate(node.input[: operator.input_streams()])),
            *((f"out{i}", name) for i, name in enumerate(node.output[: operator.output_streams()])),
        ]
        for port, tensor in ports:
            ends = read if port.startswith("in") else written
            if tensor in ends or tensor not in nets:
                raise InternalError(f"node {node.name}: stream {tensor} has no or several ends")
            ends.add(tensor)
            if tensor == source:
                widths[source] = operator.get_instream_width_padded(int(port[2:]))
        connections = (_CONNECTION.format(port=port, **nets[tensor]) for port, tensor in ports)
        instances.append(
            _INSTANCE.format(
                module=operator.get_verilog_top_module_name(),
                node=node.name,
                connections=",\n      ".join(connections),
            )
        )
    if loose := written ^ read:
        raise InternalError(f"streams {sorted(loose)} have only one end")
    return _TOP.format(
        network=network,
        top=top,
        input_bits=widths[source],
        output_bits=widths[sink],
        streams="\n".join(streams),
        instances="\n".join(instances),
    )


def stream_nets(model: ModelWrapper) -> dict[str, dict[str, str]]:
    """Nets `data`, `valid` and `ready` of the top module for every stream, by tensor."""
    nets = {
        model.graph.input[0].name: _nets("in0", "_V_T", str.upper),
        model.graph.output[0].name: _nets("out0", "_V_T", str.upper),
    }
    for node in model.graph.node:
        outputs = getCustomOp(node).output_streams()
        for index, tensor in enumerate(node.output[:outputs]):
            name = f"{node.name}_out" if outputs == 1 else f"{node.name}_out{index}"
            nets.setdefault(tensor, _nets(name, "_t", str.lower))
    return nets


def _nets(name: str, separator: str, case: Callable[[str], str]) -> dict[str, str]:
    return {part: f"{name}{separator}{case(part)}" for part in ("data", "valid", "ready")}
