// SPDX-License-Identifier: Apache-2.0
// Clocks a verilated design with one AXI4-Stream in and one out; called from driver.py with ctypes.
// Ports: ap_clk, ap_rst_n (active low), in0_V_TDATA/TVALID/TREADY, out0_V_TDATA/TVALID/TREADY.

#include <cstdint>
#include <cstring>

#include "Vmodel.h"
#include "verilated.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Simulation {
    VerilatedContext context;
    Vmodel design{&context};
};

constexpr std::size_t input_size = sizeof(Vmodel::in0_V_TDATA);
constexpr std::size_t output_size = sizeof(Vmodel::out0_V_TDATA);

// Mirrored by driver.py. `random` is the generator's state, `gap` and `stall` are compared with 32
// of its bits: probability times 2^32.
struct Run {
    const std::uint8_t* input;
    std::uint8_t* output;
    std::int64_t* input_cycles;
    std::int64_t* output_cycles;
    std::int64_t inputs;
    std::int64_t outputs;
    std::int64_t taken;
    std::int64_t given;
    std::int64_t cycle;
    std::uint64_t gap;
    std::uint64_t stall;
    std::uint64_t random;
    std::int32_t offered;    // the next input word is on the bus
    std::int32_t stalled;    // the last output word was offered and not taken: `held`
    std::int32_t violation;  // the output broke the protocol
    std::int32_t drain;      // go on when all words went in and out
};

std::uint64_t draw(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 32;
}

}  // namespace

EXPORT Simulation* simulation_new() {
    auto* simulation = new Simulation;
    Vmodel& design = simulation->design;
    design.ap_rst_n = 0;
    design.in0_V_TVALID = 0;
    design.out0_V_TREADY = 0;
    for (int cycle = 0; cycle < 16; ++cycle) {
        design.ap_clk = 0;
        design.eval();
        design.ap_clk = 1;
        design.eval();
    }
    design.ap_rst_n = 1;
    return simulation;
}

EXPORT void simulation_delete(Simulation* simulation) {
    simulation->design.final();
    delete simulation;
}

EXPORT std::int64_t simulation_input_size() { return input_size; }
EXPORT std::int64_t simulation_output_size() { return output_size; }

// Goes on with `run` for at most `cycles` cycles. An offered input word stays until it is taken;
// output words beyond `run->outputs` are counted, not stored.
EXPORT void simulation_run(Simulation* simulation, Run* run, std::int64_t cycles) {
    Vmodel& design = simulation->design;
    std::uint8_t held[output_size];
    std::memcpy(held, &design.out0_V_TDATA, output_size);
    const std::int64_t end = run->cycle + cycles;
    for (; run->cycle < end; ++run->cycle) {
        const bool complete = run->taken == run->inputs && run->given >= run->outputs;
        if (complete && !run->drain) return;
        design.ap_clk = 0;
        if (!run->offered && run->taken < run->inputs && draw(run->random) >= run->gap) {
            run->offered = 1;
            std::memcpy(&design.in0_V_TDATA, run->input + run->taken * input_size, input_size);
        }
        design.in0_V_TVALID = run->offered;
        const bool ready = draw(run->random) >= run->stall;
        if (run->stall) {  // the offer must not depend on our answer
            design.out0_V_TREADY = !ready;
            design.eval();
            const bool valid = design.out0_V_TVALID;
            design.out0_V_TREADY = ready;
            design.eval();
            run->violation |= valid != design.out0_V_TVALID;
        } else {
            design.out0_V_TREADY = ready;
            design.eval();
        }
        if (run->stalled) {  // the offer must stay
            run->violation |= !design.out0_V_TVALID;
            run->violation |= std::memcmp(held, &design.out0_V_TDATA, output_size) != 0;
        }
        if (design.out0_V_TVALID && ready) {
            if (run->given < run->outputs) {
                std::memcpy(run->output + run->given * output_size, &design.out0_V_TDATA,
                            output_size);
                run->output_cycles[run->given] = run->cycle;
            }
            ++run->given;
        }
        run->stalled = design.out0_V_TVALID && !ready;
        if (run->stalled) std::memcpy(held, &design.out0_V_TDATA, output_size);
        if (run->offered && design.in0_V_TREADY) {
            run->input_cycles[run->taken++] = run->cycle;
            run->offered = 0;
        }
        design.ap_clk = 1;
        design.eval();
    }
}
