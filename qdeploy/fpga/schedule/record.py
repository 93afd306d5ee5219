# SPDX-License-Identifier: Apache-2.0
"""`schedule.json`: which node of an accelerator is busy when, and what its FIFOs hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FILE_NAME = "schedule.json"


class ScheduledNode(BaseModel):
    """A node at work on one frame, in cycles after the frame's first word is offered.

    Attributes:
        name: unique in the design.
        layer: the layer it belongs to, as in the PyTorch model.
        start: its first cycle.
        end: its last cycle.
        busy: cycles in which it works.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layer: str
    start: int
    end: int
    busy: int


class ScheduledFifo(BaseModel):
    """A FIFO.

    Attributes:
        name: unique in the design.
        layer: the layer it belongs to, as in the PyTorch model.
        bits: of a word.
        depth: words that it can hold.
        peak: most words that it holds in the schedule.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layer: str
    bits: int
    depth: int
    peak: int


class ScheduleRecord(BaseModel):
    """The steady state: every frame is like the one `interval` cycles before.

    Attributes:
        interval: cycles from frame to frame.
        latency: cycles from the first word in to the last word out of a frame.
        nodes: all but FIFOs, in the order of the data.
        fifos: in the order of the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval: int
    latency: int
    nodes: tuple[ScheduledNode, ...]
    fifos: tuple[ScheduledFifo, ...]
