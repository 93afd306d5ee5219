# SPDX-License-Identifier: Apache-2.0
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from qdeploy.files import atomic_directory, atomic_file, content_hash, remove_abandoned


def test_atomic_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with atomic_file(target) as partial:
        partial.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_failure_keeps_the_old_contents(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "b").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(folder) as partial:
        (partial / "b").write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert (folder / "b").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with atomic_directory(tmp_path / "d") as partial:
            (partial / text).write_text(text)
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["two"]


def _write_and_hang(target: Path) -> None:
    with atomic_directory(target) as partial:
        (partial / "half").write_text("half")
        time.sleep(60)


def test_killed_writer_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    target = tmp_path / "d"
    writer = multiprocessing.get_context("fork").Process(target=_write_and_hang, args=(target,))
    writer.start()
    while not list(tmp_path.glob(".d.*/half")):
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert not target.exists()
    assert list(tmp_path.iterdir())
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_hash_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = content_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    second = content_hash(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, content_hash(tmp_path)}) == 3
