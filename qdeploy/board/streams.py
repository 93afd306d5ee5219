# SPDX-License-Identifier: Apache-2.0
"""Frames in memory: how integers lie there for the DMA and the shell of the accelerator.

A word takes a power of two of bytes, little-endian, element 0 in its lowest bits; a frame is its
words one after the other, padded to whole beats of 8 bytes. Unused bits and bytes are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import NDArray

    from qdeploy.board.manifest import Stream

BEAT_BYTES = 8  # of the DMA's streams


def word_bytes(width: int) -> int:
    """Bytes that a word of `width` bits takes in memory: a power of two."""
    return 1 << ((width + 7) // 8 - 1).bit_length()


def frame_bytes(words_per_frame: int, width: int) -> int:
    """Bytes that a frame takes in memory: whole beats."""
    return -(-words_per_frame * word_bytes(width) // BEAT_BYTES) * BEAT_BYTES


def pack_frames(codes: NDArray[np.int64], stream: Stream) -> NDArray[np.uint8]:
    """Integers as they lie in memory.

    Args:
        codes: int64 [N, C, ...], channels first as in the network; all fit into the stream's type.
        stream: how they are laid out.

    Returns:
        uint8 [N, frame_bytes].
    """
    groups = _Groups(stream)
    elements = (codes > 0 if stream.bipolar else codes).astype(groups.limb)
    elements = elements & groups.mask
    words = len(codes) * stream.words_per_frame
    padded = np.zeros((words, groups.count * groups.elements), groups.limb)
    last = np.moveaxis(elements, 1, -1).reshape(words, stream.elements_per_word)
    padded[:, : stream.elements_per_word] = last
    by_group = padded.reshape(words, groups.count, groups.elements)
    limbs = np.zeros((words, groups.count, groups.limbs), groups.limb)
    for element, limb, shift in groups.places():
        limbs[..., limb] |= by_group[..., element] << shift
        if shift + stream.bits > groups.bits:
            limbs[..., limb + 1] |= by_group[..., element] >> (groups.bits - shift)
    shape = (len(codes), stream.words_per_frame)
    size = min(groups.bytes, stream.word_bytes)
    frames = np.zeros((len(codes), stream.frame_bytes), np.uint8)
    used = frames[:, : stream.words_per_frame * stream.word_bytes]
    content = limbs.view(np.uint8).reshape(*shape, groups.bytes)
    used.reshape(*shape, stream.word_bytes)[..., :size] = content[..., :size]
    return frames


def unpack_frames(frames: NDArray[np.uint8], stream: Stream) -> NDArray[np.int64]:
    """Undo `pack_frames`: uint8 [N, frame_bytes] to int64 [N, C, ...]."""
    groups = _Groups(stream)
    words = len(frames) * stream.words_per_frame
    size = min(groups.bytes, stream.word_bytes)
    used = frames[:, : stream.words_per_frame * stream.word_bytes]
    padded = np.zeros((words, groups.bytes), np.uint8)
    padded[:, :size] = used.reshape(words, stream.word_bytes)[:, :size]
    limbs = padded.view(groups.limb).reshape(words, groups.count, groups.limbs)
    elements = np.zeros((words, groups.count, groups.elements), groups.limb)
    for element, limb, shift in groups.places():
        value = limbs[..., limb] >> shift
        if shift + stream.bits > groups.bits:
            value = value | limbs[..., limb + 1] << (groups.bits - shift)
        elements[..., element] = value & groups.mask
    elements = elements.reshape(words, groups.count * groups.elements)
    values = elements[:, : stream.elements_per_word].astype(np.int64)
    if stream.bipolar:
        values = 2 * values - 1
    elif stream.signed:
        sign = np.int64(-1) << np.int64(stream.bits - 1)
        values = (values ^ sign) - sign
    return np.moveaxis(values.reshape(len(frames), *stream.shape), -1, 1)


class _Groups:
    """Elements of a word in groups that fill whole machine words, limbs; at most 64 elements each.

    Attributes:
        limb: unsigned dtype of a limb.
        bits: of a limb.
        mask: of an element.
        count: groups of a word.
        elements: of a group; the last ones of the last group may not exist.
        limbs: of a group.
        bytes: of all limbs of a word.
    """

    def __init__(self, stream: Stream) -> None:
        self.bits = min(8 * stream.word_bytes, 64)
        self.limb: np.dtype[Any] = np.dtype("<u%d" % (self.bits // 8))  # noqa: UP031
        self.mask = self.limb.type((1 << stream.bits) - 1)
        self.elements = min(self.bits // gcd(stream.bits, self.bits), stream.elements_per_word)
        self.count = -(-stream.elements_per_word // self.elements)
        self.limbs = -(-self.elements * stream.bits // self.bits)
        self.bytes = self.count * self.limbs * self.limb.itemsize
        self._element_bits = stream.bits

    def places(self) -> Iterator[tuple[int, int, Any]]:
        """Each element of a group, its first limb, and its place in that."""
        for element in range(self.elements):
            limb, shift = divmod(element * self._element_bits, self.bits)
            yield element, limb, self.limb.type(shift)
