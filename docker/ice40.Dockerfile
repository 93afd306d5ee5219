# SPDX-License-Identifier: Apache-2.0
# Open synthesis, place and route for Lattice iCE40: see benchmarks/ice40.py. BASE: Debian 12.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
# Yosys is unpacked by hand: its package wants a viewer with all of a desktop behind it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        berkeley-abc fpga-icestorm libffi8 libreadline8 libtcl8.6 nextpnr-ice40 \
    && cd /tmp && apt-get download yosys && dpkg -x yosys_*.deb / && rm yosys_*.deb \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 4000 builder
USER builder
