# SPDX-License-Identifier: Apache-2.0
"""Operators as actors: in which step each takes and gives which word. See hw/rtl for the sources.

Latencies are those of the Verilog from the cycle of a step to the cycle in which its word is
offered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from qdeploy.fpga.operators.wrapper import VerilogOperator
from qdeploy.fpga.schedule.steady_state import Actor, Channel, Times


@dataclass(frozen=True)
class Input:
    """Words of a frame that an actor takes: when it first needs and when it takes each."""

    actor: Actor
    needed: Times
    taken: Times


@dataclass(frozen=True)
class Output:
    """Words of a frame that an actor gives: in which step, and cycles until they are offered."""

    actor: Actor
    given: Times
    delay: int


@dataclass(frozen=True)
class Behaviour:
    """A node: actors in topological order, channels between them, and its streams."""

    actors: tuple[Actor, ...]
    channels: tuple[Channel, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    @property
    def busy(self) -> int:
        """Cycles of a frame in which its busiest actor works."""
        return max(actor.steps for actor in self.actors)


def behaviour(model: ModelWrapper, operator: VerilogOperator) -> Behaviour:
    """What a folded node does in a frame."""
    if operator.operator == "matrix_vector_unit":
        return _matrix_vector_unit(model, operator)
    return _BEHAVIOURS[operator.operator](operator)


def source(words: int) -> Behaviour:
    """Where the words of the network's input come from."""
    actor = Actor(words)
    return Behaviour((actor,), (), (), (Output(actor, np.arange(words), 0),))


def sink(words: int) -> Behaviour:
    """Where the words of its output go."""
    actor = Actor(words)
    return Behaviour((actor,), (), (_taken(actor, np.arange(words)),), ())


def _taken(actor: Actor, steps: Times) -> Input:
    return Input(actor, steps, steps)


def _words_in(operator: Any, index: int = 0) -> int:
    return prod(map(int, operator.get_folded_input_shape(index)[:-1]))


def _words_out(operator: Any) -> int:
    return prod(map(int, operator.get_folded_output_shape()[:-1]))


def _plain(delay: int) -> Callable[[Any], Behaviour]:
    """One word in and one out per step."""

    def build(operator: Any) -> Behaviour:
        words = _words_in(operator)
        actor, steps = Actor(words), np.arange(words)
        inputs = [_taken(actor, steps)] * operator.input_streams()
        outputs = [Output(actor, steps, delay)] * operator.output_streams()
        return Behaviour((actor,), (), tuple(inputs), tuple(outputs))

    return build


def _reducing(delay: int) -> Callable[[Any], Behaviour]:
    """One word in per step; every so many of them lead to a word out."""

    def build(operator: Any) -> Behaviour:
        words_in, words_out = _words_in(operator), _words_out(operator)
        actor, every = Actor(words_in), words_in // words_out
        given = np.arange(words_out) * every + every - 1
        taken = _taken(actor, np.arange(words_in))
        return Behaviour((actor,), (), (taken,), (Output(actor, given, delay),))

    return build


def _threshold(operator: Any) -> Behaviour:
    return _plain(1 + int(operator.parameters()["STEPS"]).bit_length())(operator)


def _depthwise_unit(operator: Any) -> Behaviour:
    """With thresholds the sums of a window leave one after the other."""
    p = {name: int(value) for name, value in operator.parameters().items()}
    if not p["STEPS"]:
        return _reducing(3)(operator)
    parts, words = p["PE"] // p["LANES"], _words_in(operator)
    ends = np.arange(p["KERNEL_WORDS"] - 1, words, p["KERNEL_WORDS"])
    given = np.minimum(ends[:, np.newaxis] + np.arange(parts), words - 1).ravel()
    actor, delay = Actor(words), 3 + (parts > 1) + 1 + p["STEPS"].bit_length()
    taken = _taken(actor, np.arange(words))
    return Behaviour((actor,), (), (taken,), (Output(actor, given, delay),))


def _sum_pool(operator: Any) -> Behaviour:
    pixels, fold = (int(operator.parameters()[name]) for name in ("PIXELS", "FOLD"))
    words_in = _words_in(operator)
    actor, steps = Actor(words_in), np.arange(words_in)
    given = steps.reshape(-1, pixels, fold)[:, -1].ravel()
    return Behaviour((actor,), (), (_taken(actor, steps),), (Output(actor, given, 1),))


