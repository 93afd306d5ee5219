# SPDX-License-Identifier: Apache-2.0
"""What our RTL variants of FINN's operators share: one Verilog module per node of the graph.

The module has FINN's interface (`ap_clk`, `ap_rst_n`, `in0_V_*`, `out0_V_*` and more where streams
join or fork, data padded to whole bytes) and instantiates one operator of hw/rtl and, if it has
constants, their memories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend

from qdeploy.fpga.board import hardware_directory
from qdeploy.fpga.memory import Memory, contents_files
from qdeploy.fpga.operators.estimates import PREDICTED, Estimates
from qdeploy.fpga.operators.rtl_simulation import simulate_node
from qdeploy.fpga.threshold_memory import ThresholdMemory

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

_TEMPLATE = """\
// SPDX-License-Identifier: Apache-2.0
// Node '{node}' of layer {layer!r}.
module {module} (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 ap_clk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET ap_rst_n" *)
    input ap_clk,
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input ap_rst_n,
    {streams}
);
{declarations}\
  {operator} #(
      {parameters}
  ) operator (
      .clk(ap_clk),
      .rst_n(ap_rst_n),
      {connections}{ports}
  );
endmodule
"""
_INPUT = """\
input [{bits}-1:0] in{index}_V_TDATA,
    input in{index}_V_TVALID,
    output in{index}_V_TREADY"""
_OUTPUT = """\
output [{bits}-1:0] out{index}_V_TDATA,
    output out{index}_V_TVALID,
    input out{index}_V_TREADY"""
_MEMORY = """\
  wire {role}_enable;
  wire [{address_bits}-1:0] {role}_address;
  wire [{width}-1:0] {role}_data;
  {module} {role}_memory (
      .clk(ap_clk),
      .enable({role}_enable),
      .address({role}_address),
      .data({role}_data)
  );
