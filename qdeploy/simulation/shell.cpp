// SPDX-License-Identifier: Apache-2.0
// Clocks a verilated shell (qdeploy/fpga/shell.py) with an AXI4-Lite master, a source and a sink of
// beats, each of which may pause at random; called from shell.py with ctypes.

#include <cstring>
#include <deque>
#include <tuple>

#include "Vmodel.h"
#include "clocked.h"
#include "verilated.h"

namespace {

constexpr std::uint32_t control = 0x08;

// Why `simulation_run` stopped early; mirrored by shell.py.
enum Violation { none, withdrawn, combinational, response };

struct Write {
    std::uint32_t address, value, strobes;
};

struct Beat {
    std::uint64_t data;
    bool last;
};

// One channel's random pauses. `chance` is compared with 32 random bits: that one begins.
struct Pauses {
    std::uint64_t chance = 0;
    std::int64_t burst = 1;
    std::int64_t end = 0;

    bool now(std::int64_t cycle, std::uint64_t& random) {
        if (chance && cycle >= end && draw(random) < chance) end = cycle + burst;
        return cycle < end;
    }
};

struct Simulation {
    VerilatedContext context;
    Vmodel design{&context};
    std::int64_t cycle = 0;
    std::uint64_t random = 1;
    Pauses source, sink, aw, w, b, ar, r;
    std::deque<std::uint64_t> unsent;
    std::deque<Beat> received;
    std::int64_t room = 0;  // beats that the sink may still take
    std::deque<Write> addresses, values;  // not taken yet
    std::deque<Write> unanswered;
    std::deque<std::uint32_t> reads, answers;
    std::int64_t asked = 0, answered = 0;  // reads
    std::int64_t reset_end = 0;  // a soft reset may withdraw a beat before this cycle
    int violation = none;

    void reset() {
        design.aresetn = 0;
        design.s_axis_tkeep = 0xff;
        for (int i = 0; i < 16; ++i) {
            design.aclk = 0;
            design.eval();
            design.aclk = 1;
            design.eval();
        }
        design.aresetn = 1;
    }

    // What the design says on each channel, payload 0 where nothing is offered.
    auto outputs() const {
        const bool b = design.s_axi_bvalid, r = design.s_axi_rvalid, m = design.m_axis_tvalid;
        return std::make_tuple(
            std::make_tuple(design.s_axi_awready, design.s_axi_wready, design.s_axi_arready,
                            design.s_axis_tready),
            std::make_tuple(b, b ? design.s_axi_bresp : 0),
            std::make_tuple(r, r ? design.s_axi_rdata : 0, r ? design.s_axi_rresp : 0),
            std::make_tuple(m, m ? design.m_axis_tdata : 0, m && design.m_axis_tlast));
    }

    // Turns over everything that AXI outputs must not depend on within the cycle.
    void invert() {
        for (CData* input : {&design.s_axi_awvalid, &design.s_axi_wvalid, &design.s_axi_bready,
                             &design.s_axi_arvalid, &design.s_axi_rready, &design.s_axis_tvalid,
                             &design.m_axis_tready}) {
            *input = !*input;
        }
        design.eval();
    }

    void offer() {
        if (!design.s_axi_awvalid && !addresses.empty() && !aw.now(cycle, random)) {
            design.s_axi_awvalid = 1;
            design.s_axi_awaddr = addresses.front().address;
        }
        if (!design.s_axi_wvalid && !values.empty() && !w.now(cycle, random)) {
            design.s_axi_wvalid = 1;
            design.s_axi_wdata = values.front().value;
            design.s_axi_wstrb = values.front().strobes;
        }
        if (!design.s_axi_arvalid && !reads.empty() && !ar.now(cycle, random)) {
            design.s_axi_arvalid = 1;
            design.s_axi_araddr = reads.front();
        }
        if (!design.s_axis_tvalid && !unsent.empty() && !source.now(cycle, random)) {
            design.s_axis_tvalid = 1;
            design.s_axis_tdata = unsent.front();
            design.s_axis_tlast = unsent.size() == 1;
        }
        design.s_axi_bready = !b.now(cycle, random);
        design.s_axi_rready = !r.now(cycle, random);
        design.m_axis_tready = !sink.now(cycle, random) && room > 0;
    }

