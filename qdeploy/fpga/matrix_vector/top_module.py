# SPDX-License-Identifier: Apache-2.0
"""Verilog of a matrix-vector layer: the unit between its dot products and memories."""

from __future__ import annotations

from collections.abc import Mapping


def top_module(
    name: str,
    *,
    unit: Mapping[str, int | str],
    products: Mapping[str, int | str],
    scaled: bool,
    **widths: int,
) -> str:
    """Module `name`.

    Args:
        name: of the module, prefix of the names of its parts.
        unit: parameters of matrix_vector_unit.
        products: parameters of dot_products.
        scaled: whether there is a memory of multipliers.
        widths: bits of the wires.
    """
    return _TOP.format(
        name=name,
        unit=_parameters(unit),
        products=_parameters(products),
        multipliers=_MULTIPLIERS.format(name=name) if scaled else _NO_SCALES,
        **widths,
    )


def _parameters(values: Mapping[str, int | str]) -> str:
    return ",\n      ".join(f".{key}({value})" for key, value in values.items())


_MULTIPLIERS = """\
  {name}_multipliers multipliers (
      .clk(clk),
      .enable(1'b1),
      .address(multiplier_address),
      .data(multiplier_data)
  );
"""
_NO_SCALES = "  assign multiplier_data = 0;\n"
_TOP = """\
// SPDX-License-Identifier: Apache-2.0
// Matrix-vector layer; see matrix_vector_unit.v for the streams.
module {name} (
    input clk,
    input rst_n,
    input [{input_bits}-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [{output_bits}-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  wire [{input_bits}-1:0] elements;
  wire [{code_bits}-1:0] codes;
  wire [{sum_bits}-1:0] sums;
  wire enable, first;
  wire [{weight_address}-1:0] weight_address;
  wire [{row_address}-1:0] row_address;
  wire [{row_bits}-1:0] row_data;
  wire [{scale_address}-1:0] multiplier_address;
  wire [{scale_bits}-1:0] multiplier_data;
  {name}_weights weights (
      .clk(clk),
      .enable(1'b1),
      .address(weight_address),
      .data(codes)
  );
  {name}_rows rows (
      .clk(clk),
      .enable(1'b1),
      .address(row_address),
      .data(row_data)
  );
{multipliers}
`ifdef SYNTHESIS
  {name}_dot_products products (
`else
  dot_products #(
      {products}
  ) products (
`endif
      .clk(clk),
      .elements(elements),
      .codes(codes),
      .enable(enable),
      .first(first),
      .sums(sums)
  );
  matrix_vector_unit #(
      {unit}
  ) unit (
      .clk(clk),
      .rst_n(rst_n),
      .s_tdata(s_tdata),
      .s_tvalid(s_tvalid),
      .s_tready(s_tready),
      .m_tdata(m_tdata),
      .m_tvalid(m_tvalid),
      .m_tready(m_tready),
      .elements(elements),
      .enable(enable),
      .first(first),
      .sums(sums),
      .weight_address(weight_address),
      .multiplier_address(multiplier_address),
      .multiplier_data(multiplier_data),
      .row_address(row_address),
      .row_data(row_data)
  );
endmodule
"""
