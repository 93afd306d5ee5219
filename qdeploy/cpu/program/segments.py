# SPDX-License-Identifier: Apache-2.0
"""A matrix layer as a sum of segments: bytes next to each other, times one multiplier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdeploy.integer import Convolution, Integers, Plane


@dataclass(frozen=True, eq=False)
class Segment:
    """Weights whose activations lie behind each other in a buffer.

    Attributes:
        row, column: position in the kernel of the first pixel, in pixels of the padded image.
        channel: the first channel.
        codes: weights [O, pixels, channels].
        multipliers: what the sum is multiplied with, int64 [O] or [1].
    """

    row: int
    column: int
    channel: int
    codes: Integers
    multipliers: Integers

    @property
    def scaled(self) -> bool:
        """Whether the multiplier is not 1."""
        return bool((self.multipliers != 1).any())


def segments(node: Convolution, group: int) -> tuple[Segment, ...]:
    """The segments of channel group `group` of the layer, plane by plane, row by row."""
    return tuple(
        segment for plane in node.weights.planes for segment in _of_plane(node, plane, group)
    )


def digits(segment: Segment, smallest: int, largest: int) -> tuple[Segment, ...]:
    """The same sum with codes from `smallest` (-largest or less) on, a segment for each digit."""
    if smallest <= segment.codes.min(initial=0) and segment.codes.max(initial=0) <= largest:
        return (segment,)
    base = 1 << largest.bit_length() - 1
    rest = segment.codes
    parts, place = [], 1
    while rest.any():
        digit = (rest + base // 2) % base - base // 2
        parts.append(
            Segment(
                segment.row, segment.column, segment.channel, digit, segment.multipliers * place
            )
        )
        rest, place = (rest - digit) // base, place * base
    return tuple(parts)


def parts(segment: Segment, channels: int) -> Iterator[Segment]:
    """The pixels of the segment one by one, in pieces of `channels` channels."""
    _, pixels, width = segment.codes.shape
    for pixel in range(pixels):
        for channel in range(0, width, channels):
            codes = segment.codes[:, pixel : pixel + 1, channel : channel + channels]
            yield Segment(
                segment.row,
                segment.column + pixel,
                segment.channel + channel,
                codes,
                segment.multipliers,
            )


def _of_plane(node: Convolution, plane: Plane, group_of_channels: int) -> Iterator[Segment]:
    outputs, dilations = len(plane.codes) // node.groups, node.dilations
    rows = slice(group_of_channels * outputs, (group_of_channels + 1) * outputs)
    codes = plane.codes[rows].astype(np.int64).transpose(0, 2, 3, 1)  # [O, KH, KW, C]
    multipliers = plane.multipliers.transpose(0, 2, 3, 1)  # as many axes as the codes
    if len(multipliers) > 1:
        multipliers = multipliers[rows]
    _, height, width, channels = codes.shape
    first = group_of_channels * channels
    run = 1 if multipliers.shape[2] > 1 or dilations[1] > 1 or node.groups > 1 else width
    group = channels // multipliers.shape[3]
    if group < channels:
        run = 1
    for row in range(height):
        for column in range(0, width, run):
            for channel in range(0, channels, group):
                yield Segment(
                    row * dilations[0],
                    column * dilations[1],
                    first + channel,
                    codes[:, row, column : column + run, channel : channel + group],
                    multipliers[
                        :,
                        row % multipliers.shape[1],
                        column % multipliers.shape[2],
                        channel // group,
                    ],
                )
