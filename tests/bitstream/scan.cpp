// SPDX-License-Identifier: Apache-2.0
// Clocks a model whose ports are scanned (benchmarks/ice40.py); called from scanned_shell.py.

#include <cstdint>

#include "Vmodel.h"
#include "verilated.h"

namespace {
VerilatedContext context;
Vmodel chip{&context};
}  // namespace

// A clock cycle with these inputs; returns scan_out before its edge.
extern "C" __attribute__((visibility("default"))) int tick(int reset_n, int go, int shift,
                                                               int in) {
    chip.reset_n = reset_n;
    chip.scan_go = go;
    chip.scan_shift = shift;
    chip.scan_in = in;
    chip.clk = 0;
    chip.eval();
    const int out = chip.scan_out;
    chip.clk = 1;
    chip.eval();
    return out;
}
