# SPDX-License-Identifier: Apache-2.0
"""What must hold of a block design as the stub of Vivado leaves it, whatever the scripts did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from qdeploy.fpga.board import Board

# Inputs that stay open: the reset has defaults for them.
OPEN = {"/reset/aux_reset_in", "/reset/mb_debug_sys_rst", "/reset/dcm_locked", "/ps/DDR_Clk"}


def load(project: Path) -> dict[str, Any]:
    """The model that `validate_bd_design` wrote."""
    model: dict[str, Any] = json.loads((project / "vivado" / "model.json").read_text())
    return model


def faults(model: dict[str, Any], board: Board) -> list[str]:
    """Everything that is wrong with it."""
    return [*_interfaces(model), *_pins(model), *_addresses(model, board), *_settings(model, board)]


def _interfaces(model: dict[str, Any]) -> Iterator[str]:
    """Every AXI interface is connected exactly once."""
    ends = Counter(end for link in model["links"] for end in link)
    for cell, content in model["cells"].items():
        for name, _, _ in content["interfaces"]:
            if ends[f"/{cell}/{name}"] != 1:
                yield f"interface /{cell}/{name} has {ends[f'/{cell}/{name}']} connections"


def _pins(model: dict[str, Any]) -> Iterator[str]:
    """Every input is driven; all clocks by the processor, all resets by the reset."""
    driver = {sink: source for source, sink in model["nets"]}
    sources = {source for source, _ in model["nets"]}
    clocks = {driver.get(p) for p in _of_kind(model, "clk", "I")}
    if len(clocks) != 1 or not str(next(iter(clocks))).startswith("/ps/"):
        yield f"clocks come from {clocks}"
    for pin in _of_kind(model, None, "I"):
        if pin not in driver and pin not in OPEN:
            yield f"{pin} is not driven"
    for pin in _of_kind(model, "rst", "I"):
        wanted = "/ps/" if pin.startswith("/reset/") else "/reset/"
        if not driver.get(pin, "").startswith(wanted):
            yield f"reset {pin} comes from {driver.get(pin)}"
    for pin in _of_kind(model, "intr", "O"):
        if pin not in sources:
            yield f"interrupt {pin} leads nowhere"


def _of_kind(model: dict[str, Any], kind: str | None, direction: str) -> list[str]:
    return [
        f"/{cell}/{name}"
        for cell, content in model["cells"].items()
        for name, its_direction, its_kind in content["pins"]
        if its_direction == direction and kind in (None, its_kind)
    ]


def _addresses(model: dict[str, Any], board: Board) -> Iterator[str]:
    """Addresses are those of the board's file, and segments of a space do not overlap."""
    spaces: dict[str, dict[str, set[tuple[int, int]]]] = {}
    for space, segment, offset, size in model["segments"]:
        interface = segment.rsplit("/", 1)[0]
        interface = "memory" if interface.startswith("/ps/") else interface
        spaces.setdefault(space, {}).setdefault(interface, set()).add((int(offset), int(size)))
    memory = {"memory": {(region.base, region.size) for region in board.memory}}
    expected = {
        "/ps/Data": {
            "/dma/S_AXI_LITE": {(board.dma_address, 1 << 16)},
            "/accelerator/s_axi": {(board.accelerator_address, 1 << 16)},
        },
        "/dma/Data_MM2S": memory,
        "/dma/Data_S2MM": memory,
    }
    if spaces != expected:
        yield f"addresses are {spaces}, not {expected}"
    for space in ("/dma/Data_MM2S", "/dma/Data_S2MM"):
        known = {s for where, s, *_ in (*model["segments"], *model["excluded"]) if where == space}
        for segment in model["slave_segments"]:
            if segment.startswith("/ps/") and segment not in known:
                yield f"{segment} is neither assigned to {space} nor excluded"
    for space, segments in spaces.items():
        taken = sorted(each for group in segments.values() for each in group)
        for (offset, size), (other, _) in pairwise(taken):
            if offset + size > other:
                yield f"segments of {space} overlap at {other:#x}"


def _settings(model: dict[str, Any], board: Board) -> Iterator[str]:
    """What host and shell rely on."""
    dma = model["cells"]["dma"]["config"]
    expected = {
        "c_include_sg": "0",
        "c_sg_length_width": "26",
        "c_m_axi_mm2s_data_width": "64",
        "c_m_axis_mm2s_tdata_width": "64",
        "c_m_axi_s2mm_data_width": "64",
        "c_s_axis_s2mm_tdata_width": "64",
    }
    for name, value in expected.items():
        if dma[name] != value:
            yield f"{name} is {dma[name]}, not {value}"
    processor = model["cells"]["ps"]["config"]
    actual = (
        processor.get("PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ")
        or processor["PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"]
    )
    if float(actual) != board.clock_mhz:
        yield f"the clock has {actual} MHz"
    highest = max(region.base + region.size for region in board.memory)
    if 1 << int(dma["c_addr_width"]) < highest:
        yield "the DMA's addresses are too short for the memory"
    if ["/dma/M_AXIS_MM2S", "/accelerator/s_axis"] not in model["links"]:
        yield "frames do not go from the DMA to the accelerator"
    if ["/accelerator/m_axis", "/dma/S_AXIS_S2MM"] not in model["links"]:
        yield "frames do not go from the accelerator to the DMA"
    if model["part"] != board.part:
        yield f"the part is {model['part']}"
