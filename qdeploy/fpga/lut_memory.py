# SPDX-License-Identifier: Apache-2.0
"""Read-only memories as LUTs and the multiplexers of a slice, one site per 64 words and bit.

Synthesis tools take behavioural ROMs apart and share what they find between columns, which for wide
words needs more than twice as many LUTs (Yosys 0.70: 4.7 per bit at 72 words, against 2).
"""

from __future__ import annotations

from collections.abc import Sequence

LUT_WORDS = 64  # of a LUT6
SLICE_WORDS = 4 * LUT_WORDS  # four of them behind MUXF7 and MUXF8


def lut_sites(depth: int, width: int) -> int:
    """LUT sites of a memory of `depth` words, at most (equal and constant columns need none)."""
    if depth <= LUT_WORDS // 2:
        return -(-width // 2)
    slices = -(-depth // SLICE_WORDS)
    select = 0 if slices == 1 else -(-(slices - 1) // 3)
    return width * (-(-depth // LUT_WORDS) + select)


def lut_memory(words: Sequence[int], width: int) -> str:
    """Verilog that drives `wire [width-1:0] word` from `address`; two columns share a LUT6_2."""
    columns = [
        sum((word >> bit & 1) << row for row, word in enumerate(words)) for bit in range(width)
    ]
    full = (1 << len(words)) - 1
    lines = [f"  wire [{width}-1:0] word;"]
    first: dict[int, int] = {0: -1, full: -1}  # bit of the first equal column
    distinct = []
    for bit, column in enumerate(columns):
        if column in (0, full):
            lines.append(f"  assign word[{bit}] = 1'b{int(column > 0)};")
        elif column in first:
            lines.append(f"  assign word[{bit}] = word[{first[column]}];")
        else:
            first[column] = bit
            distinct.append((bit, column))
    if len(words) <= LUT_WORDS // 2:
        lines += _pairs(distinct, len(words))
    else:
        for bit, column in distinct:
            lines += _column(bit, column, len(words))
    return "\n".join(lines)


def _pairs(columns: list[tuple[int, int]], depth: int) -> list[str]:
    bits = max(1, (depth - 1).bit_length())
    pins = [f".I{k}({f'address[{k}]' if k < bits else _constant(k == 5)})" for k in range(6)]
    lines = []
    for (low, low_table), (high, high_table) in zip(columns[::2], columns[1::2], strict=False):
        init = _repeated(high_table, bits, 5) << 32 | _repeated(low_table, bits, 5)
        lines.append(
            f"  LUT6_2 #(.INIT(64'h{init:016x})) column_{low} ({', '.join(pins)}, "
            f".O5(word[{low}]), .O6(word[{high}]));"
        )
    if len(columns) % 2:
        lines += _column(*columns[-1], depth)
    return lines


def _column(bit: int, table: int, depth: int) -> list[str]:
    bits = max(1, (depth - 1).bit_length())
    pins = [f".I{k}({f'address[{k}]' if k < bits else _constant(False)})" for k in range(6)]
    lines = []
    nets = [f"word[{bit}]"]
    leaves = -(-depth // LUT_WORDS)
    if leaves > 1:
        nets = [f"c{bit}_{leaf}" for leaf in range(leaves)]
        lines.append(f"  wire {', '.join(nets)};")
    for leaf, net in enumerate(nets):
        init = _repeated(table >> leaf * LUT_WORDS & (1 << LUT_WORDS) - 1, min(bits, 6), 6)
        lines.append(
            f"  LUT6 #(.INIT(64'h{init:016x})) column_{bit}_{leaf} ({', '.join(pins)}, .O({net}));"
        )
    for level, kind in ((6, "MUXF7"), (7, "MUXF8")):
        if len(nets) == 1:
            return lines
        last = len(nets) == 2
        merged = []
        if level == 6 and len(nets) % 2:
            nets.append("1'b0")  # a MUXF8 takes only what comes from a MUXF7
        for k in range(0, len(nets) - 1, 2):
            net = f"word[{bit}]" if last else f"c{bit}_{level}_{k}"
            if not last:
                lines.append(f"  wire {net};")
            lines.append(
                f"  {kind} select_{bit}_{level}_{k} (.I0({nets[k]}), .I1({nets[k + 1]}), "
                f".S(address[{level}]), .O({net}));"
            )
            merged.append(net)
        nets = merged + nets[len(merged) * 2 :]
    if len(nets) > 1:
        listed = ", ".join(reversed(nets))
        lines += [
            f"  wire [{len(nets)}-1:0] slices_{bit} = {{{listed}}};",
            f"  assign word[{bit}] = slices_{bit}[address[{bits - 1}:8]];",
        ]
    return lines


def _repeated(table: int, bits: int, inputs: int) -> int:
    """The table of a function that does not depend on its inputs from `bits` on."""
    return sum(table << (copy << bits) for copy in range(1 << (inputs - bits)))


def _constant(value: bool) -> str:
    return "1'b1" if value else "1'b0"
