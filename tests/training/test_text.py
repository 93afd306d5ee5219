# SPDX-License-Identifier: Apache-2.0
"""Texts as tokens and the sequences made of them."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import UserError
from qdeploy.training.text import load_text, streams, windows


def test_phrases_need_no_file() -> None:
    text = load_text("phrases")
    letters = "".join(text.vocabulary[token] for token in text.train)
    assert letters.startswith("the ")
    for sentence in letters.split(".\n")[:50]:
        words = sentence.split()
        plural = words[1].endswith("s") or words[1] == "children"
        verb = words[2] if words[2] != "that" else words[6]
        assert verb.endswith("s") != plural
    sizes = [len(part) for part in (text.train, text.validation, text.test)]
    assert sizes[0] == pytest.approx(8 * sizes[1], rel=0.01)
    assert max(part.max() for part in (text.train, text.test)) == len(text.vocabulary) - 1


def test_windows() -> None:
    x, y = windows(np.arange(11), 3)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert np.array_equal(y, x + 1)
    with pytest.raises(UserError, match="no sequence of 11"):
        windows(np.arange(11), 11)


def test_streams_continue() -> None:
    parts = list(streams(np.arange(21), 2, 4))
    assert [x.shape[1] for x, _ in parts] == [4, 4, 2]
    whole = np.concatenate([x for x, _ in parts], axis=1)
    assert whole.tolist() == [list(range(10)), list(range(10, 20))]
    assert all(np.array_equal(y, x + 1) for x, y in parts)


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="choose one of warpeace, ptb, phrases"):
        load_text("bible")


def test_missing_and_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDEPLOY_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"download .*warpeace_input.txt and set QDEPLOY_DATA"):
        load_text("warpeace")
    folder = tmp_path / "warpeace"
    folder.mkdir()
    packed = folder / "warpeace_input.txt.gz"
    packed.write_bytes(gzip.compress(b"another text"))
    with pytest.raises(UserError, match="is another text"):
        load_text("warpeace")
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot read"):
        load_text("warpeace")


@pytest.mark.skipif("QDEPLOY_DATA" not in os.environ, reason="needs the texts")
@pytest.mark.parametrize(
    ("name", "sizes", "vocabulary"),
    [
        ("warpeace", (2_606_596, 325_825, 325_825), 87),
        ("ptb", (929_589, 73_760, 82_430), 10_000),
    ],
)
def test_real_texts(name: str, sizes: tuple[int, ...], vocabulary: int) -> None:
    text = load_text(name)
    assert tuple(map(len, (text.train, text.validation, text.test))) == sizes
    assert len(text.vocabulary) == vocabulary
    assert text.train.max() == vocabulary - 1
