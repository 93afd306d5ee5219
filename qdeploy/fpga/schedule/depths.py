# SPDX-License-Identifier: Apache-2.0
"""The schedule of a folded graph, and how deep its FIFOs must be for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import InternalError
from qdeploy.fpga.schedule.behaviour import Behaviour, behaviour, joined, sink, source
from qdeploy.fpga.schedule.fifos import SHALLOW, reduce, with_room
from qdeploy.fpga.schedule.steady_state import Actor, Pipeline, Times, steady_state

# Looks at an actor that may correct a schedule.
_TRIES = 100_000


@dataclass(frozen=True)
class Schedule:
    """The steady state of a folded graph.

    Attributes:
        behaviours: its nodes by name.
        times: of their steps, in cycles after the first word of the frame is offered.
        peaks: words that each stream's FIFO holds at most, by tensor.
        depths: words that it must be able to hold; 1: there need not be one.
        latency: cycles from the first word in to the last word out of a frame.
    """

    behaviours: dict[str, Behaviour]
    times: dict[Actor, Times]
    peaks: dict[str, int]
    depths: dict[str, int]
    latency: int


def find_schedule(
    model: ModelWrapper, cycles: int, least: Mapping[str, int], *, smallest: bool = False
) -> Schedule:
    """A schedule with small FIFOs.

    Args:
        model: folded RTL nodes with width converters and without FIFOs, in topological order.
        cycles: per frame, at least those of the slowest node.
        least: smallest depth of the FIFO of each stream, by tensor; 1: there need not be one, a
            word that is offered waits in its writer.
        smallest: whether to look for a schedule for cheaper FIFOs (`reduce`), which takes seconds.

    Raises:
        InternalError: if none is found.
    """
    graph = model.graph
    behaviours = {node.name: behaviour(model, getCustomOp(node)) for node in graph.node}
    words_in, words_out = _words(model)
    offered, wanted = source(words_in), sink(words_out)
    nodes = [offered, *behaviours.values(), wanted]
    actors = [actor for node in nodes for actor in node.actors]
    inner = [channel for node in nodes for channel in node.channels]
    written = {graph.input[0].name: offered.outputs[0]}
    read = {graph.output[0].name: wanted.inputs[0]}
    for node in graph.node:
        written |= zip(node.output, behaviours[node.name].outputs, strict=False)
        read |= zip(node.input, behaviours[node.name].inputs, strict=False)
    streams = {tensor: (output, read[tensor]) for tensor, output in written.items()}
    room = {tensor: least[tensor] for tensor in streams}
    while True:
        channels = {
            tensor: with_room(joined(*stream), room[tensor]) for tensor, stream in streams.items()
        }
        times = steady_state(actors, [*inner, *channels.values()], cycles)
        peaks = {tensor: channel.peak(times, cycles) for tensor, channel in channels.items()}
        # Room for one, two or more words makes a difference to the latency.
        more = {tensor: max(room[tensor], min(peak, SHALLOW + 1)) for tensor, peak in peaks.items()}
        if more == room:
            break
        room = more
    fifos = {
        tensor: with_room(channel, max(room[tensor], peaks[tensor]))
        for tensor, channel in channels.items()
    }
    pipeline = Pipeline(actors, [*inner, *fifos.values()], cycles)
    settled = pipeline.settled(times, actors, _TRIES)
    if settled is None:
        raise InternalError(f"found no schedule of {cycles} cycles per frame")
    times = settled
    if smallest:
        fifos, times = reduce(pipeline, fifos, times, _bits(model), least)
    start = times[offered.actors[0]][0]
    return Schedule(
        behaviours,
        {actor: steps - start for actor, steps in times.items()},
        {tensor: fifo.peak(times, cycles) for tensor, fifo in fifos.items()},
        {tensor: fifo.room for tensor, fifo in fifos.items()},
        int(times[wanted.actors[0]][-1] - start) + 1,
    )


def _words(model: ModelWrapper) -> tuple[int, int]:
    """Words of a frame that go in and come out."""
    first, last = getCustomOp(model.graph.node[0]), getCustomOp(model.graph.node[-1])
    shapes = first.get_folded_input_shape(), last.get_folded_output_shape()
    words_in, words_out = (prod(map(int, shape[:-1])) for shape in shapes)
    return words_in, words_out


def _bits(model: ModelWrapper) -> dict[str, int]:
    """Of a word of every stream."""
    bits = {model.graph.output[0].name: getCustomOp(model.graph.node[-1]).get_outstream_width()}
    for node in model.graph.node:
        operator = getCustomOp(node)
        for port in range(operator.input_streams()):
            bits[node.input[port]] = operator.get_instream_width(port)
    return bits
