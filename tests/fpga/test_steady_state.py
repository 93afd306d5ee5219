# SPDX-License-Identifier: Apache-2.0
"""Hardware with the scheduled FIFOs, stepped cycle by cycle, is never behind the schedule."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.fpga.schedule.fifos import reduce, with_room
from qdeploy.fpga.schedule.steady_state import Actor, Channel, Pipeline, Times, steady_state

FRAMES = 5
Graph = tuple[list[Actor], list[Channel], int]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A chain, now and then with a second way around its middle."""
    actors = [Actor(n) for n in draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))]
    pairs = list(pairwise(actors))
    if len(actors) > 2 and draw(st.booleans()):
        pairs.append((actors[0], actors[-1]))
    channels = [draw(connections(*pair)) for pair in pairs]
    return actors, channels, max(a.steps for a in actors) + draw(st.integers(0, 3))


@st.composite
def connections(draw: st.DrawFn, source: Actor, target: Actor) -> Channel:
    words = draw(st.integers(1, source.steps))
    places = st.integers(0, target.steps - 1)
    given = sorted(draw(st.permutations(range(source.steps)))[:words])
    needed = sorted(draw(st.lists(places, min_size=words, max_size=words)))
    later = draw(st.lists(places, min_size=words, max_size=words))
    released = np.maximum.accumulate(np.maximum(needed, later))
    latency = draw(st.integers(0, 3))
    room = latency + 1
    return Channel(
        source, target, np.array(given), np.array(needed), released, 0, latency, room, sized=True
    )


def stepped(graph: Graph, depths: dict[Channel, int]) -> dict[Actor, Times]:
    """Cycles of the steps of FRAMES frames of hardware that does all it can."""
    actors, channels, cycles = graph
    done: dict[Actor, list[int]] = {actor: [] for actor in actors}

    def word_cycles(actor: Actor, places: Times) -> list[int]:
        steps = [frame * actor.steps + int(p) for frame in range(FRAMES) for p in places]
        return [done[actor][s] for s in steps if s < len(done[actor])]

    for cycle in range(FRAMES * cycles * (len(actors) + 4)):
        for actor in actors:
            frame, step = divmod(len(done[actor]), actor.steps)
            possible = frame < FRAMES
            for channel in channels:
                words = len(channel.given)
                entered = word_cycles(channel.source, channel.given)
                if channel.target is actor:
                    wanted = frame * words + int((channel.needed <= step).sum())
                    there = sum(entry + channel.latency <= cycle for entry in entered)
                    possible &= there >= wanted
                elif channel.source is actor and step in channel.given:
                    left = word_cycles(channel.target, channel.released)
                    held = len(entered) - sum(exit_ < cycle for exit_ in left)
                    possible &= held < depths[channel]
            if possible:
                done[actor].append(cycle)
    return {actor: np.array(cycles) for actor, cycles in done.items()}


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_hardware_is_never_behind_the_schedule(graph: Graph) -> None:
    actors, channels, cycles = graph
    times = steady_state(actors, channels, cycles)
    depths = {channel: channel.peak(times, cycles) for channel in channels}
    reached = stepped(graph, depths)
    first = min(int(steps.min()) for steps in times.values())
    for actor in actors:
        frames = np.arange(FRAMES)[:, np.newaxis] * cycles
        scheduled = (times[actor] + frames).ravel() - min(first, 0)
        assert len(reached[actor]) == len(scheduled)
        assert (reached[actor] <= scheduled).all()


@settings(deadline=None, max_examples=10)
@given(graphs())
def test_hardware_with_the_smallest_fifos_is_never_behind_their_schedule(graph: Graph) -> None:
    actors, channels, cycles = graph
    fifos = {str(i): with_room(c, 9 * len(c.given)) for i, c in enumerate(channels)}
    pipeline = Pipeline(actors, fifos.values(), cycles)
    times = steady_state(actors, list(fifos.values()), cycles)
    settled = pipeline.settled(times, actors, 10_000)
    assert settled is not None
    ones = dict.fromkeys(fifos, 1)
    smallest, schedule = reduce(pipeline, fifos, settled, ones, ones)
    reached = stepped(
        (actors, list(smallest.values()), cycles), {c: c.room for c in smallest.values()}
    )
    first = min(int(steps.min()) for steps in schedule.values())
    for actor in actors:
        frames = np.arange(FRAMES)[:, np.newaxis] * cycles
        assert (reached[actor] <= (schedule[actor] + frames).ravel() - min(first, 0)).all()
    # Two words that are needed at once may find nothing cheaper: 33 are the next beyond 2.
    assert all(smallest[name].room <= fifo.room for name, fifo in fifos.items())


def test_a_branch_that_overtakes_waits_in_its_fifo() -> None:
    """The slow way needs 20 of 32 words before its first one leaves."""
    words = np.arange(32)
    fork, slow, join = Actor(32), Actor(32), Actor(32)
    late = np.minimum(words + 20, 31)
    channels = [
        Channel(fork, slow, words, words, words, 0, 1, 2, sized=True),
        Channel(slow, join, late[:12], words[:12], words[:12], 0, 1, 2, sized=True),
        Channel(fork, join, words, words, words, 0, 1, 2, sized=True),
    ]
    times = steady_state([fork, slow, join], channels, 32)
    # Word 0 leaves in cycle 22, behind 20 words and two FIFOs, and word 22 enters.
    assert [channel.peak(times, 32) for channel in channels] == [2, 2, 23]
