# SPDX-License-Identifier: Apache-2.0
"""Stage `bitstream`: from the RTL of a build to board.bit, board.hwh and Vivado's reports."""

from __future__ import annotations

import shutil
from pathlib import Path

from qdeploy.bitstream import preflight
from qdeploy.bitstream.docker import Container
from qdeploy.bitstream.failure import phase_error, timing_error
from qdeploy.bitstream.local import Place
from qdeploy.bitstream.project import (
    POWER,
    ROUTED,
    SYNTHESIZED,
    TIMING,
    Project,
    write_project,
)
from qdeploy.bitstream.results import FILE_NAME, RESULTS, Results, power, timing, utilization
from qdeploy.bitstream.run import Watch, full_disk_told, run_phases
from qdeploy.bitstream.vivado import Installation
from qdeploy.build import Build, open_build
from qdeploy.doctor import require
from qdeploy.files import atomic_directory, link
from qdeploy.fpga.board import Board, board_named, hardware_directory
from qdeploy.fpga.design import load_design
from qdeploy.fpga.shell import load_shell
from qdeploy.report.contents import Report
from qdeploy.report.routed import with_bitstream
from qdeploy.report.writing import write_report
from qdeploy.stages import Stage, StageStore

PROJECTS = "vivado"  # folder of the build folder; may be deleted
IMAGE = "image"  # the step before the phases


def build_bitstream(
    directory: Path, installation: Installation, place: Place, watch: Watch
) -> Report:
    """Build the bitstream of a build, or go on where an earlier call stopped.

    Args:
        directory: build folder.
        installation: Vivado.
        place: where it runs.
        watch: is told of the progress.

    Returns:
        The report of the build with Vivado's numbers; it is also written to the folder.

    Raises:
        UserError: if the build is not for an FPGA, cannot be built here, does not fit, or is too
            slow for its clock.
        ToolError: if Docker or Vivado fail.
    """
    build = open_build(directory)
    board = board_named(build.report.board or "")
    for remark in preflight.remarks(installation, board):
        watch.note(remark)
    stage = bitstream_stage(build, board, installation, place, watch)
    with full_disk_told(directory):
        made = StageStore(directory).run(stage).directory
        for name in RESULTS:
            link(made / name, directory / name)
        build = open_build(directory)
        report = with_bitstream(build.report, build)
        page = require("jinja2") is None and require("matplotlib") is None
        write_report(report, directory, page=page)
    return report


def bitstream_stage(
    build: Build, board: Board, installation: Installation, place: Place, watch: Watch
) -> Stage:
    """rtl/ and shell/ to board.bit, board.hwh, reports/ and bitstream.json.

    What Vivado makes on the way stays in vivado/<key>/ of the build folder, where another call goes
    on; a changed design has another key.
    """
    rtl, shell = build.file("generate", "rtl"), build.file("shell", "shell")

    def run(directory: Path) -> None:
        preflight.check(installation, board, build.directory)
        if isinstance(place, Container):
            _provide_image(place, watch)
        folder = build.directory.resolve() / PROJECTS / stage.key
        if not folder.is_dir():
            with atomic_directory(folder) as partial:
                write_project(rtl, shell, board, installation.number, partial)
        design = load_design(rtl)
        if failure := run_phases(Project(folder), place, watch):
            raise phase_error(failure, folder, design, place.tool)
        for name in RESULTS:
            copy = shutil.copytree if (folder / name).is_dir() else shutil.copyfile
            copy(folder / name, directory / name)
        results = Results(
            vivado=installation.number,
            build=load_shell(shell).build,
            part=design.part,
            clock_mhz=design.clock_mhz,
            synthesized=utilization(directory / SYNTHESIZED, design),
            routed=utilization(directory / ROUTED, design),
            timing=timing(directory / TIMING, design),
            power=power(directory / POWER),
        )
        if too_slow := timing_error(results.timing, design):
            raise too_slow
        (directory / FILE_NAME).write_text(results.model_dump_json(indent=2) + "\n")

    stage = Stage(
        "bitstream",
        run,
        inputs=(rtl, shell, hardware_directory() / "vivado"),
        options={"vivado": installation.number, "board": board.model_dump(mode="json")},
        code=("bitstream.project",),
    )
    return stage


def _provide_image(container: Container, watch: Watch) -> None:
    container.check()
    if not container.has_image():
        watch.enter(IMAGE)
        seconds = container.build_image(watch.step)
        watch.leave(IMAGE, seconds, reused=False)
