# SPDX-License-Identifier: Apache-2.0
"""Smaller FIFOs with which the pipeline still has a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count, takewhile

from qdeploy.fpga.schedule.steady_state import Actor, Channel, Pipeline, Times

# A FIFO of more words than this has one register more.
SHALLOW = 2
# Deepest shift register in LUTs with the output register; words of a LUT RAM.
_SHIFT, _RAM = 33, 64
# Steps find their times within some hundred looks at an actor, or not at all.
_TRIES = 1000


def with_room(channel: Channel, room: int) -> Channel:
    """The channel through a FIFO of so many words; 1: through none."""
    return replace(channel, room=room, latency=min(room, SHALLOW + 1) - 1)


def cheaper_depths(depth: int, least: int) -> list[int]:
    """Depths from `least` on with less hardware than `depth`, ascending.

    Between them a FIFO costs the same: it is none, two registers, shift registers or LUT RAMs.
    """
    rams = takewhile(lambda words: words < depth, (_RAM * n + 1 for n in count(1)))
    return [words for words in (1, SHALLOW, _SHIFT, *rams) if least <= words < depth]


def reduce(
    pipeline: Pipeline,
    fifos: Mapping[str, Channel],
    times: Mapping[Actor, Times],
    bits: Mapping[str, int],
    least: Mapping[str, int],
) -> tuple[dict[str, Channel], dict[Actor, Times]]:
    """Make one FIFO after the other as cheap as the rest allows, those with most bits first.

    Args:
        pipeline: with these FIFOs; it gets the smaller ones.
        fifos: by stream.
        times: a schedule for them.
        bits: of a word, by stream.
        least: smallest depth, by stream.

    Returns:
        The smaller FIFOs, and a schedule for them.
    """
    smaller, schedule = dict(fifos), dict(times)

    def accepts(stream: str, room: int) -> bool:
        nonlocal schedule
        old, new = smaller[stream], with_room(smaller[stream], room)
        pipeline.remove(old)
        pipeline.add(new)
        found = pipeline.settled(schedule, (new.source, new.target), _TRIES)
        if found is None:
            pipeline.remove(new)
            pipeline.add(old)
            return False
        smaller[stream], schedule = new, found
        return True

    for stream in sorted(fifos, key=lambda stream: -fifos[stream].room * bits[stream]):
        depths = cheaper_depths(fifos[stream].room, least[stream])
        tried = len(depths) - 1  # most are as small as can be
        while depths:
            fits = accepts(stream, depths[tried])
            depths = depths[:tried] if fits else depths[tried + 1 :]
            tried = len(depths) // 2
    return smaller, schedule
