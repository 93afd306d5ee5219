# SPDX-License-Identifier: Apache-2.0
"""Small packages, whole and broken."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.board.streams import frame_bytes, word_bytes
from qdeploy.packaging import write_archive


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def stream(shape: tuple[int, ...], bits: int, *, signed: bool) -> dict[str, Any]:
    """One element a word."""
    words, width = int(np.prod(shape)), -(-bits // 8) * 8
    return {
        "shape": shape,
        "bits": bits,
        "signed": signed,
        "bipolar": False,
        "elements_per_word": 1,
        "words_per_frame": words,
        "width": width,
        "word_bytes": word_bytes(width),
        "frame_bytes": frame_bytes(words, width),
    }


def doubling() -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of a network [2] -> [2] that doubles codes 0..3."""
    x = np.float32([[0, 1.5], [3, 7]])
    integers = np.int64([[0, 2], [6, 6]])
    manifest = {
        "format": "qdeploy package 1",
        "name": "doubling",
        "version": "0.1.0",
        "board": {"name": "PYNQ-Z2", "part": "xc7z020clg400-1", "clock_mhz": 100.0},
        "build": "0123456789abcdef" * 4,
        "network": {
            "input_shape": [2],
            "output_shape": [2],
            "low": 0,
            "step": 1,
            "output_function": "",
            "classes": ["even", "odd"],
            "accuracy": 0.75,
            "samples": 8,
        },
        "streams": {
            "input": stream((2,), 2, signed=False),
            "output": stream((2,), 4, signed=True),
        },
        "stream_names": ["input", "fc -> output", "output"],
        "cycles_per_frame": 2,
        "latency": 5,
    }
    files = {
        "boundaries.npy": npy(np.float32([1, 2, 3])),
        "scale.npy": npy(np.float64([0.5])),
        "offset.npy": npy(np.float64([0, 1])),
        "selftest/input.npy": npy(x),
        "selftest/integers.npy": npy(integers),
        "selftest/output.npy": npy((integers * 0.5 + [0, 1]).astype(np.float32)),
        "rtl/fc.v": b"module fc; endmodule\n",
    }
    return manifest, files


def write(path: Path, **changes: Any) -> Path:
    """A good package, with other fields of the manifest."""
    manifest, files = doubling()
    write_archive(path, manifest | changes, files)
    return path


def seal(content: bytes) -> bytes:
    """An archive with another comment, as an attacker would make it: its hash is right."""
    content = content[: content.rindex(b"PK\5\6") + 20] + struct.pack("<H", 71)
    return content + b"sha256:" + hashlib.sha256(content).hexdigest().encode()


def archive(path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    """A sealed archive of any entries, names of plain files among them."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as opened:
        for entry, content in entries:
            opened.writestr(plain(entry) if isinstance(entry, str) else entry, content)
    path.write_bytes(seal(memory.getvalue()))
    return path


def plain(name: str) -> zipfile.ZipInfo:
    information = zipfile.ZipInfo(name)
    information.create_system = 3
    information.external_attr = 0o100644 << 16
    return information