"""


@dataclass(frozen=True)
class Instance:
    """The module that does a node's work: `clk`, `rst_n`, streams s_* and m_*.

    Attributes:
        module: its name.
        parameters: Verilog values.
        declarations: what the node's module declares for it.
        ports: further ports and what they are connected to.
    """

    module: str
    parameters: dict[str, int | str] = field(default_factory=dict)
    declarations: str = ""
    ports: tuple[tuple[str, str], ...] = ()


class VerilogOperator(Estimates, RTLBackend):  # type: ignore[misc]
    """Mixin in front of a generic operator of FINN; see the module.

    Attributes:
        operator: the module of hw/rtl.
        library: the modules of hw/rtl that it needs, if more than itself.
        memory_roles: what its memory ports are called after ("weight").
        open_ports: outputs of the operator that the node does not use.
    """

    operator: ClassVar[str]
    library: ClassVar[tuple[str, ...]] = ()
    memory_roles: ClassVar[tuple[str, ...]] = ()
    open_ports: ClassVar[tuple[str, ...]] = ()

    def parameters(self) -> dict[str, int | str]:
        """Verilog values of the operator's parameters."""
        return {}

    def memory(self, model: ModelWrapper, role: str) -> Memory | ThresholdMemory:
        """Constants of the node, in the order of the operator's contract."""
        raise AssertionError(f"{self.onnx_node.name} has no memory")

    def input_streams(self) -> int:
        """Streams that the node reads; further inputs are constants."""
        return 1

    def output_streams(self) -> int:
        """Streams that the node writes."""
        return 1

    def input_data(self, index: int) -> str:
        """Verilog of the data of an input stream as the operator takes it."""
        return f"in{index}_V_TDATA[{self.get_instream_width(index)}-1:0]"

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and ours: the layer as in the PyTorch model, and its costs."""
        return {
            **super().get_nodeattr_types(),
            "layer": ("s", False, ""),
            PREDICTED: ("floats", False, []),
        }

    def get_verilog_top_module_name(self) -> str:
        """The module of this node; FINN renames nodes later, but not what has been generated.

        The suffix keeps it apart from the operators of hw/rtl.
        """
        return str(self.get_nodeattr("gen_top_module") or f"{self.onnx_node.name}_node")

    def get_verilog_top_module_intf_names(self) -> dict[str, list[Any]]:
        """Clock, reset and streams, as FINN's stitching connects them; there is nothing else."""
        inputs, outputs = range(self.input_streams()), range(self.output_streams())
        return {
            "clk": ["ap_clk"],
            "rst": ["ap_rst_n"],
            "s_axis": [(f"in{i}_V", self.get_instream_width_padded(i)) for i in inputs],
            "m_axis": [(f"out{i}_V", self.get_outstream_width_padded(i)) for i in outputs],
            "aximm": [],
            "axilite": [],
            "ap_none": [],
        }

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """The module in FINN's RTL simulator in mode "rtlsim", else the meaning in Python."""
        if self.get_nodeattr("exec_mode") == "rtlsim":
            simulate_node(self, context)
        else:
            self.compute(context, graph)

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Python execution of FINN's generic operator."""
        super(RTLBackend, self).execute_node(context, graph)

    def generate_hdl(self, model: ModelWrapper, fpgapart: str, clk: float) -> None:
        """Write the node's module and memory into the folder of attribute code_gen_dir_ipgen."""
        directory = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        module = f"{self.onnx_node.name}_node"
        self.set_nodeattr("gen_top_module", module)
        instance = self.write_operator(model, directory)
        inputs, outputs = range(self.input_streams()), range(self.output_streams())
        streams = [
            *(_INPUT.format(bits=self.get_instream_width_padded(i), index=i) for i in inputs),
            *(_OUTPUT.format(bits=self.get_outstream_width_padded(i), index=i) for i in outputs),
        ]
        declarations = instance.declarations
        for i in outputs:
            high, low = self.get_outstream_width_padded(i) - 1, self.get_outstream_width(i)
            if low <= high:
                declarations += f"  assign out{i}_V_TDATA[{high}:{low}] = 0;\n"
        connections = {
            "s_tdata": [self.input_data(i) for i in inputs],
            "s_tvalid": [f"in{i}_V_TVALID" for i in inputs],
            "s_tready": [f"in{i}_V_TREADY" for i in inputs],
            "m_tdata": [f"out{i}_V_TDATA[{self.get_outstream_width(i)}-1:0]" for i in outputs],
            "m_tvalid": [f"out{i}_V_TVALID" for i in outputs],
            "m_tready": [f"out{i}_V_TREADY" for i in outputs],
        }
        text = _TEMPLATE.format(
            node=self.onnx_node.name,
            layer=self.get_nodeattr("layer"),
            module=module,
            buses=":".join([*(f"in{i}_V" for i in inputs), *(f"out{i}_V" for i in outputs)]),
            streams=",\n    ".join(streams),
            declarations=declarations,
            operator=instance.module,
            parameters=",\n      ".join(f".{k}({v})" for k, v in instance.parameters.items()),
            connections=",\n      ".join(
                f".{port}({_concatenated(nets)})" for port, nets in connections.items()
            ),
            ports="".join(f",\n      .{port}({net})" for port, net in instance.ports),
        )
        (directory / f"{module}.v").write_text(text)
        self.set_nodeattr("ipgen_path", str(directory))
        self.set_nodeattr("ip_path", str(directory))

    def write_operator(self, model: ModelWrapper, directory: Path) -> Instance:
        """Write what the operator needs beside hw/rtl, its memory if it has one."""
        ports = [(port, "") for port in self.open_ports]
        declarations = ""
        for role in self.memory_roles:
            memory, name = self.memory(model, role), self._memory_module(role)
            memory.write(directory, name)
            declarations += _MEMORY.format(
                role=role, address_bits=memory.address_bits, width=memory.width, module=name
            )
            ports += [(f"{role}_{net}",) * 2 for net in ("enable", "address", "data")]
        return Instance(self.operator, self.parameters(), declarations, tuple(ports))

    def generated_files(self) -> list[str]:
        """Names of the files that `write_operator` writes, users after what they use."""
        return [f"{self._memory_module(role)}.v" for role in self.memory_roles]

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        """Operators of hw/rtl, generated files and the node's module: names or full paths."""
        operators = [f"{name}.v" for name in self.library or (self.operator,)]
        generated = [*self.generated_files(), f"{self.get_verilog_top_module_name()}.v"]
        if not abspath:
            return [*operators, *generated]
        directory = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        library = hardware_directory() / "rtl"
        return [
            str(path)
            for path in (
                *map(library.__truediv__, operators),
                *map(directory.__truediv__, generated),
            )
        ]

    def code_generation_ipi(self) -> list[str]:
        """Tcl for Vivado's IP Integrator, as FINN's stitching expects it."""
        sources = [Path(path) for path in self.get_rtl_file_list(abspath=True)]
        contents = [file for path in sources for file in contents_files(path)]
        files = [f"add_files -norecurse {path}" for path in (*sources, *contents)]
        module = self.get_verilog_top_module_name()
        return [*files, f"create_bd_cell -type module -reference {module} {self.onnx_node.name}"]

    def _memory_module(self, role: str) -> str:
        return f"{self.get_verilog_top_module_name()}_{role}s"


def fewest_lanes(pe: int, words: int) -> int:
    """The fewest rows per cycle in which `pe` rows have left after `words` cycles."""
    return next(d for d in range(1, pe + 1) if pe % d == 0 and pe // d <= words)


def _concatenated(nets: list[str]) -> str:
    """Verilog of a vector, the first net in the lowest bits."""
    return nets[0] if len(nets) == 1 else f"{{{', '.join(reversed(nets))}}}"
