// SPDX-License-Identifier: Apache-2.0
// Turns frames into the windows of a convolution or pooling. Frames arrive row by row, FOLD words per
// pixel. There is no padding inside: put `padding` in front.
//
//   WIDTH                              bits of a word
//   FOLD                               words per pixel
//   HEIGHT, IMAGE_WIDTH                pixels of a frame, at least as large as the dilated kernel
//   KERNEL_HEIGHT, KERNEL_WIDTH        pixels of a window
//   STRIDE_HEIGHT, STRIDE_WIDTH        distance of windows
//   DILATION_HEIGHT, DILATION_WIDTH    distance of the pixels of a window
//   DEPTHWISE                          order of the words of a window, outermost first:
//                                      0: kernel row, kernel column, fold
//                                      1: fold, kernel row, kernel column
//
// With OH = (HEIGHT - DILATION_HEIGHT * (KERNEL_HEIGHT - 1) - 1) / STRIDE_HEIGHT + 1 rows and OW
// columns of windows, frames that follow each other overlap so that
// II = max(HEIGHT * IMAGE_WIDTH, OH * OW * KERNEL_HEIGHT * KERNEL_WIDTH) * FOLD cycles per frame.
module sliding_window #(
    parameter WIDTH = 8,
    parameter FOLD = 1,
    parameter HEIGHT = 1,
    parameter IMAGE_WIDTH = 1,
    parameter KERNEL_HEIGHT = 1,
    parameter KERNEL_WIDTH = 1,
    parameter STRIDE_HEIGHT = 1,
    parameter STRIDE_WIDTH = 1,
    parameter DILATION_HEIGHT = 1,
    parameter DILATION_WIDTH = 1,
    parameter DEPTHWISE = 0
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output reg [WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
endmodule
