# SPDX-License-Identifier: Apache-2.0
"""`manifest.json` of a package: what its files are, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from qdeploy.board.fields import MANY, Fields, check_name, damaged, read_object
from qdeploy.board.streams import frame_bytes, word_bytes
from qdeploy.errors import UserError

FORMAT = "qdeploy package 1"
_FUNCTIONS = ("", "softmax", "sigmoid")


@dataclass(frozen=True)
class File:
    """A file of the package.

    Attributes:
        sha256: of its contents, hexadecimal digits.
        bytes: its size.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Board:
    """What the accelerator was made for.

    Attributes:
        name: for people ("PYNQ-Z2").
        part: as Vivado writes it.
        clock_mhz: clock of the accelerator.
    """

    name: str
    part: str
    clock_mhz: float


@dataclass(frozen=True)
class Network:
    """The network's outside.

    Attributes:
        input_shape: channels first, without the batch axis.
        output_shape: likewise.
        low: code of inputs below all of `boundaries.npy`.
        step: distance of neighbouring input codes.
        output_function: applied to the real outputs: "", "softmax" or "sigmoid".
        classes: what class 0, 1, ... is called, if known.
        accuracy: share of test samples that the integers get right, if known.
        samples: how many test samples that was.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    low: int
    step: int
    output_function: str
    classes: tuple[str, ...] | None
    accuracy: float | None
    samples: int


@dataclass(frozen=True)
class Stream:
    """An AXI4-Stream of the accelerator, and its frames in memory (`qdeploy.board.streams`).

    Attributes:
        shape: of a frame, channels last ([H, W, C] or [C]); elements follow in this order.
        bits: bits of an element, two's complement if `signed`.
        signed: see `bits`.
        bipolar: elements are -1 and +1, stored as 0 and 1.
        elements_per_word: elements of a word.
        words_per_frame: words of a frame.
        width: bits of a word, whole bytes.
        word_bytes: bytes of a word in memory.
        frame_bytes: bytes of a frame in memory.
    """

    shape: tuple[int, ...]
    bits: int
    signed: bool
    bipolar: bool
    elements_per_word: int
    words_per_frame: int
    width: int
    word_bytes: int
    frame_bytes: int


@dataclass(frozen=True)
class Streams:
    """Where frames go in and out."""

    input: Stream
    output: Stream


@dataclass(frozen=True)
class Manifest:
    """What a package says of itself.

    Attributes:
        name: of the network.
        version: of the qdeploy that wrote it.
        board: None without an accelerator, as are `streams`, `cycles_per_frame` and `latency`.
        build: what the accelerator's BUILD registers hold, hexadecimal digits; None without shell.
        files: by name, all but the manifest.
        network: inputs, outputs and what is expected of them.
        streams: of the accelerator.
        stream_names: those whose stalls it counts, in the order of the data.
        cycles_per_frame: predicted initiation interval.
        latency: cycles from the first word in to the last word out of a frame, at most.
    """

    name: str
    version: str
    board: Board | None
    build: str | None
    files: dict[str, File]
    network: Network
    streams: Streams | None
    stream_names: tuple[str, ...]
    cycles_per_frame: int | None
    latency: int | None


def read_manifest(content: bytes) -> Manifest:
    """Check and read `manifest.json`.

    Raises:
        UserError: if it is no manifest, one of another format, or a field is wrong; names it.
    """
    fields = read_object(content, "manifest.json")
    version = fields.text("format")
    if version != FORMAT:
        raise UserError(
            f"the package is of format '{version}', this qdeploy reads '{FORMAT}'",
            remedy="package the network again, or install the qdeploy that wrote it",
        )
    manifest = Manifest(
        name=fields.text("name"),
        version=fields.text("version"),
        board=fields.optional("board", _board),
        build=fields.optional("build", Fields.digest),
        files=_files(fields.take("files")),
        network=_network(fields.object("network")),
        streams=fields.optional("streams", _streams),
        stream_names=fields.texts("stream_names"),
        cycles_per_frame=fields.optional("cycles_per_frame", Fields.count),
        latency=fields.optional("latency", Fields.count),
    )
    fields.end()
    _check_accelerator(manifest)
    return manifest


def _files(data: Any) -> dict[str, File]:
    if not isinstance(data, dict):
        raise damaged("'files' is no JSON object")
    files = {}
    for name, value in data.items():
        check_name(name)
        fields = Fields(value, f"files.{name}")
        files[name] = File(fields.digest("sha256"), fields.integer("bytes", 0, MANY))
        fields.end()
    return files


def _board(fields: Fields, name: str) -> Board:
    inside = fields.object(name)
    board = Board(inside.text("name"), inside.text("part"), inside.number("clock_mhz", 1e-3, 1e4))
    inside.end()
    return board


def _network(fields: Fields) -> Network:
    network = Network(
        input_shape=fields.shape("input_shape"),
        output_shape=fields.shape("output_shape"),
        low=fields.integer("low", -MANY, MANY),
        step=fields.integer("step", 1, MANY),
        output_function=fields.text("output_function"),
        classes=fields.optional("classes", Fields.texts),
        accuracy=fields.optional("accuracy", lambda inside, name: inside.number(name, 0, 1)),
        samples=fields.count("samples"),
    )
    if network.output_function not in _FUNCTIONS:
        fields.wrong("output_function", network.output_function, f"one of {_FUNCTIONS}")
    fields.end()
    return network


def _streams(fields: Fields, name: str) -> Streams:
    inside = fields.object(name)
    streams = Streams(_stream(inside.object("input")), _stream(inside.object("output")))
    inside.end()
    return streams


def _stream(fields: Fields) -> Stream:
    stream = Stream(
        shape=fields.shape("shape"),
        bits=fields.integer("bits", 1, 64),
        signed=fields.flag("signed"),
        bipolar=fields.flag("bipolar"),
        elements_per_word=fields.integer("elements_per_word", 1, MANY),
        words_per_frame=fields.integer("words_per_frame", 1, MANY),
        width=fields.integer("width", 8, 1 << 20),
        word_bytes=fields.integer("word_bytes", 1, 1 << 17),
        frame_bytes=fields.integer("frame_bytes", 8, MANY),
    )
    if stream.elements_per_word * stream.words_per_frame != prod(stream.shape):
        fields.wrong("words_per_frame", stream.words_per_frame, f"enough for {stream.shape}")
    if stream.bipolar and stream.bits != 1:
        fields.wrong("bits", stream.bits, "1 as of bipolar elements")
    if stream.elements_per_word * stream.bits > stream.width:
        fields.wrong("width", stream.width, "wide enough for its elements")
    if stream.word_bytes != word_bytes(stream.width):
        fields.wrong("word_bytes", stream.word_bytes, f"{word_bytes(stream.width)}")
    expected = frame_bytes(stream.words_per_frame, stream.width)
    if stream.frame_bytes != expected:
        fields.wrong("frame_bytes", stream.frame_bytes, f"{expected}")
    fields.end()
    return stream


def _check_accelerator(manifest: Manifest) -> None:
    """That the fields of an accelerator are there together and fit the network."""
    parts = (manifest.board, manifest.streams, manifest.cycles_per_frame, manifest.latency)
    if len({part is None for part in parts}) > 1:
        raise damaged("manifest.json describes an accelerator in part")
    if manifest.build is not None and manifest.streams is None:
        raise damaged("manifest.json names the build of an accelerator that there is not")
    if manifest.streams is None:
        return
    network = manifest.network
    for name, stream, shape in (
        ("input", manifest.streams.input, network.input_shape),
        ("output", manifest.streams.output, network.output_shape),
    ):
        if stream.shape != (*shape[1:], shape[0]):
            raise damaged(f"'streams.{name}.shape' is {stream.shape}, the network has {shape}")
