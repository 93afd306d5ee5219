// SPDX-License-Identifier: Apache-2.0
// What every harness around a verilated design needs.

#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

// A new `Simulation` whose design reads its files in `directory`; null if it cannot be entered.
template <class Simulation>
Simulation* create_in(const char* directory) {
    const int here = open(".", O_RDONLY);
    if (chdir(directory)) {
        close(here);
        return nullptr;
    }
    auto* simulation = new Simulation;
    simulation->reset();  // reads the files
    const bool returned = !fchdir(here);
    close(here);
    return returned ? simulation : nullptr;
}

// 32 random bits.
inline std::uint64_t draw(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 32;
}
