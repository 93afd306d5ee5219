# SPDX-License-Identifier: Apache-2.0
"""What a netlist says that it takes, against Yosys."""

from pathlib import Path

from qdeploy.fpga.compressors.netlist import Netlist
from qdeploy.fpga.synthesis import netlists
from qdeploy.fpga.usage import usage


def chain(netlist: Netlist, net: int, length: int) -> int:
    for _ in range(length):
        net = netlist.register(net)
    return net


def test_long_chains_of_registers_are_luts(tmp_path: Path) -> None:
    """Of three registers or more that nothing else reads and that have no enable."""
    netlist = Netlist()
    a, b, c, d, e, enable = netlist.port("x", 6)
    y = netlist.port("y", 7)
    netlist.register(chain(netlist, a, 4), output=y[0])  # 5 in a row
    netlist.register(chain(netlist, b, 1), output=y[1])  # 2
    read_twice = chain(netlist, c, 3)
    netlist.register(chain(netlist, read_twice, 1), output=y[2])  # 2 behind them
    netlist.register(netlist.lut(lambda p, q: p ^ q, [read_twice, d]), output=y[3])
    inverted = netlist.lut(lambda p: 1 - p, [chain(netlist, d, 3)])
    netlist.register(chain(netlist, inverted, 2), output=y[4])  # 3 in front of a LUT, 3 behind
    netlist.register(netlist.register(e, enable), enable, y[5])
    netlist.register(chain(netlist, chain(netlist, e, 17), 16), output=y[6])  # 34
    assert sorted(netlist.shift_registers()) == [3, 3, 3, 5, 34]

    (tmp_path / "unit.v").write_text(
        f"module unit (input clk, input [5:0] x, output [6:0] y);\n{netlist.verilog()}\nendmodule\n"
    )
    (module,) = netlists(["unit.v"], ["unit"], tmp_path)
    used = usage(module)
    assert (used.lut, used.ff) == (netlist.luts, netlist.registers)
