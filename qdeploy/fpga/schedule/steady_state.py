# SPDX-License-Identifier: Apache-2.0
"""A periodic schedule of actors that pass words through channels.

An actor does the same steps for every frame, one per cycle at most; a step may wait for words and
may give a word to each of its channels. In a periodic schedule every frame follows the last one by
the same number of cycles, so that the times of one frame are the whole schedule. If FIFOs have room
for what they hold in some such schedule, hardware that does everything as soon as it can is at
least as fast: its times grow with the times of what it waits for, and with nothing else (Reiter:
Scheduling parallel computations, JACM 15, 1968).

Here a step waits for its words and then for room, as in hardware with FIFOs of least depth, but not
longer than nothing behind it is delayed: beyond that, FIFOs must be deeper. `settled` finds out
whether given FIFOs have a schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
# Cycles after which a word that left a storage is replaced.
RETURN = 1
# How often the times follow room that depends on them.
_SWEEPS = 40
_NEVER = 1 << 60


@dataclass(frozen=True, eq=False)
class Actor:
    """What does `steps` steps per frame."""

    steps: int


@dataclass(frozen=True, eq=False)
class Channel:
    """The words of a frame from one actor to another, through a storage.

    Attributes:
        source: gives them.
        target: takes them.
        given: step of `source` that gives each word, ascending.
        needed: first step of `target` that needs each word, ascending.
        released: step of `target` after which each word's place is free, ascending.
        delay: cycles from the step that gives a word until it enters the storage.
        latency: cycles from then until a step can need it.
        room: words that the storage holds, at least if it is to be sized.
        sized: whether it may hold more.
    """

    source: Actor
    target: Actor
    given: Times
    needed: Times
    released: Times
    delay: int
    latency: int
    room: int
    sized: bool = False

    @cached_property
    def waits(self) -> tuple[Times, Times]:
        """Steps of `target` that need words, and steps of `source` that give the last of them."""
        last = np.flatnonzero(np.append(np.diff(self.needed) > 0, True))
        return self.needed[last], self.given[last]

    @cached_property
    def reused(self) -> tuple[Times, Times]:
        """Frames before and step of `target` after which the place is free that each word takes."""
        words = len(self.given)
        frame, word = np.divmod(np.arange(words) - self.room, words)
        return -frame, self.released[word]

    def there(self, times: Mapping[Actor, Times]) -> Times:
        """When the words are there that the steps of `waits` need."""
        return times[self.source][self.waits[1]] + (self.delay + self.latency)

    def free(self, times: Mapping[Actor, Times], cycles: int) -> Times:
        """When there is room for each word to be given."""
        frames, released = self.reused
        return times[self.target][released] - frames * cycles + (RETURN - self.delay)

    def entries(self, times: Mapping[Actor, Times]) -> Times:
        """When each word enters the storage."""
        return times[self.source][self.given] + self.delay

    def exits(self, times: Mapping[Actor, Times]) -> Times:
        """When each word leaves it."""
        return times[self.target][self.released]

    def peak(self, times: Mapping[Actor, Times], cycles: int) -> int:
        """Most words that it holds: those that entered by a cycle and did not leave before it."""
        entries, exits = self.entries(times), self.exits(times)
        words = len(entries)
        # Frames before and behind are in the storage as well.
        frames = np.arange(-1 - (int(exits.max() - entries.min()) // cycles), 2)
        gone = sum(np.searchsorted(exits + frame * cycles, entries) for frame in frames)
        held = np.arange(1, words + 1) - (gone + words * int(frames[0]))
        return int(held.max())


class Pipeline:
    """Actors and the channels between them, which all hold no more than their room.

    Args:
        actors: in topological order.
        channels: between them.
        cycles: per frame, at least the steps of every actor.
    """

    def __init__(self, actors: Sequence[Actor], channels: Iterable[Channel], cycles: int) -> None:
        self._actors = list(actors)
        self._cycles = cycles
        self._to: dict[Actor, list[Channel]] = {actor: [] for actor in actors}
        self._from: dict[Actor, list[Channel]] = {actor: [] for actor in actors}
        for channel in channels:
            self.add(channel)

    def add(self, channel: Channel) -> None:
        """Add a channel."""
        self._to[channel.target].append(channel)
        self._from[channel.source].append(channel)

    def remove(self, channel: Channel) -> None:
        """Take a channel away."""
        self._to[channel.target].remove(channel)
        self._from[channel.source].remove(channel)

    def settled(
        self, times: Mapping[Actor, Times], late: Iterable[Actor], tries: int
    ) -> dict[Actor, Times] | None:
        """The first schedule in which no step is earlier than in `times`.

        Args:
            times: in cycles, one step per cycle at most.
            late: actors whose steps may have to wait longer.
            tries: how often an actor may be looked at.

        Returns:
            None if the steps do not come to rest. Then most likely there is no schedule: waiting
            goes round in a circle.
        """
        settled, forth = dict(times), True
        # Channels whose other end moved since the actor was looked at.
        waiting = {actor: {*self._to[actor], *self._from[actor]} for actor in late}
        while waiting and tries > 0:
            for actor in self._actors if forth else reversed(self._actors):
                if actor not in waiting:
                    continue
                tries -= 1
                if self._delay(actor, waiting.pop(actor), settled):
                    for channel in self._from[actor]:
                        waiting.setdefault(channel.target, set()).add(channel)
                    for channel in self._to[actor]:
                        waiting.setdefault(channel.source, set()).add(channel)
            forth = not forth
        return None if waiting else settled

    def _delay(self, actor: Actor, channels: Iterable[Channel], times: dict[Actor, Times]) -> bool:
        """Let steps wait for words and room in `channels`; whether one was too early."""
        bounds = [(c.waits[0], c.there(times)) for c in channels if c.target is actor]
        bounds += [(c.given, c.free(times, self._cycles)) for c in channels if c.source is actor]
        start = times[actor]
        late = [(steps, bound) for steps, bound in bounds if (bound > start[steps]).any()]
        if late:
            start = start.copy()
            for steps, bound in late:
                start[steps] = np.maximum(start[steps], bound)
            times[actor] = _forward(start, self._cycles)
        return bool(late)


def steady_state(
    actors: Sequence[Actor], channels: Sequence[Channel], cycles: int
) -> dict[Actor, Times]:
    """Times of the steps of a frame.

    Args:
        actors: in topological order. One without channels to it is the source, which offers its
            words evenly; one without channels from it takes words at once.
        channels: between them.
        cycles: per frame, at least the steps of every actor.
    """
    to: dict[Actor, list[Channel]] = {actor: [] for actor in actors}
    out: dict[Actor, list[Channel]] = {actor: [] for actor in actors}
    for channel in channels:
        to[channel.target].append(channel)
        out[channel.source].append(channel)

    earliest: dict[Actor, Times] = {}
    for actor in actors:
        evenly = np.arange(actor.steps) * cycles // actor.steps
        start = np.zeros(actor.steps, np.int64) if to[actor] else evenly
        earliest[actor] = _forward(after(start, to[actor], earliest), cycles)

    latest: dict[Actor, Times] = {}
    for _ in range(_SWEEPS):
        before = dict(latest)
        for actor in reversed(actors):
            end = np.full(actor.steps, _NEVER) if out[actor] else earliest[actor]
            latest[actor] = _backward(_before(end, to[actor], out[actor], latest, cycles), cycles)
        if _same(latest, before):
            break

    times = dict(earliest)
    for actor in reversed(actors):
        times[actor] = np.minimum(roomy(times[actor], out[actor], times, cycles), latest[actor])
    for _ in range(_SWEEPS):
        before = dict(times)
        for actor in actors:
            start = roomy(after(times[actor], to[actor], times), out[actor], times, cycles)
            times[actor] = np.minimum(start, latest[actor])
        if _same(times, before):
            return times
    return latest


def _same(some: Mapping[Actor, Times], others: Mapping[Actor, Times]) -> bool:
    return some.keys() == others.keys() and all(
        np.array_equal(times, others[actor]) for actor, times in some.items()
    )


def _before(
    end: Times,
    to: Sequence[Channel],
    out: Sequence[Channel],
    latest: Mapping[Actor, Times],
    cycles: int,
) -> Times:
    """Steps as late as their words may be given, and as room is needed in what is not sized."""
    end = end.copy()
    for channel in out:
        need = latest[channel.target][channel.needed] - channel.latency - channel.delay
        np.minimum.at(end, channel.given, need)
    for channel in to:
        if channel.source in latest and not channel.sized:
            words = len(channel.given)
            frame, word = np.divmod(np.arange(words) + channel.room, words)
            entries = channel.entries(latest)[word] + frame * cycles
            np.minimum.at(end, channel.released, entries - RETURN)
    return end


def after(start: Times, channels: Sequence[Channel], times: Mapping[Actor, Times]) -> Times:
    """Steps as soon as their words are there, but not before `start`."""
    start = start.copy()
    for channel in channels:
        steps, _ = channel.waits
        start[steps] = np.maximum(start[steps], channel.there(times))
    return start


def roomy(start: Times, out: Sequence[Channel], times: Mapping[Actor, Times], cycles: int) -> Times:
    """Steps from `start` on as soon as there is room for what they give."""
    start = start.copy()
    for channel in out:
        start[channel.given] = np.maximum(start[channel.given], channel.free(times, cycles))
    return _forward(start, cycles)


def _forward(start: Times, cycles: int) -> Times:
    """One step per cycle at most, over the end of the frame too; not before `start`."""
    order = np.arange(len(start))
    times: Times = np.maximum.accumulate(start - order) + order
    over: Times = np.maximum(times, times[-1] + 1 - cycles + order)
    return over


def _backward(end: Times, cycles: int) -> Times:
    """One step per cycle at most, over the end of the frame too; not behind `end`."""
    order = np.arange(len(end))
    times: Times = np.minimum.accumulate((end - order)[::-1])[::-1] + order
    over: Times = np.minimum(times, times[0] + cycles - len(end) + order)
    return over
