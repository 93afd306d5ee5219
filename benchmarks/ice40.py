# SPDX-License-Identifier: Apache-2.0
"""The same RTL on another vendor's FPGA: placed, routed and packed into a bitstream by open tools.

    python benchmarks/ice40.py --json ice40.json

The digits network of the model zoo with its shell (registers, DMA streams) goes through Yosys,
nextpnr-ice40 and icepack for an iCE40 HX8K, from PATH or else in a container without network
(docker/ice40.Dockerfile). The chip has too few pins for the shell's ports: they are scanned in and
out, see `scan_top`. The clock is nextpnr's, of the routed design.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, write  # noqa: E402

from qdeploy.fpga.board import load_board  # noqa: E402
from qdeploy.fpga.design import Design  # noqa: E402
from qdeploy.fpga.folding import fold  # noqa: E402
from qdeploy.fpga.generation import generate  # noqa: E402
from qdeploy.fpga.mapping import map_network  # noqa: E402
from qdeploy.fpga.shell import generate_shell  # noqa: E402
from qdeploy.integer import IntegerNetwork  # noqa: E402
from qdeploy.lowering import lower  # noqa: E402
from qdeploy.zoo import model_file  # noqa: E402

TOOLS = ("yosys", "nextpnr-ice40", "icepack")
TOP = "scan_top"
# Pins of package ct256; J3 drives a global clock net.
PINS = {
    "clk": "J3",
    "reset_n": "B5",
    "scan_go": "B4",
    "scan_shift": "A2",
    "scan_in": "A1",
    "scan_out": "C5",
}
_PORT = re.compile(r"^\s*(input|output) (?:\[(\d+):0\] )?(\w+)", re.MULTILINE)
_HANDSHAKE = re.compile(r"(valid|ready)$")
_PARTNER = {"valid": "ready", "ready": "valid"}
_WAYS = ("input", "output")


@dataclass(frozen=True)
class Placed:
    """A bitstream for the HX8K: what it takes of the chip, and its clock in MHz."""

    logic_cells: int
    logic_cells_there: int
    block_rams: int
    block_rams_there: int
    mhz: float
    bytes: int


def write_design(network: IntegerNetwork, fps: float, folder: Path) -> tuple[Design, list[Path]]:
    """RTL of accelerator, shell and `scan_top` in `folder`; returns the files in compile order.

    Args:
        network: the network.
        fps: frames per second at 100 MHz, from which the folding follows.
        folder: exists.
    """
    board = load_board("pynq-z2")
    layers = {node.name for node in network.nodes}
    folded = fold(map_network(network), board, fps, any_form=layers)
    rtl, around = folder / "rtl", folder / "shell"
    rtl.mkdir()
    around.mkdir()
    design = generate(folded.model, network, board, rtl)
    shell = generate_shell(rtl, around)
    for source in (*(rtl / name for name in design.files), *(around / f for f in shell.files)):
        shutil.copyfile(source, folder / source.name)
    for name in design.memories:
        shutil.copyfile(rtl / name, folder / name)
    head = (around / shell.files[-1]).read_text().partition(");")[0]
    text = scan_top(shell.top, head)
    (folder / f"{TOP}.v").write_text(text)
    return design, [*map(Path, design.files), *map(Path, shell.files), Path(f"{TOP}.v")]


def scan_top(shell: str, head: str) -> str:
    """Verilog of a module that scans the ports of a shell through a few pins.

    With scan_shift a chain of all inputs (first port highest) moves up by a bit of scan_in, and one
    of all outputs by a bit that leaves at scan_out, highest first. With scan_go every valid or
    ready input that is 1 in the chain is raised until its partner answers. In the cycle of such an
    answer the outputs go into their chain, behind a 1: scan_out shows that it has come.
    """
    ports = [(way, int(high or 0) + 1, name) for way, high, name in _PORT.findall(head)]
    ports = [port for port in ports if port[2] not in ("aclk", "aresetn")]
    ins = [name for way, _, name in ports if way == "input"]
    outs = [name for way, _, name in ports if way == "output"]
    raised = [name for name in ins if _HANDSHAKE.search(name)]
    partners = [_HANDSHAKE.sub(lambda word: _PARTNER[word[0]], name) for name in raised]
    bits = {way: sum(width for this, width, _ in ports if this == way) for way in _WAYS}
    wires = "".join(f"  wire [{width}-1:0] {name};\n" for _, width, name in ports)
    pending = {name: f"pending[{bit}]" for bit, name in enumerate(reversed(raised))}
    connections = [f".{name}({pending.get(name, name)})" for _, _, name in ports]
    return f"""\
