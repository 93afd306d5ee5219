# SPDX-License-Identifier: Apache-2.0
"""`design.json`: everything about a generated design that its users must know."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qdeploy.errors import UserError
from qdeploy.files import content_hash
from qdeploy.fpga.resources import Cost

FILE_NAME = "design.json"


class Stream(BaseModel):
    """An AXI4-Stream of the top module. Element 0 is in the lowest bits, unused bits are zero.

    Attributes:
        shape: of a frame, channels last ([H, W, C] or [C]); elements follow in this order.
        bits: bits of an element, two's complement if `signed`.
        signed: see `bits`.
        bipolar: elements are -1 and +1, stored as 0 and 1.
        elements_per_word: elements of a word.
        words_per_frame: words of a frame.
        width: bits of the TDATA port, whole bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[int, ...]
    bits: int
    signed: bool
    bipolar: bool
    elements_per_word: int
    words_per_frame: int
    width: int


class Tap(BaseModel):
    """A stream of the top module that carries a tensor of the network (after `unit_steps`).

    Attributes:
        layer: the layer that writes it, as in the PyTorch model.
        tensor: its name.
        data: net of the words.
        valid: net that says that a word is offered.
        ready: net that says that a word is taken.
        stream: how elements are laid out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    tensor: str
    data: str
    valid: str
    ready: str
    stream: Stream


class ScaleForm(BaseModel):
    """One way to build the scales of a matrix-vector unit at its folding.

    Attributes:
        form: "post", "pre" or "recode" (`qdeploy.fpga.scales`).
        multipliers: sums ("pre": elements) multiplied per cycle; 0 for "recode".
        chosen: whether the design has it.
        simd: inputs per cycle: those of the design, or what of them fits into a group of columns.
        cycles: per frame.
        predicted: what the unit takes by the resource model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: str
    multipliers: int
    chosen: bool
    simd: int
    cycles: int
    predicted: Cost


class DesignNode(BaseModel):
    """One hardware node.

    Attributes:
        name: unique in the design.
        layer: the layer it belongs to, as in the PyTorch model.
        operator: the module of hw/rtl.
        module: its own module.
        pe: outputs per cycle, if it has that folding.
        simd: inputs per cycle, if it has that folding.
        depth: words of a FIFO.
        writer: the node in front of a FIFO, None at the input.
        reader: the node behind a FIFO, None at the output.
        input_streams: ports in0_V_*, in1_V_*, ... of its module.
        output_streams: ports out0_V_*, out1_V_*, ...
        weight_bits: bits of a stored weight code.
        weight_memory: "block" (RAM), "distributed" (LUTs) or "constant" (logic).
        products: what multiplies in a matrix-vector unit, "lut" or "dsp".
        scale_form: "none", "post", "pre" or "recode" (`qdeploy.fpga.scales`).
        scale_forms: what the possible forms take, if there are scales.
        cycles: predicted cycles per frame; 0 for a FIFO, which is as fast as its neighbours.
        input_bits: bits of its input words.
        output_bits: bits of its output words.
        predicted: what it takes by the resource model (`qdeploy.fpga.resources`).
        finn_luts: LUTs that FINN's formula expects.
        finn_bram18: 18 kbit block RAMs that FINN's formula expects.
        finn_dsps: DSP slices that FINN's formula expects.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layer: str
    operator: str
    module: str
    pe: int | None = None
    simd: int | None = None
    depth: int | None = None
    writer: str | None = None
    reader: str | None = None
    input_streams: int
    output_streams: int
    weight_bits: int | None = None
    weight_memory: str | None = None
    products: str | None = None
    scale_form: str | None = None
    scale_forms: tuple[ScaleForm, ...] = ()
    cycles: int
    input_bits: int
    output_bits: int
    predicted: Cost
    finn_luts: int
    finn_bram18: int
    finn_dsps: int


class Design(BaseModel):
    """A design directory.

    Attributes:
        name: of the network.
        top: the top module.
        files: Verilog files in compile order, relative to the directory.
        memories: SHA-256 of the files that the Verilog reads, contents of block RAMs, by name.
        part: the part the estimates of FINN are for.
        clock_mhz: clock of the accelerator on its board.
        input: ports in0_V_*.
        output: ports out0_V_*.
        cycles_per_frame: predicted initiation interval.
        latency: cycles from the first word in to the last word out of a frame by the schedule, at
            most: hardware is at least as fast.
        critical_node: the node that needs that many cycles.
        nodes: in the order of the data.
        taps: where tensors of the network can be watched, in the order of the data.
        streams: who writes and who reads, "conv1 -> pool", for every bit of the ports
            streams_valid and streams_ready, in the order of the data; the first is the input, the
            last the output.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    top: str
    files: tuple[str, ...]
    memories: dict[str, str]
    part: str
    clock_mhz: float
    input: Stream
    output: Stream
    cycles_per_frame: int
    latency: int
    critical_node: str
    nodes: tuple[DesignNode, ...]
    taps: tuple[Tap, ...]
    streams: tuple[str, ...]

    def save(self, directory: Path) -> None:
        """Write design.json."""
        (directory / FILE_NAME).write_text(self.model_dump_json(indent=2) + "\n")


def load_design(directory: Path) -> Design:
    """Read the design.json of a directory.

    Raises:
        UserError: if it is missing or damaged, names files outside the directory, or the contents
            of a memory are not those it was generated with.
    """
    again = "generate the design again"
    try:
        design = Design.model_validate_json((directory / FILE_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        first = " ".join(str(error).splitlines()[:3])
        raise UserError(f"{directory} is no design: {first}", remedy=again) from error
    if any(Path(name).name != name for name in (*design.files, *design.memories)):
        raise UserError(f"{directory} names files outside itself", remedy=again)
    for name, digest in design.memories.items():
        file = directory / name
        if not file.is_file() or content_hash(file) != digest:
            state = "changed" if file.is_file() else "missing"
            raise UserError(f"{file}, contents of a memory, is {state}", remedy=again)
    return design