    void run_cycle() {
        design.aclk = 0;
        offer();
        design.eval();
        const auto now = outputs();
        if (source.chance || sink.chance || aw.chance) {
            invert();
            if (outputs() != now) violation = combinational;
            invert();
        }
        const bool took_aw = design.s_axi_awvalid && design.s_axi_awready;
        const bool took_w = design.s_axi_wvalid && design.s_axi_wready;
        const bool took_ar = design.s_axi_arvalid && design.s_axi_arready;
        const bool took_in = design.s_axis_tvalid && design.s_axis_tready;
        const bool took_b = design.s_axi_bvalid && design.s_axi_bready;
        const bool took_r = design.s_axi_rvalid && design.s_axi_rready;
        const bool took_out = design.m_axis_tvalid && design.m_axis_tready;
        if (took_b) {
            if (unanswered.size() <= values.size() || unanswered.size() <= addresses.size() ||
                design.s_axi_bresp) {
                violation = response;  // before the write was taken
            } else {
                unanswered.pop_front();
            }
        }
        if (took_r) {
            if (asked == answered || design.s_axi_rresp) violation = response;
            ++answered;
            answers.push_back(design.s_axi_rdata);
        }
        if (took_out) {
            const bool last = design.m_axis_tlast;
            received.push_back({design.m_axis_tdata, last});
            room = last ? 0 : room - 1;
        }
        // What was offered and not taken must be there in the next cycle, but for a soft reset.
        if (!unanswered.empty() && unanswered.front().address == control) reset_end = cycle + 4;
        design.aclk = 1;
        design.eval();
        const auto next = outputs();
        if (std::get<0>(std::get<1>(now)) && !took_b && std::get<1>(next) != std::get<1>(now)) {
            violation = withdrawn;
        }
        if (std::get<0>(std::get<2>(now)) && !took_r && std::get<2>(next) != std::get<2>(now)) {
            violation = withdrawn;
        }
        if (std::get<0>(std::get<3>(now)) && !took_out && cycle >= reset_end &&
            std::get<3>(next) != std::get<3>(now)) {
            violation = withdrawn;
        }
        if (took_aw) {
            addresses.pop_front();
            design.s_axi_awvalid = 0;
        }
        if (took_w) {
            values.pop_front();
            design.s_axi_wvalid = 0;
        }
        if (took_ar) {
            reads.pop_front();
            ++asked;
            design.s_axi_arvalid = 0;
        }
        if (took_in) {
            unsent.pop_front();
            design.s_axis_tvalid = 0;
        }
        ++cycle;
    }
};

}  // namespace

// `directory` holds the files that the design reads at its start; null if it cannot be entered.
EXPORT Simulation* shell_new(const char* directory) { return create_in<Simulation>(directory); }

EXPORT void shell_delete(Simulation* simulation) {
    simulation->design.final();
    delete simulation;
}

// Probabilities times 2^32 that the source, the sink or a channel of the master begins to pause.
EXPORT void shell_pause(Simulation* simulation, std::uint64_t source, std::uint64_t sink,
                        std::uint64_t master, std::int64_t burst, std::uint64_t seed) {
    simulation->source = {source, burst};
    simulation->sink = {sink, burst};
    for (Pauses* channel : {&simulation->aw, &simulation->w, &simulation->b, &simulation->ar,
                            &simulation->r}) {
        *channel = {master, burst};
    }
    for (Pauses* channel : {&simulation->source, &simulation->sink, &simulation->aw,
                            &simulation->w, &simulation->b, &simulation->ar, &simulation->r}) {
        channel->end = simulation->cycle;
    }
    simulation->random = seed;
}

EXPORT void shell_write(Simulation* simulation, std::uint32_t address, std::uint32_t value,
                        std::uint32_t strobes) {
    simulation->addresses.push_back({address, value, strobes});
    simulation->values.push_back({address, value, strobes});
    simulation->unanswered.push_back({address, value, strobes});
}

EXPORT void shell_read(Simulation* simulation, std::uint32_t address) {
    simulation->reads.push_back(address);
}

// Transfers of the master that are not answered yet.
EXPORT std::int64_t shell_open(Simulation* simulation) {
    return static_cast<std::int64_t>(simulation->unanswered.size() + simulation->reads.size()) +
           simulation->asked - simulation->answered;
}

// The answer of the oldest read that has one and was not asked for here.
EXPORT std::uint32_t shell_answer(Simulation* simulation) {
    const std::uint32_t value = simulation->answers.front();
    simulation->answers.pop_front();
    return value;
}

EXPORT void shell_send(Simulation* simulation, const std::uint8_t* data, std::int64_t beats) {
    for (std::int64_t i = 0; i < beats; ++i) {
        std::uint64_t beat;
        std::memcpy(&beat, data + 8 * i, 8);
        simulation->unsent.push_back(beat);
    }
}

EXPORT std::int64_t shell_unsent(Simulation* simulation) {
    return static_cast<std::int64_t>(simulation->unsent.size());
}

// Lets the sink take so many more beats, none behind one with TLAST.
EXPORT void shell_receive(Simulation* simulation, std::int64_t beats) { simulation->room += beats; }

EXPORT std::int64_t shell_room(Simulation* simulation) { return simulation->room; }

EXPORT std::int64_t shell_received(Simulation* simulation) {
    return static_cast<std::int64_t>(simulation->received.size());
}

// The oldest beats that came, up to one with TLAST; returns how many and sets `last`.
EXPORT std::int64_t shell_take(Simulation* simulation, std::uint8_t* data, bool* last) {
    std::int64_t count = 0;
    for (*last = false; !simulation->received.empty() && !*last; ++count) {
        std::memcpy(data + 8 * count, &simulation->received.front().data, 8);
        *last = simulation->received.front().last;
        simulation->received.pop_front();
    }
    return count;
}

// The source forgets what it has to send, the sink what came and that it may take more.
EXPORT void shell_abort(Simulation* simulation) {
    simulation->unsent.clear();
    simulation->received.clear();
    simulation->room = 0;
    simulation->design.s_axis_tvalid = 0;
}

// Goes on for so many cycles, or until the design breaks the protocol or, on request, every transfer
// of the master is answered. Returns the violation.
EXPORT int shell_run(Simulation* simulation, std::int64_t cycles, bool until_answered) {
    for (; cycles > 0 && !simulation->violation; --cycles) {
        if (until_answered && !shell_open(simulation)) break;
        simulation->run_cycle();
    }
    return simulation->violation;
}

EXPORT std::int64_t shell_cycle(Simulation* simulation) { return simulation->cycle; }