// SPDX-License-Identifier: Apache-2.0
// The ports of {shell} through a few pins; see benchmarks/ice40.py.
module {TOP} (
    input clk, input reset_n, input scan_go, input scan_shift, input scan_in, output scan_out
);
  reg [{bits["input"]}-1:0] given;
  reg [{bits["output"]}:0] taken;
  reg [{len(raised)}-1:0] pending;
{wires}  assign {{{", ".join(ins)}}} = given;
  assign scan_out = taken[{bits["output"]}];
  wire [{len(raised)}-1:0] answers = pending & {{{", ".join(partners)}}};
  always @(posedge clk) begin
    if (!reset_n) pending <= 0;
    else if (scan_go) pending <= {{{", ".join(raised)}}};
    else pending <= pending & ~answers;
    if (scan_go) taken <= 0;
    else if (|answers) taken <= {{1'b1, {", ".join(outs)}}};
    else if (scan_shift) taken <= {{taken, 1'b0}};
    if (scan_shift) given <= {{given, scan_in}};
  end
  {shell} shell (.aclk(clk), .aresetn(reset_n), {", ".join(connections)});
endmodule
"""


def place(folder: Path, files: Sequence[Path]) -> Placed:
    """Synthesize, place, route and pack `scan_top`: chip.bin, chip.asc and logs in `folder`.

    Raises:
        subprocess.CalledProcessError: if a tool fails, with what it printed.
    """
    # The primitives of Xilinx stand behind `ifdef SYNTHESIS; styles name their memories.
    script = (
        f"read_verilog -nosynthesis {' '.join(map(str, files))}",
        f"hierarchy -check -top {TOP}",
        "setattr -unset ram_style -unset rom_style m:*",
        f"synth_ice40 -top {TOP} -json chip.json",
    )
    pins = "".join(f"set_io {name} {pin}\n" for name, pin in PINS.items())
    (folder / "chip.pcf").write_text(pins)
    run(folder, "yosys", "-q", "-l", "yosys.log", "-p", "; ".join(script))
    device = ("--hx8k", "--package", "ct256", "--json", "chip.json", "--pcf", "chip.pcf")
    results = ("--asc", "chip.asc", "--report", "chip.json.report", "-l", "nextpnr.log")
    run(folder, "nextpnr-ice40", "-q", "--seed", "1", "--freq", "50", *device, *results)
    run(folder, "icepack", "chip.asc", "chip.bin")
    report = json.loads((folder / "chip.json.report").read_text())
    cells, memories = (report["utilization"][key] for key in ("ICESTORM_LC", "ICESTORM_RAM"))
    (clock,) = report["fmax"].values()
    return Placed(
        logic_cells=cells["used"],
        logic_cells_there=cells["available"],
        block_rams=memories["used"],
        block_rams_there=memories["available"],
        mhz=clock["achieved"],
        bytes=(folder / "chip.bin").stat().st_size,
    )


def read_back(folder: Path) -> Path:
    """The netlist that chip.bin is, as Verilog module `chip` with the ports of `scan_top`."""
    run(folder, "iceunpack", "chip.bin", "back.asc")
    run(folder, "sh", "-c", "icebox_vlog -s -n chip -p chip.pcf back.asc > chip.v")
    return folder / "chip.v"


def run(folder: Path, *command: str) -> None:
    """Run a tool in `folder`: from PATH where all are there, else in a container."""
    if not all(map(shutil.which, TOOLS)):
        user = f"{os.getuid()}:{os.getgid()}"
        mounts = ("--volume", f"{folder}:{folder}", "--workdir", str(folder))
        options = ("--rm", "--init", "--network=none", "--user", user, *mounts)
        command = ("docker", "run", *options, provide_image(), *command)
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        error.add_note((error.stdout + error.stderr)[-2000:])
        raise


def image() -> str:
    """Name of the image with the tools; QDEPLOY_ICE40_BASE names a base of one's own."""
    return f"qdeploy-ice40:{hashlib.sha256(f'{_base()}{_dockerfile()}'.encode()).hexdigest()[:12]}"


def provide_image() -> str:
    """`image`, built if it is not there."""
    asked = subprocess.run(
        ["docker", "image", "inspect", image()], check=False, capture_output=True
    )
    if asked.returncode:
        build = ["docker", "build", "--network=host", f"--build-arg=BASE={_base()}"]
        build += ["--tag", image(), "-"]
        subprocess.run(build, input=_dockerfile(), text=True, check=True, capture_output=True)
    return image()


def _base() -> str:
    return os.environ.get("QDEPLOY_ICE40_BASE", "debian:bookworm-slim")


def _dockerfile() -> str:
    return (ROOT / "docker" / "ice40.Dockerfile").read_text()


CASES = {"digits-syq": 20_000.0, "digits-laq": 5_000.0}  # frames per second at 100 MHz
QUICK = {"digits-laq": 1_000.0}


def rows(cases: dict[str, float]) -> Iterator[Row]:
    """All measurements."""
    for name, fps in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            design, files = write_design(
                lower(model_file(Path("models") / name)), fps, Path(folder)
            )
            placed = place(Path(folder), files)
        case = f"{name}-ice40"
        of = f"of {placed.logic_cells_there} of an HX8K"
        yield Row(case, "logic_cells", placed.logic_cells, "LC", of)
        of = f"of {placed.block_rams_there}, 4 kbit each"
        yield Row(case, "block_rams", placed.block_rams, "BRAM", of)
        yield Row(case, "clock", placed.mhz, "MHz", "routed, by nextpnr-ice40")
        rate = placed.mhz * 1e6 / design.cycles_per_frame
        yield Row(case, "frames_per_second", rate, "frames/s", f"{design.cycles_per_frame} cycles")
        yield Row(case, "bitstream_bytes", placed.bytes, "B")


def main() -> None:
    """Print a table, write rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small case")
    parser.add_argument("--json", type=Path, help="write rows here")
    arguments = parser.parse_args()
    found = []
    for row in rows(QUICK if arguments.quick else CASES):
        print(f"{row.case:18} {row.metric:18} {row.value:12,.1f} {row.unit:9} {row.against}")
        found.append(row)
    if arguments.json:
        write(found, arguments.json)


if __name__ == "__main__":
    main()
