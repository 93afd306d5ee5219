# SPDX-License-Identifier: Apache-2.0
"""The top module: all nodes of a chain, connected by AXI4-Streams."""

from __future__ import annotations

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
  wire [{bits}-1:0] {node}_out_tdata;
  wire {node}_out_tvalid, {node}_out_tready;"""
_INSTANCE = """\
  {module} {node}_instance (
      .ap_clk(ap_clk),
      .ap_rst_n(ap_rst_n),
      .in0_V_TDATA({data_in}),
      .in0_V_TVALID({valid_in}),
      .in0_V_TREADY({ready_in}),
      .out0_V_TDATA({data_out}),
      .out0_V_TVALID({valid_out}),
      .out0_V_TREADY({ready_out})
  );"""


def stitch(model: ModelWrapper, network: str, top: str) -> str:
    """Verilog of the top module of a folded model whose nodes are in the order of the data."""
    nodes = list(model.graph.node)
    streams, instances = [], []
    upstream = ("in0_V_TDATA", "in0_V_TVALID", "in0_V_TREADY")
    tensor = model.graph.input[0].name
    for node in nodes:
        operator = getCustomOp(node)
        if node.input[0] != tensor:
            raise InternalError(f"node {node.name} does not read {tensor}, the stream before it")
        tensor = node.output[0]
        if node is nodes[-1]:
            downstream = ("out0_V_TDATA", "out0_V_TVALID", "out0_V_TREADY")
        else:
            stem = f"{node.name}_out"
            downstream = (f"{stem}_tdata", f"{stem}_tvalid", f"{stem}_tready")
            bits = operator.get_outstream_width_padded()
            streams.append(_STREAM.format(node=node.name, bits=bits))
        instances.append(
            _INSTANCE.format(
                module=operator.get_verilog_top_module_name(),
                node=node.name,
                data_in=upstream[0],
                valid_in=upstream[1],
                ready_in=upstream[2],
                data_out=downstream[0],
                valid_out=downstream[1],
                ready_out=downstream[2],
            )
        )
        upstream = downstream
    return _TOP.format(
        network=network,
        top=top,
        input_bits=getCustomOp(nodes[0]).get_instream_width_padded(),
        output_bits=getCustomOp(nodes[-1]).get_outstream_width_padded(),
        streams="\n".join(streams),
        instances="\n".join(instances),
    )
