# SPDX-License-Identifier: Apache-2.0
"""Texts as tokens, with a fixed split, and the sequences that language models train on."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError

Tokens = NDArray[np.int64]
END_OF_SENTENCE = "<eos>"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Text:
    """Tokens in the order of the text, each an index of the vocabulary.

    Attributes:
        train: int64 [n].
        validation: for choices such as when to stop.
        test: never trained on.
        vocabulary: what each token is: characters, or words.
    """

    train: Tokens
    validation: Tokens
    test: Tokens
    vocabulary: tuple[str, ...]


def load_text(name: str) -> Text:
    """A text by name: "warpeace" (characters), "ptb" (words) or "phrases" (characters, built in).

    Raises:
        UserError: if there is none of that name, or its files are missing or others.
    """
    if name not in _LOADERS:
        raise UserError(f"no text '{name}'", remedy=f"choose one of {', '.join(_LOADERS)}")
    return _LOADERS[name]()


def windows(tokens: Tokens, steps: int) -> tuple[Tokens, Tokens]:
    """The text cut into sequences [n, steps], and the token behind each of theirs, [n, steps].

    Raises:
        UserError: if the text is shorter than one sequence.
    """
    count = (len(tokens) - 1) // steps
    if count < 1:
        raise UserError(
            f"a text of {len(tokens)} tokens has no sequence of {steps}",
            remedy="choose shorter sequences",
        )
    used = count * steps
    return tokens[:used].reshape(count, steps), tokens[1 : used + 1].reshape(count, steps)


def streams(tokens: Tokens, count: int, steps: int) -> Iterator[tuple[Tokens, Tokens]]:
    """`count` parts of the text side by side, `steps` tokens of each at a time, for states carried.

    Yields tokens and those that follow, [count, steps] each; fewer steps at the end.
    """
    length = (len(tokens) - 1) // count
    x = tokens[: count * length].reshape(count, length)
    y = tokens[1 : count * length + 1].reshape(count, length)
    for start in range(0, length, steps):
        yield x[:, start : start + steps], y[:, start : start + steps]


def _warpeace() -> Text:
    """Bytes of the text that Karpathy et al. and LAQ use, 87 different ones; 80/10/10 in order."""
    content = _original(
        "warpeace",
        "warpeace_input.txt",
        "c12bc0d6a5530c4d6878952f5c3d76b9",
        "https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",
    )
    return _characters(content, (0.8, 0.9))


def _ptb() -> Text:
    """Mikolov's split of the Penn Treebank, 10,000 words; the end of a line is one of them."""
    checksums = {
        "train": "f26c4b92c5fdc7b3f8c7cdcb991d8420",
        "valid": "aa0affc06ff7c36e977d7cd49e3839bf",
        "test": "8b80168b89c18661a38ef683c0dc3721",
    }
    words = {
        part: _original(
            "ptb",
            f"ptb.{part}.txt",
            md5,
            "simple-examples/data of http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
        )
        .decode()
        .replace("\n", f" {END_OF_SENTENCE} ")
        .split()
        for part, md5 in checksums.items()
    }
    counts = Counter(words["train"])
    vocabulary = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
    index = {word: number for number, word in enumerate(vocabulary)}
    train, validation, test = (
        np.array([index[word] for word in part], np.int64) for part in words.values()
    )
    return Text(train, validation, test, vocabulary)


def _phrases() -> Text:
    """Sentences of a small grammar, whose verbs agree with a noun that may stand far before."""
    source = random.Random(0)  # noqa: S311 (the same sentences everywhere)
    nouns = ("cat", "dog", "bird", "child", "teacher")
    verbs = ("see", "like", "follow", "hear")

    def noun(plural: bool) -> str:
        word = source.choice(nouns)
        return ("children" if word == "child" else f"{word}s") if plural else word

    def verb(plural: bool) -> str:
        word = source.choice(verbs)
        return word if plural else f"{word}s"

    def sentence() -> str:
        subject, other, last = (source.random() < 0.5 for _ in range(3))
        parts = ["the", noun(subject)]
        if source.random() < 0.4:
            parts += ["that", verb(subject), "the", noun(other)]
        return " ".join([*parts, verb(subject), "the", noun(last)]) + ".\n"

    return _characters("".join(sentence() for _ in range(1500)).encode(), (0.8, 0.9))


def _characters(content: bytes, ends: tuple[float, float]) -> Text:
    """Bytes as tokens, cut at these shares of the text."""
    values, tokens = np.unique(np.frombuffer(content, np.uint8), return_inverse=True)
    train, validation, test = np.split(
        tokens.astype(np.int64), [int(end * len(tokens)) for end in ends]
    )
    return Text(train, validation, test, tuple(chr(value) for value in values))


def _original(folder: str, name: str, md5: str, source: str) -> bytes:
    """A file of $QDEPLOY_DATA, plain or compressed with gzip, whose text has this checksum."""
    directory = Path(os.environ.get("QDEPLOY_DATA", "data")) / folder
    plain, packed = directory / name, directory / f"{name}.gz"
    try:
        with plain.open("rb") if plain.exists() else gzip.open(packed) as file:
            content: bytes = file.read(_MOST_BYTES)
    except (OSError, EOFError) as error:
        raise UserError(
            f"cannot read {plain} or {packed.name}: {error}",
            remedy=f"download {source} and set QDEPLOY_DATA to the folder that holds {folder}/",
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{plain} is another text: its md5 is {found}, not {md5}",
            remedy=f"download {source} again",
        )
    return content


_LOADERS: dict[str, Callable[[], Text]] = {"warpeace": _warpeace, "ptb": _ptb, "phrases": _phrases}
