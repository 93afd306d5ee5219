# SPDX-License-Identifier: Apache-2.0
"""Files of an overlay that PYNQ reads like Vivado's: a handoff, and a bitstream without contents.

They hold what `qdeploy bitstream` promises to the runtime: an AXI DMA `dma`, an accelerator
`accelerator`, their addresses, and the clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

LENGTH_BITS = 26  # of the DMA's length registers
BLOCKS = ("accelerator", "dma")  # that have registers
RANGE = 0x10000  # bytes of registers of each block


@dataclass(frozen=True)
class Family:
    """A family of chips.

    Attributes:
        name: of its chips, for people.
        machine: its processors as `platform.machine` says.
        architecture: as in a handoff.
        processor: block of its processing system, with version.
        master: port of that to the registers.
        base: address of the first registers.
        pll_mhz: that the clock of the accelerator is divided from.
    """

    name: str
    machine: str
    architecture: str
    processor: str
    master: str
    base: int
    pll_mhz: float


ZYNQ = Family(
    *("Zynq-7000", "armv7l", "zynq", "processing_system7:5.5", "M_AXI_GP0", 0x4000_0000, 1000.0)
)
ZYNQMP = Family(
    *("Zynq UltraScale+", "aarch64", "zynquplus", "zynq_ultra_ps_e:3.5"),
    *("M_AXI_HPM0_FPD", 0xA000_0000, 33.333 * 45),
)


def family_of(part: str) -> Family:
    """The family of a part as Vivado writes it ("xc7z020clg400-1")."""
    return ZYNQ if part.startswith("xc7z") else ZYNQMP


def write_overlay(directory: Path, part: str, clock_mhz: float) -> None:
    """Write board.bit and board.hwh.

    Args:
        directory: where they go.
        part: as Vivado writes it.
        clock_mhz: of the accelerator.
    """
    family = family_of(part)
    (directory / "board.hwh").write_text(_handoff(family, part, clock_mhz))
    (directory / "board.bit").write_bytes(_bitstream(part))


def _handoff(family: Family, part: str, clock_mhz: float) -> str:
    divisor = round(family.pll_mhz / clock_mhz)
    processor, version = family.processor.split(":")
    places = {name: family.base + index * RANGE for index, name in enumerate(BLOCKS)}
    ranges = "".join(
        "<MEMRANGE"
        + _attributes(
            ADDRESSBLOCK="Reg",
            BASENAME="C_BASEADDR",
            BASEVALUE=f"0x{base:08X}",
            HIGHNAME="C_HIGHADDR",
            HIGHVALUE=f"0x{base + RANGE - 1:08X}",
            INSTANCE=name,
            IS_DATA="TRUE",
            IS_INSTRUCTION="TRUE",
            MASTERBUSINTERFACE=family.master,
            MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE="S_AXI_LITE" if name == "dma" else "s_axi",
        )
        + "/>"
        for name, base in places.items()
    )
    peripherals = "".join(f'<PERIPHERAL INSTANCE="{name}"/>' for name in places)
    contents = (
        f"<PARAMETERS>{_parameters(_clocks(family, divisor))}</PARAMETERS><PORTS/>"
        f'<BUSINTERFACES><BUSINTERFACE BUSNAME="registers" DATAWIDTH="32" NAME="{family.master}" '
        'TYPE="MASTER" VLNV="xilinx.com:interface:aximm:1.0"><PORTMAPS/></BUSINTERFACE>'
        f"</BUSINTERFACES><MEMORYMAP>{ranges}</MEMORYMAP><PERIPHERALS>{peripherals}</PERIPHERALS>"
    )
    dma: dict[str, object] = {
        "C_INCLUDE_MM2S": 1,
        "C_INCLUDE_S2MM": 1,
        "C_INCLUDE_SG": 0,
        "C_SG_LENGTH_WIDTH": LENGTH_BITS,
        "C_M_AXI_MM2S_DATA_WIDTH": 64,
        "C_M_AXI_S2MM_DATA_WIDTH": 64,
    }
    modules = [
        _module("ps", f"xilinx.com:ip:{processor}:{version}", contents),
        _module("dma", "xilinx.com:ip:axi_dma:7.1", _slave("S_AXI_LITE", places["dma"], dma)),
        _module(
            *("accelerator", "qdeploy.org:qdeploy:accelerator:1.0"),
            _slave("s_axi", places["accelerator"], {}),
        ),
    ]
    system = _attributes(ARCH=family.architecture, DEVICE=part[2:9], NAME="board")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="Thu Jan  1 00:00:00 1970" VIVADOVERSION="2022.2">\n'
        f"<SYSTEMINFO{system}/>\n<EXTERNALPORTS/><EXTERNALINTERFACES/>\n"
        f"<MODULES>\n{''.join(modules)}</MODULES>\n</EDKSYSTEM>\n"
    )


def _clocks(family: Family, divisor: int) -> dict[str, object]:
    """How clock 0 is made; the others are off."""
    values: dict[str, object] = {}
    for index in range(4):
        dividers = (divisor, 1) if index == 0 else (1, 1)
        if family is ZYNQ:
            values[f"PCW_FPGA_FCLK{index}_ENABLE"] = int(index == 0)
            values[f"PCW_FCLK{index}_PERIPHERAL_CLKSRC"] = "IO PLL"
            name = f"PCW_FCLK{index}_PERIPHERAL_DIVISOR"
        else:
            values[f"PSU__FPGA_PL{index}_ENABLE"] = int(index == 0)
            name = f"PSU__CRL_APB__PL{index}_REF_CTRL__"
            values[f"{name}SRCSEL"] = "IOPLL"
            values[f"{name}ACT_FREQMHZ"] = f"{family.pll_mhz / dividers[0]:.6f}"
            name = f"{name}DIVISOR"
        values |= {f"{name}{place}": value for place, value in enumerate(dividers)}
    return values


def _slave(port: str, base: int, parameters: dict[str, object]) -> str:
    values = {
        **parameters,
        "C_BASEADDR": f"0x{base:08X}",
        "C_HIGHADDR": f"0x{base + RANGE - 1:08X}",
    }
    return (
        f'<ADDRESSBLOCKS><ADDRESSBLOCK ACCESS="" INTERFACE="{port}" NAME="Reg" RANGE="{RANGE}" '
        f'USAGE="register"/></ADDRESSBLOCKS><PARAMETERS>{_parameters(values)}</PARAMETERS><PORTS/>'
        f'<BUSINTERFACES><BUSINTERFACE BUSNAME="registers" DATAWIDTH="32" NAME="{port}" '
        'TYPE="SLAVE" VLNV="xilinx.com:interface:aximm:1.0">'
        '<PARAMETER NAME="PROTOCOL" VALUE="AXI4LITE"/><PORTMAPS/></BUSINTERFACE></BUSINTERFACES>'
    )


def _module(name: str, vlnv: str, contents: str) -> str:
    kind, version = vlnv.split(":")[2:]
    attributes = _attributes(
        CONFIGURABLE="TRUE",
        FULLNAME=f"/{name}",
        HWVERSION=version,
        INSTANCE=name,
        IPTYPE="PERIPHERAL",
        IS_ENABLE="1",
        MODCLASS="PERIPHERAL",
        MODTYPE=kind,
        VLNV=vlnv,
    )
    return f"<MODULE{attributes}><DOCUMENTS/>{contents}</MODULE>\n"


def _parameters(values: dict[str, object]) -> str:
    return "".join(
        f"<PARAMETER{_attributes(NAME=name, VALUE=str(value))}/>" for name, value in values.items()
    )


def _attributes(**values: str) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items())


def _bitstream(part: str, size: int = 4096) -> bytes:
    """Fields as in front of every .bit, then what leaves an FPGA as it is."""
    fields = (
        (b"a", "board;UserID=0XFFFFFFFF;Version=simulated"),
        (b"b", part[2:].rsplit("-", 1)[0]),
        (b"c", "1970/01/01"),
        (b"d", "00:00:00"),
    )
    header = b"".join(
        key + struct.pack(">H", len(text) + 1) + text.encode() + b"\0" for key, text in fields
    )
    start = struct.pack(">H", 9) + bytes.fromhex("0ff00ff00ff00ff000") + struct.pack(">H", 1)
    return start + header + b"e" + struct.pack(">I", size) + b"\xff" * size
