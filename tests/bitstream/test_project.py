# SPDX-License-Identifier: Apache-2.0
"""The Vivado project runs in the stub for all boards and versions; what comes out is complete."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from block_design import faults, load
from conftest import RunPhase

from qdeploy.bitstream.project import BITSTREAM, HANDOFF, Phase, Project, write_project
from qdeploy.files import content_hash
from qdeploy.fpga.board import hardware_directory, load_board
from qdeploy.fpga.design import load_design

BOARDS = sorted(path.stem for path in (hardware_directory() / "boards").glob("*.toml"))
VERSIONS = ["2022.2", "2023.1", "2023.2", "2024.1", "2024.2", "2025.1", "2025.2"]


def project(folders: tuple[Path, Path], board: str, version: str, directory: Path) -> Project:
    return write_project(*folders, load_board(board), version, directory)


def run_all(made: Project, run_phase: RunPhase, version: str, pretended: str = "") -> None:
    for phase in made.phases:
        done = run_phase(made, phase, version, pretended)
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-2] == f"QDEPLOY-PHASE-DONE {phase.name}"
        assert all((made.directory / name).is_file() for name in phase.results)


def calls(made: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.directory / "calls.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_board_builds_with_every_version(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path, version: str
) -> None:
    for board in BOARDS:
        made = project(accelerator, board, version, tmp_path / board)
        run_all(made, run_phase, version)
        model = load(made.directory)
        assert faults(model, load_board(board)) == []
        assert model["board"].startswith(load_board(board).board_part)


@pytest.mark.parametrize("board", BOARDS)
def test_boards_build_without_their_files(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path, board: str
) -> None:
    made = project(accelerator, board, "2024.1", tmp_path)
    run_all(made, run_phase, "2024.1", "no-board-files")
    model = load(tmp_path)
    assert faults(model, load_board(board)) == []
    assert model["board"] == ""
    settings = model["cells"]["ps"]["config"]
    assert {name: settings[name] for name in load_board(board).preset} == load_board(board).preset


def test_the_folder_holds_the_design_and_names_nothing_outside(
    accelerator: tuple[Path, Path], tmp_path: Path
) -> None:
    rtl, shell = accelerator
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path / "project")
    sources = made.directory / "ip" / "src"
    design = load_design(rtl)
    names = {*design.files, *design.memories, *(path.name for path in shell.glob("*.v"))}
    assert {path.name for path in sources.iterdir()} == names
    for name in design.memories:
        assert content_hash(sources / name) == content_hash(rtl / name)
    for path in made.directory.rglob("*"):
        assert path.is_dir() or str(tmp_path) not in path.read_text()
    for phase in made.phases:
        assert (made.directory / phase.script).is_file()


def test_all_sources_go_into_the_core_and_memories_find_their_contents(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path)
    run_all(made, run_phase, "2023.2")
    added = next(call for call in calls(made) if call["command"] == "add_files")["arguments"][-1]
    present = {f"ip/src/{path.name}" for path in (tmp_path / "ip" / "src").iterdir()}
    assert set(added.split()) == present
    missing = {Path(name).name for name in load_design(accelerator[0]).memories}
    for path in (tmp_path / "ip" / "src").glob("*.v"):
        missing -= set(re.findall(r'\$readmemh\("([^"]*)"', path.read_text()))
    assert not missing


def test_commands_come_in_the_order_that_vivado_wants(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "zcu104", "2024.2", tmp_path)
    run_all(made, run_phase, "2024.2")
    wanted = [
        *("ipx::package_project", "ipx::create_xgui_files", "ipx::update_checksums"),
        *("ipx::save_core", "create_bd_design", "create_bd_cell"),
        *("connect_bd_intf_net", "connect_bd_net", "assign_bd_address", "validate_bd_design"),
        *("save_bd_design", "generate_target", "make_wrapper", "launch_runs", "launch_runs"),
        *("report_timing_summary", "write_bitstream"),
    ]
    commands = iter(call["command"] for call in calls(made))
    assert all(command in commands for command in wanted)


def test_what_comes_out_is_for_the_board(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path)
    run_all(made, run_phase, "2023.2")
    assert b"7z020clg400\0" in (tmp_path / BITSTREAM).read_bytes()[:200]
    handoff = (tmp_path / HANDOFF).read_text()
    assert 'INSTANCE="accelerator"' in handoff
    assert 'BASEVALUE="0x43C00000"' in handoff


def test_phases_may_be_repeated_in_place_and_after_new_sources(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "kv260", "2023.2", tmp_path)
    for phase in made.phases:
        for _ in range(2):
            assert run_phase(made, phase, "2023.2", "").returncode == 0
    run_all(project(accelerator, "kv260", "2023.2", tmp_path), run_phase, "2023.2")
    assert faults(load(tmp_path), load_board("kv260")) == []


@pytest.mark.parametrize(
    ("pretended", "phase", "message"),
    [
        (
            "slow",
            "implementation",
            r"ERROR: \[qdeploy timing\] .*setup slack is -0.512 ns.*layer '",
        ),
        ("late", "implementation", r"ERROR: \[qdeploy timing\] .*hold slack is -0.021 ns.*layer '"),
        ("synthesis-error", "synthesis", r"ERROR: \[Synth 8-439\] module 'fifo' not found"),
        ("licence", "synthesis", r"ERROR: \[Common 17-345\]"),
        ("disk", "implementation", r"No space left on device"),
    ],
)
def test_failures_end_the_phase_with_their_reason(
    accelerator: tuple[Path, Path],
    run_phase: RunPhase,
    tmp_path: Path,
    pretended: str,
    phase: str,
    message: str,
) -> None:
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path)
    done: dict[str, subprocess.CompletedProcess[str]] = {}
    for each in made.phases:
        done[each.name] = run_phase(made, each, "2023.2", pretended)
        if each.name == phase:
            break
        assert done[each.name].returncode == 0
    assert done[phase].returncode != 0
    assert re.search(message, done[phase].stdout)
    assert "QDEPLOY-PHASE-DONE" not in done[phase].stdout
    assert (tmp_path / "reports" / "timing.rpt").exists() == (pretended in {"slow", "late"})


def test_contents_of_a_memory_that_vivado_does_not_find_are_an_error(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path)
    for path in (tmp_path / "ip" / "src").glob("*.v"):
        path.write_text(path.read_text().replace('$readmemh("', '$readmemh("elsewhere/'))
    package, design, synthesis, *_ = made.phases
    assert run_phase(made, package, "2023.2", "").returncode == 0
    assert run_phase(made, design, "2023.2", "").returncode == 0
    done = run_phase(made, synthesis, "2023.2", "")
    assert done.returncode != 0
    assert "[qdeploy memory] contents of a memory were not found" in done.stdout


AWKWARD = [
    *("", "plain", "two words", "{", "}", "a{b}c", "{ }", "\\", "\\{", "a\\", "$HOME", "[exit 3]"),
    *('"', ";", "#", "a;b", "new\nline", "\ttab", "é", "層", "-option", "conv1/weight[0]", "~"),
]


def test_settings_mean_what_was_set(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    preset = {f"name {index} {text}": text for index, text in enumerate(AWKWARD)}
    board = load_board("pynq-z2").model_copy(update={"preset": preset, "board_part": "a b {"})
    made = write_project(*accelerator, board, "2023.2", tmp_path)
    (tmp_path / "show.tcl").write_text(
        "source settings.tcl\nforeach word [list $settings::board_part {*}$settings::preset] {\n"
        "    puts [binary encode hex [encoding convertto utf-8 $word]]\n}\n"
    )
    done = run_phase(made, Phase("show", "show.tcl", ()), "2023.2", "")
    assert done.returncode == 0, done.stdout
    words = [bytes.fromhex(line).decode() for line in done.stdout.splitlines()[2:-1]]
    assert words == ["a b {", *(part for item in preset.items() for part in item)]


@pytest.mark.parametrize(
    ("name", "asked", "made"),
    [("pynq-z2", 125, "125.0"), ("pynq-z2", 150, "142.8"), ("zcu104", 200, "187.5")],
)
def test_a_clock_that_the_processor_cannot_make_is_told(
    accelerator: tuple[Path, Path],
    run_phase: RunPhase,
    tmp_path: Path,
    name: str,
    asked: float,
    made: str,
) -> None:
    board = load_board(name).model_copy(update={"clock_mhz": asked})
    package, design, *_ = (project := write_project(*accelerator, board, "2024.1", tmp_path)).phases
    assert run_phase(project, package, "2024.1", "").returncode == 0
    done = run_phase(project, design, "2024.1", "")
    assert done.returncode == 0
    assert f"QDEPLOY-CLOCK-MHZ {made}" in done.stdout
    warning = re.search(r"\[qdeploy clock\] the processor makes (\S+) MHz", done.stdout)
    assert (warning is None) == (float(made) == asked)


def test_another_version_is_refused(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path
) -> None:
    made = project(accelerator, "pynq-z2", "2023.2", tmp_path)
    done = run_phase(made, made.phases[0], "2024.1", "")
    assert done.returncode != 0
    assert "the project is for Vivado 2023.2, this is 2024.1" in done.stdout
