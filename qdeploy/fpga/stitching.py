# SPDX-License-Identifier: Apache-2.0
"""The top module: all nodes, connected by AXI4-Streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import InternalError
from qdeploy.fpga.graph_builder import verilog_name

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
    input out0_V_TREADY,
    output [{observed}-1:0] streams_valid,
    output [{observed}-1:0] streams_ready
);
{streams}
  assign streams_valid = {{{valids}}};
  assign streams_ready = {{{readies}}};
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
    observed = [nets[tensor] for tensor in reversed(observed_streams(model))]
    return _TOP.format(
        network=network,
        top=top,
        observed=len(observed),
        valids=", ".join(stream["valid"] for stream in observed),
        readies=", ".join(stream["ready"] for stream in observed),
        input_bits=widths[source],
        output_bits=widths[sink],
        streams="\n".join(streams),
        instances="\n".join(instances),
    )


def observed_streams(model: ModelWrapper) -> dict[str, str]:
    """Names, for users, of the streams that the top module shows, by tensor, as the data flows.

    These are its input, what every operator reads (behind a FIFO, if there is one), and its output.
    Bit 0 of `streams_valid` and `streams_ready` is the first of them.
    """
    operators = [node for node in model.graph.node if getCustomOp(node).operator != "fifo"]
    writers = {model.graph.input[0].name: "input"}
    for node in model.graph.node:
        operator = getCustomOp(node)
        fifo = operator.operator == "fifo"
        name = writers[node.input[0]] if fifo else _end(node)
        writers |= dict.fromkeys(node.output[: operator.output_streams()], name)
    streams = {model.graph.input[0].name: f"input -> {_end(operators[0])}"}
    for node in operators:
        for tensor in node.input[: getCustomOp(node).input_streams()]:
            if writers[tensor] != "input":
                streams[tensor] = f"{writers[tensor]} -> {_end(node)}"
    sink = model.graph.output[0].name
    streams[sink] = f"{writers[sink]} -> output"
    seen: Counter[str] = Counter()
    for tensor, name in streams.items():
        seen[name] += 1
        if seen[name] > 1:
            streams[tensor] = f"{name} ({seen[name]})"
    return streams


def _end(node: NodeProto) -> str:
    """The layer of a node, with what it is if it only prepares data for the layer."""
    operator = getCustomOp(node)
    layer: str = operator.get_nodeattr("layer")
    kind = operator.operator.replace("_", " ")
    return layer if node.name == verilog_name(layer) else f"{layer} {kind}"


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
