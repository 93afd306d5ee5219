# SPDX-License-Identifier: Apache-2.0
# What Vivado needs around it. Vivado itself is mounted from the host when a container runs and is
# never part of the image. BASE: a system that Vivado supports, or one that is as good (Debian 12).
ARG BASE=ubuntu:22.04
FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive
# libtinfo5: Vivado's shell. Later systems have only libtinfo6, which serves as well.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libfontconfig1 libfreetype6 libgomp1 libudev1 libx11-6 libxext6 libxi6 libxrender1 libxtst6 \
        locales procps \
    && { apt-get install -y --no-install-recommends libtinfo5 \
        || ln -s libtinfo.so.6 /usr/lib/x86_64-linux-gnu/libtinfo.so.5; } \
    && localedef -i en_US -f UTF-8 en_US.UTF-8 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 4000 builder
ENV LANG=en_US.UTF-8
# The licence code of Vivado calls a libudev of its own version otherwise and aborts in realloc.
ENV LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libudev.so.1
USER builder
