// SPDX-License-Identifier: Apache-2.0
// Clocks a verilated design with one AXI4-Stream in and one out; called from driver.py with ctypes.
// Ports: ap_clk, ap_rst_n (active low), in0_V_TDATA/TVALID/TREADY, out0_V_TDATA/TVALID/TREADY.

// Recorded streams: the pairs of ports NAME_data, NAME_moves that taps.inc lists as TAP(NAME).

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vmodel.h"
#include "clocked.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

// A stream whose words are copied to `words` when they move, `capacity` at most.
struct Tap {
    const void* data;
    std::size_t size;
    const CData* moves;
    std::uint8_t* words = nullptr;
    std::int64_t capacity = 0;
    std::int64_t count = 0;
};

#define TAP(name) {&design.name##_data, sizeof(Vmodel::name##_data), &design.name##_moves},

struct Simulation {
    VerilatedContext context;
    Vmodel design{&context};
    std::vector<Tap> taps{
#include "taps.inc"
    };
#if VM_TRACE
    VerilatedVcdC trace;
    std::uint64_t half_period = 0;  // of the clock; 0 while nothing is traced
#endif

    void reset() {
#if VM_TRACE
        context.traceEverOn(true);
#endif
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
    }

    void record() {
        for (Tap& tap : taps) {
            if (tap.count < tap.capacity && *tap.moves) {
                std::memcpy(tap.words + tap.count * tap.size, tap.data, tap.size);
            }
            tap.count += *tap.moves;  // without a branch: most taps only count
        }
    }

    void dump() {
#if VM_TRACE
        if (!half_period) return;
        trace.dump(context.time());
        context.timeInc(half_period);
#endif
    }
};

constexpr std::size_t input_size = sizeof(Vmodel::in0_V_TDATA);
constexpr std::size_t output_size = sizeof(Vmodel::out0_V_TDATA);

// Mirrored by driver.py. `random` is the generator's state, `gap` and `stall` are compared with 32
// of its bits: probability times 2^32 that the source or the sink begins to pause, for `burst`
// cycles.
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
    std::int64_t burst;
    std::int64_t gap_end;    // first cycle behind the last pause of the source
    std::int64_t stall_end;  // and of the sink
    std::int64_t paused;     // cycles in which a word waited for one of them
    std::int32_t offered;    // the next input word is on the bus
    std::int32_t stalled;    // the last output word was offered and not taken: `held`
    std::int32_t violation;  // the output broke the protocol
    std::int32_t drain;      // go on when all words went in and out
};

// Whether a pause that lasts until `end` goes on or another one begins.
bool pauses(Run* run, std::uint64_t chance, std::int64_t& end) {
    if (run->cycle >= end && draw(run->random) < chance) end = run->cycle + run->burst;
    return run->cycle < end;
}

}  // namespace

// `directory` holds the files that the design reads at its start; null if it cannot be entered.
EXPORT Simulation* simulation_new(const char* directory) { return create_in<Simulation>(directory); }

EXPORT void simulation_delete(Simulation* simulation) {
#if VM_TRACE
    simulation->trace.close();
#endif
    simulation->design.final();
    delete simulation;
}

EXPORT std::int64_t simulation_input_size() { return input_size; }
EXPORT std::int64_t simulation_output_size() { return output_size; }

// From now on; `half_period` in the time unit of the trace.
EXPORT bool simulation_trace(Simulation* simulation, const char* path, std::uint64_t half_period) {
#if VM_TRACE
    simulation->half_period = half_period;
    simulation->design.trace(&simulation->trace, 99);
    simulation->trace.open(path);
    return simulation->trace.isOpen();
#else
    return false;
#endif
}

EXPORT std::int64_t simulation_taps(Simulation* simulation) {
    return static_cast<std::int64_t>(simulation->taps.size());
}

EXPORT std::int64_t simulation_tap_size(Simulation* simulation, std::int64_t tap) {
    return simulation->taps[tap].size;
}

// From now on the words of a tap go to `words`.
EXPORT void simulation_record(Simulation* simulation, std::int64_t tap, std::uint8_t* words,
                              std::int64_t capacity) {
    simulation->taps[tap].words = words;
    simulation->taps[tap].capacity = capacity;
    simulation->taps[tap].count = 0;
}

// Words of a tap that have moved since; those beyond the capacity are counted, not stored.
EXPORT std::int64_t simulation_recorded(Simulation* simulation, std::int64_t tap) {
    return simulation->taps[tap].count;
}

// Goes on with `run` for at most `cycles` cycles. An offered input word stays until it is taken;
// output words beyond `run->outputs` are counted, not stored.
EXPORT void simulation_run(Simulation* simulation, Run* run, std::int64_t cycles) {
    Vmodel& design = simulation->design;
    std::uint8_t held[output_size];
    std::memcpy(held, &design.out0_V_TDATA, output_size);
    const std::int64_t end = run->cycle + cycles;
    for (; run->cycle < end; ++run->cycle) {
        const bool complete = run->taken == run->inputs && run->given >= run->outputs;
        if (complete && !run->drain) break;
        design.ap_clk = 0;
        bool gap = false;
        if (!run->offered && run->taken < run->inputs) {
            gap = pauses(run, run->gap, run->gap_end);
            if (!gap) {
                run->offered = 1;
                std::memcpy(&design.in0_V_TDATA, run->input + run->taken * input_size, input_size);
            }
        }
        design.in0_V_TVALID = run->offered;
        const bool ready = !pauses(run, run->stall, run->stall_end);
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
        run->paused += gap || run->stalled;
        if (run->stalled) std::memcpy(held, &design.out0_V_TDATA, output_size);
        if (run->offered && design.in0_V_TREADY) {
            run->input_cycles[run->taken++] = run->cycle;
            run->offered = 0;
        }
        simulation->record();
        simulation->dump();
        design.ap_clk = 1;
        design.eval();
        simulation->dump();
    }
#if VM_TRACE
    if (simulation->half_period) simulation->trace.flush();
#endif
}
