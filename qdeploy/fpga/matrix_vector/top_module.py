# SPDX-License-Identifier: Apache-2.0
"""Verilog of a matrix-vector layer: the unit between its dot products and memories."""

from __future__ import annotations

from collections.abc import Mapping


def top_module(
    name: str,
    *,
    unit: Mapping[str, int | str],
    products: Mapping[str, int | str],
    element_scale: Mapping[str, int | str] | None,
    **widths: int,
) -> str:
    """Module `name`.

    Args:
        name: of the module, prefix of the names of its parts.
        unit: parameters of matrix_vector_unit.
        products: parameters of dot_products.
        element_scale: parameters of element_scale, None without it.
        widths: bits of the wires.
    """
    scales, address, factors = _NO_SCALES, "weight_address", "elements"
    if element_scale is not None:
        scales = _ELEMENT_SCALES.format(name=name, scale=_parameters(element_scale), **widths)
        address, factors = "delayed_address", "factors"
    elif unit["MULTIPLIER_BITS"]:
        scales = _SUM_SCALES.format(name=name)
    return _TOP.format(
        name=name,
        unit=_parameters(unit),
        products=_parameters(products),
        scales=scales,
        address=address,
        factors=factors,
        **widths,
    )


def _parameters(values: Mapping[str, int | str]) -> str:
    return ",\n      ".join(f".{key}({value})" for key, value in values.items())


_SUM_SCALES = """\
  {name}_multipliers multipliers (
      .clk(clk),
      .enable(1'b1),
      .address(multiplier_address),
      .data(multiplier_data)
  );
"""
_NO_SCALES = "  assign multiplier_data = 0;\n"
# The weights are read a cycle later, for the scaled elements.
_ELEMENT_SCALES = """\
  wire [{scale_bits}-1:0] scales;
  wire [{factors_bits}-1:0] factors;
  reg [{weight_address}-1:0] delayed_address;
  always @(posedge clk) delayed_address <= weight_address;
  {name}_multipliers multipliers (
      .clk(clk),
      .enable(1'b1),
      .address(place),
      .data(scales)
  );
  element_scale #(
      {scale}
  ) scale (
      .clk(clk),
      .elements(elements),
      .scales(scales),
      .scaled(factors)
  );
  assign multiplier_data = 0;
"""
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
  wire [{place}-1:0] place;
  wire [{row_address}-1:0] row_address;
  wire [{row_bits}-1:0] row_data;
  wire [{multiplier_address}-1:0] multiplier_address;
  wire [{multiplier_bits}-1:0] multiplier_data;
  {name}_weights weights (
      .clk(clk),
      .enable(1'b1),
      .address({address}),
      .data(codes)
  );
  {name}_rows rows (
      .clk(clk),
      .enable(1'b1),
      .address(row_address),
      .data(row_data)
  );
{scales}
`ifdef SYNTHESIS
  {name}_dot_products products (
`else
  dot_products #(
      {products}
  ) products (
`endif
      .clk(clk),
      .elements({factors}),
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
      .place(place),
      .multiplier_address(multiplier_address),
      .multiplier_data(multiplier_data),
      .row_address(row_address),
      .row_data(row_data)
  );
endmodule
"""
