# SPDX-License-Identifier: Apache-2.0
"""Several instances of an operator in one simulation, each checked against integers from numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from qdeploy.fpga.memory import Memory
from qdeploy.fpga.threshold_memory import ThresholdMemory
from qdeploy.simulation.driver import SimulationResult, StreamSimulator
from qdeploy.simulation.packing import pack_words, unpack_words
from qdeploy.simulation.verilator import build_model

RTL = Path(__file__).parents[2] / "hw" / "rtl"

# Probability of an input gap and of an output stall per cycle.
GAPS = [(0.0, 0.0), (0.5, 0.5), (0.9, 0.0), (0.0, 0.9)]


@dataclass(frozen=True)
class Variant:
    """An operator with its parameters.

    Attributes:
        module: name of the Verilog module.
        parameters: Verilog expressions by name.
        inputs: elements of an input word and bits of an element.
        outputs: the same of an output word.
        signed: output elements are signed.
        memories: by the prefix of their ports.
        open_ports: ports that are connected to nothing.
        rate: output words per frame, and the II per frame that the header promises.
    """

    module: str
    parameters: dict[str, int | str]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    signed: bool = False
    memories: Mapping[str, Memory | ThresholdMemory] = field(default_factory=dict)
    open_ports: tuple[str, ...] = ()
    rate: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        return "-".join(f"{name}{value}" for name, value in self.parameters.items())[:80]


class Bench:
    """A simulation of what `write_bench` wrote."""

    def __init__(self, model: Path, variants: Sequence[Variant]) -> None:
        self.model = model
        self.variants = variants

    def run(
        self,
        variant: Variant,
        elements: np.ndarray,
        outputs: int,
        gaps: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[np.ndarray, SimulationResult]:
        """Feed `elements` [words, elements]; returns elements [outputs, elements] and cycles."""
        data = pack_words(elements, variant.inputs[1])
        select = np.full((len(data), 1), self.variants.index(variant), np.uint8)
        result = StreamSimulator(self.model).run(
            np.concatenate([select, data], axis=1),
            outputs,
            input_gap=gaps[0],
            output_stall=gaps[1],
            seed=len(elements),
            max_idle_cycles=20_000,
        )
        count, bits = variant.outputs
        return unpack_words(result.words, bits, count, signed=variant.signed), result

    def check(
        self,
        variant: Variant,
        elements: np.ndarray,
        expected: np.ndarray,
        gaps: tuple[float, float],
    ) -> None:
        """Bit-exact output for whole frames; without gaps also the initiation interval.

        Args:
            elements: [input words, elements].
            expected: [output words, elements].
        """
        out, result = self.run(variant, elements, len(expected), gaps)
        assert np.array_equal(out, expected)
        if gaps == (0.0, 0.0):
            outputs_per_frame, interval = variant.rate
            frame_ends = result.output_cycles[outputs_per_frame - 1 :: outputs_per_frame]
            intervals = np.diff(frame_ends)
            assert len(intervals) >= 8
            assert set(intervals[len(intervals) // 2 :]) == {interval}


def build_bench(directory: Path, variants: Sequence[Variant], *sources: Path) -> Bench:
    """Compile variants of one operator; `sources` only if it is not a file of hw/rtl by itself."""
    written = write_bench(directory, variants)
    operator = sources or (RTL / f"{variants[0].module}.v",)
    return Bench(build_model([*written, *operator], "bench", directory), variants)


def write_bench(directory: Path, variants: Sequence[Variant]) -> list[Path]:
    """Module `bench` with all variants behind one stream, and the modules of their memories.

    The lowest byte of an input word selects the variant.
    """
    written = [directory / "bench.v"]
    instances = []
    for number, variant in enumerate(variants):
        for prefix, memory in variant.memories.items():
            written.append(directory / f"{prefix}s_{number}.v")
            memory.write(directory, written[-1].stem)
        instances.append(_instance(number, variant))
    top = _TOP.format(
        input_bits=8 + max(prod(variant.inputs) for variant in variants),
        output_bits=max(prod(variant.outputs) for variant in variants),
        count=len(variants),
        last=len(variants) - 1,
        instances="".join(instances),
    )
    written[0].write_text(top)
    return written


def random_elements(
    generator: np.random.Generator, words: int, elements: int, bits: int, *, signed: bool
) -> np.ndarray:
    """Elements over the whole range, extreme values included often."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = generator.integers(low, high, (words, elements), endpoint=True)
    extreme = generator.random((words, elements)) < 0.1
    return np.where(extreme, generator.choice([low, high], (words, elements)), values)


def _instance(number: int, variant: Variant) -> str:
    parameters = ", ".join(f".{name}({value})" for name, value in variant.parameters.items())
    return _INSTANCE.format(
        number=number,
        module=variant.module,
        parameters=parameters,
        input_bits=prod(variant.inputs),
        output_bits=prod(variant.outputs),
        memories="".join(
            _MEMORY.format(
                number=number,
                prefix=prefix,
                width=memory.width,
                address_bits=memory.address_bits,
            )
            for prefix, memory in variant.memories.items()
        ),
        more_ports="".join(
            [
                *(_MEMORY_PORTS.format(prefix=prefix) for prefix in variant.memories),
                *(f",\n          .{port}()" for port in variant.open_ports),
            ]
        ),
    )


_TOP = """\
module bench (
    input ap_clk,
    input ap_rst_n,
    input [{input_bits}-1:0] in0_V_TDATA,
    input in0_V_TVALID,
    output in0_V_TREADY,
    output [{output_bits}-1:0] out0_V_TDATA,
    output out0_V_TVALID,
    input out0_V_TREADY
);
  wire [7:0] select = in0_V_TDATA[7:0];
  wire [{last}:0] ready, valid;
  wire [{output_bits}-1:0] data[0:{last}];
  assign in0_V_TREADY = ready[select];
  assign out0_V_TVALID = |valid;
  reg [{output_bits}-1:0] chosen;
  assign out0_V_TDATA = chosen;
  integer i;
  always @* begin
    chosen = 0;
    for (i = 0; i < {count}; i = i + 1) if (valid[i]) chosen = data[i];
  end
{instances}
endmodule
"""

_INSTANCE = """
  generate
    if (1) begin : variant_{number}
      wire [{output_bits}-1:0] word;
      assign data[{number}] = word;
{memories}
      {module} #({parameters}) operator (
          .clk(ap_clk),
          .rst_n(ap_rst_n),
          .s_tdata(in0_V_TDATA[8+:{input_bits}]),
          .s_tvalid(in0_V_TVALID && select == {number}),
          .s_tready(ready[{number}]),
          .m_tdata(word),
          .m_tvalid(valid[{number}]),
          .m_tready(out0_V_TREADY){more_ports}
      );
    end
  endgenerate
"""

_MEMORY_PORTS = """,
          .{prefix}_enable({prefix}_enable),
          .{prefix}_address({prefix}_address),
          .{prefix}_data({prefix}_data)"""

_MEMORY = """
      wire {prefix}_enable;
      wire [{address_bits}-1:0] {prefix}_address;
      wire [{width}-1:0] {prefix}_data;
      {prefix}s_{number} {prefix}_memory (
          .clk(ap_clk),
          .enable({prefix}_enable),
          .address({prefix}_address),
          .data({prefix}_data)
      );
"""
