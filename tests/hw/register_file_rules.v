// SPDX-License-Identifier: Apache-2.0
// What AXI4-Lite asks of register_file, for a master that keeps to it. Everything else is arbitrary.
module register_file_rules (
    input clk,
    input rst_n,
    input [15:0] awaddr,
    input awvalid,
    input [31:0] wdata,
    input [3:0] wstrb,
    input wvalid,
    input bready,
    input [15:0] araddr,
    input arvalid,
    input rready,
    input frame_open,
    input frame_taken,
    input frame_given,
    input [1:0] valid,
    input [1:0] ready
);
  wire awready, wready, bvalid, arready, rvalid;
  wire [31:0] rdata;
  wire [1:0] bresp, rresp;
  register_file registers (
      .clk(clk),
      .rst_n(rst_n),
      .s_axi_awaddr(awaddr),
      .s_axi_awvalid(awvalid),
      .s_axi_awready(awready),
      .s_axi_wdata(wdata),
      .s_axi_wstrb(wstrb),
      .s_axi_wvalid(wvalid),
      .s_axi_wready(wready),
      .s_axi_bresp(bresp),
      .s_axi_bvalid(bvalid),
      .s_axi_bready(bready),
      .s_axi_araddr(araddr),
      .s_axi_arvalid(arvalid),
      .s_axi_arready(arready),
      .s_axi_rdata(rdata),
      .s_axi_rresp(rresp),
      .s_axi_rvalid(rvalid),
      .s_axi_rready(rready),
      .reset_n(),
      .frames_per_packet(),
      .new_packet(),
      .frame_open(frame_open),
      .frame_taken(frame_taken),
      .frame_given(frame_given),
      .valid(valid),
      .ready(ready)
  );

  // One cycle ago: offered and not taken, ran, wrote as soon as it could.
  reg started = 1'b0;
  reg ran, aw_waited, w_waited, ar_waited, b_waited, r_waited, write_possible;
  reg [15:0] last_awaddr, last_araddr;
  reg [31:0] last_wdata, last_rdata;
  reg [3:0] last_wstrb;
  reg [1:0] addresses, values, reads;  // taken, and not answered yet
  always @(posedge clk) begin
    started <= 1'b1;
    ran <= rst_n;
    aw_waited <= awvalid && !awready;
    w_waited <= wvalid && !wready;
    ar_waited <= arvalid && !arready;
    b_waited <= bvalid && !bready;
    r_waited <= rvalid && !rready;
    write_possible <= awvalid && wvalid && !awready && (!bvalid || bready);
    last_awaddr <= awaddr;
    last_araddr <= araddr;
    last_wdata <= wdata;
    last_rdata <= rdata;
    last_wstrb <= wstrb;
    if (!rst_n) begin
      addresses <= 0;
      values <= 0;
      reads <= 0;
    end else begin
      addresses <= addresses + (awvalid && awready) - (bvalid && bready);
      values <= values + (wvalid && wready) - (bvalid && bready);
      reads <= reads + (arvalid && arready) - (rvalid && rready);
    end
  end
  always @* begin
    if (!started) assume (!rst_n);
    else if (ran && rst_n) begin
      if (aw_waited) assume (awvalid && awaddr == last_awaddr);
      if (w_waited) assume (wvalid && wdata == last_wdata && wstrb == last_wstrb);
      if (ar_waited) assume (arvalid && araddr == last_araddr);
      if (b_waited) assert (bvalid);
      if (r_waited) assert (rvalid && rdata == last_rdata);
      if (write_possible) assert (awready && wready);
    end
    if (started && ran) begin
      assert (bvalid == (addresses != 0) && bvalid == (values != 0));
      assert (rvalid == (reads != 0));
      assert (addresses < 2 && values < 2 && reads < 2);
      assert (bresp == 0 && rresp == 0);
    end
  end
endmodule
