# SPDX-License-Identifier: Apache-2.0
import multiprocessing
from pathlib import Path

import pytest

from qdeploy.stages import Stage, StageStore


def counting_stage(source: Path, calls: list[int], **options: int) -> Stage:
    def run(directory: Path) -> None:
        calls.append(1)
        (directory / "result.txt").write_text(source.read_text() * 2)

    return Stage("double", run, inputs=(source,), options=options, code=("stages",))


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("ab")
    store, calls = StageStore(tmp_path / "build"), list[int]()
    first = store.run(counting_stage(source, calls))
    second = store.run(counting_stage(source, calls))
    assert (first.reused, second.reused, len(calls)) == (False, True, 1)
    assert (second.directory / "result.txt").read_text() == "abab"
    assert store.latest() == {"double": second.directory}


def test_new_input_or_option_runs_again_and_the_old_result_stays(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("ab")
    store, calls = StageStore(tmp_path / "build"), list[int]()
    old = store.run(counting_stage(source, calls)).directory
    store.run(counting_stage(source, calls, width=3))
    source.write_text("cd")
    store.run(counting_stage(source, calls))
    assert len(calls) == 3
    source.write_text("ab")
    assert store.run(counting_stage(source, calls)).directory == old
    assert len(calls) == 3


def test_a_failing_stage_leaves_no_result(tmp_path: Path) -> None:
    store = StageStore(tmp_path)

    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.run(Stage("broken", fail))
    assert not list((tmp_path / "stages").iterdir())
    assert store.latest() == {}


def record_stages(folder: Path, letter: str) -> None:
    store = StageStore(folder)
    for number in range(20):
        store.run(Stage(f"{letter}{number}", lambda directory: None, code=("stages",)))


def test_two_processes_build_in_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=record_stages, args=(tmp_path, letter)) for letter in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(StageStore(tmp_path).latest()) == 40