def _width_converter(operator: Any) -> Behaviour:
    words_in, words_out = _words_in(operator), _words_out(operator)
    if words_in > words_out:
        return _reducing(1)(operator)
    actor = Actor(words_out)
    taken = np.arange(words_in) * (words_out // words_in)
    return Behaviour(
        (actor,), (), (_taken(actor, taken),), (Output(actor, np.arange(words_out), 1),)
    )


def _concat(operator: Any) -> Behaviour:
    simd = operator.get_nodeattr("SIMD")
    words = [channels // simd for channels in operator.get_nodeattr("ChannelsPerStream")]
    total = _words_out(operator)
    actor = Actor(total)
    pixels = np.arange(total).reshape(-1, sum(words))
    parts = np.split(pixels, np.cumsum(words)[:-1], axis=1)
    inputs = tuple(_taken(actor, part.ravel()) for part in parts)
    return Behaviour((actor,), (), inputs, (Output(actor, np.arange(total), 0),))


def _padding(operator: Any) -> Behaviour:
    p = operator.parameters()
    steps = np.arange(_words_out(operator)).reshape(
        p["TOP"] + p["HEIGHT"] + p["BOTTOM"], p["LEFT"] + p["IMAGE_WIDTH"] + p["RIGHT"], p["FOLD"]
    )
    rows = slice(p["TOP"], p["TOP"] + p["HEIGHT"])
    columns = slice(p["LEFT"], p["LEFT"] + p["IMAGE_WIDTH"])
    taken = steps[rows, columns].ravel()
    needed = taken.copy()
    needed[0] = 0  # the border waits for its frame
    actor = Actor(steps.size)
    return Behaviour(
        (actor,), (), (Input(actor, needed, taken),), (Output(actor, steps.ravel(), 1),)
    )


def _upsample(operator: Any) -> Behaviour:
    p = operator.parameters()
    steps = np.arange(_words_out(operator))
    taken = steps.reshape(-1, p["ROWS"], p["IMAGE_WIDTH"], p["COLUMNS"], p["FOLD"])[:, 0, :, 0]
    actor = Actor(steps.size)
    return Behaviour((actor,), (), (_taken(actor, taken.ravel()),), (Output(actor, steps, 1),))


def _sliding_window(operator: Any) -> Behaviour:
    """A writer and a reader of a ring of words."""
    p = {name: int(value) for name, value in operator.parameters().items()}
    fold, whole = p["FOLD"], p["WHOLE_ROWS"]
    kernel_rows = p["DILATION_HEIGHT"] * (p["KERNEL_HEIGHT"] - 1) + 1
    kernel_columns = p["DILATION_WIDTH"] * (p["KERNEL_WIDTH"] - 1) + 1
    height = (p["HEIGHT"] - kernel_rows) // p["STRIDE_HEIGHT"] + 1
    width = (p["IMAGE_WIDTH"] - kernel_columns) // p["STRIDE_WIDTH"] + 1
    rows = (height - 1) * p["STRIDE_HEIGHT"] + kernel_rows
    columns = (width - 1) * p["STRIDE_WIDTH"] + kernel_columns
    span = ((kernel_rows - 1) * columns + kernel_columns) * fold
    next_row = (p["STRIDE_HEIGHT"] * columns - (width - 1) * p["STRIDE_WIDTH"]) * fold
    capacity = 1 << (span + max(next_row, span) - 1).bit_length()

    # Places of the words that the steps of a window read, the farthest of each.
    y = np.arange(p["KERNEL_HEIGHT"])[:, np.newaxis, np.newaxis] * p["DILATION_HEIGHT"]
    x = np.arange(p["KERNEL_WIDTH"])[:, np.newaxis] * p["DILATION_WIDTH"]
    places = (y * columns + x) * fold + np.arange(fold)
    if whole:
        places = places[:, -1:]
    reads = np.moveaxis(places, 2, 0).ravel() if p["DEPTHWISE"] else places.ravel()
    corner = (
        np.arange(height)[:, np.newaxis] * p["STRIDE_HEIGHT"] * columns
        + np.arange(width) * p["STRIDE_WIDTH"]
    ).ravel() * fold
    farthest = np.maximum.accumulate((corner[:, np.newaxis] + reads).ravel())
    stored = rows * columns * fold
    words = np.arange(stored)
    window_ends = np.arange(1, len(corner) + 1) * len(reads) - 1
    gone = np.append(corner[1:], stored)

    pixels = np.arange(_words_in(operator)).reshape(p["HEIGHT"], p["IMAGE_WIDTH"], fold)
    writer, reader = Actor(pixels.size), Actor(len(farthest))
    ring = Channel(
        writer,
        reader,
        given=pixels[:rows, :columns].ravel(),
        needed=np.searchsorted(farthest, words),
        released=window_ends[np.searchsorted(gone, words, side="right")],
        delay=0,
        latency=1,
        room=capacity,
    )
    return Behaviour(
        (writer, reader),
        (ring,),
        (_taken(writer, pixels.ravel()),),
        (Output(reader, np.arange(reader.steps), 1),),
    )


def _matrix_vector_unit(model: ModelWrapper, operator: Any) -> Behaviour:
    """Writer and reader of the ring that repeats a vector; the serial output behind a queue."""
    names = ("PE", "LANES", "PLANES", "LATENCY", "STEPS", "MULTIPLIER_BITS")
    parameters = operator.unit(model).parameters()
    p = {name: int(parameters[name]) for name in names}
    words, rounds = operator.vector_words(), operator.rounds()
    vectors = _words_in(operator) // words
    turn = words * p["PLANES"]
    parts = p["PE"] // p["LANES"]

    issue = Actor(vectors * words * rounds)
    steps = np.arange(issue.steps).reshape(vectors, rounds, words)
    block_ends = np.arange(turn - 1, issue.steps, turn)
    serial = Actor(len(block_ends) * parts)
    count_bits = max(1, p["STEPS"].bit_length())
    # Products and sums, scales, serial output, thresholds.
    way = p["LATENCY"] + 2 + 3 * (p["MULTIPLIER_BITS"] > 0) + (parts > 1) + 1 + count_bits
    spare = p["LATENCY"] + count_bits + parts + (10 if p["MULTIPLIER_BITS"] else 7)
    blocks = max(2, -(-spare // turn))
    queue = Channel(
        issue,
        serial,
        given=block_ends,
        needed=np.arange(0, serial.steps, parts),
        released=np.arange(parts - 1, serial.steps, parts),
        delay=0,
        latency=way + (1 if blocks * parts == 2 else 2),
        room=blocks,
    )
    output = Output(serial, np.arange(serial.steps), 0)
    if rounds == 1:
        taken = _taken(issue, steps.ravel())
        return Behaviour((issue, serial), (queue,), (taken,), (output,))
    writer = Actor(vectors * words)
    ring = Channel(
        writer,
        issue,
        given=np.arange(writer.steps),
        needed=steps[:, 0].ravel(),
        released=steps[:, -1].ravel(),
        delay=0,
        latency=1,
        room=words + operator.spare_words(),
    )
    taken = _taken(writer, np.arange(writer.steps))
    return Behaviour((writer, issue, serial), (ring, queue), (taken,), (output,))


def joined(output: Output, entrance: Input) -> Channel:
    """The stream from one node to the next, without a FIFO."""
    return Channel(
        output.actor,
        entrance.actor,
        output.given,
        entrance.needed,
        entrance.taken,
        output.delay,
        latency=0,
        room=1,
        sized=True,
    )


_BEHAVIOURS: dict[str, Callable[[Any], Behaviour]] = {
    "arg_max": _reducing(2),
    "depthwise_unit": _depthwise_unit,
    "max_pool": _reducing(1),
    "padding": _padding,
    "sliding_window": _sliding_window,
    "stream_add": _plain(2),
    "stream_concat": _concat,
    "stream_fork": _plain(0),
    "sum_pool": _sum_pool,
    "threshold": _threshold,
    "top_k": _reducing(1),
    "upsample": _upsample,
    "width_converter": _width_converter,
}
