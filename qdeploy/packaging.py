# SPDX-License-Identifier: Apache-2.0
"""A build as one file for boards and other machines: equal builds give equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qdeploy
from qdeploy import integer
from qdeploy.board.host import BITSTREAM, HANDOFF
from qdeploy.board.manifest import FORMAT
from qdeploy.board.package import MANIFEST, MODE, SEAL, UNIX, open_package
from qdeploy.build import Build
from qdeploy.errors import UserError
from qdeploy.files import atomic_file
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.shell import Shell, load_shell
from qdeploy.integer import IntegerNetwork
from qdeploy.stages import RECORD
from qdeploy.verification import Verification, random_data

SELF_TEST_FRAMES = 32
SELF_TEST_BYTES = 1 << 22  # of their inputs, roughly
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that an archive can name


@dataclass(frozen=True)
class Packaging:
    """A written package.

    Attributes:
        path: of the file.
        bytes: its size.
        bitstream: whether it holds one.
        notes: what it lacks and why, one sentence each.
    """

    path: Path
    bytes: int
    bitstream: bool
    notes: tuple[str, ...]


def package(build: Build, path: Path) -> Packaging:
    """Write a build as a package.

    Args:
        build: holds at least the stages `lower` and `pack`.
        path: of the file; it appears complete or not at all.

    Raises:
        UserError: if the build lacks what a package needs, or the file cannot be written.
    """
    network, notes = build.network, list[str]()
    files = {"cpu.onnx": build.file("pack", "cpu.onnx").read_bytes()}
    files |= _arrays(build, network) | _programs(network, notes) | _reports(build)
    design = shell = None
    if "generate" in build.stages:
        design = load_design(build.file("generate", "rtl"))
        shell = load_shell(build.file("shell", "shell"))
        files |= _folder(build.file("generate", "rtl"), "rtl")
        files |= _folder(build.file("shell", "shell"), "shell")
    else:
        notes.append("The build has no accelerator: the package runs on processors alone.")
    bitstream = _bitstream(build) if design is not None else {}
    if design is not None and not bitstream:
        notes.append("The build has no bitstream of this design ('qdeploy bitstream' makes it).")
    files |= bitstream
    manifest = _describe(build, network) | _describe_accelerator(build, design, shell)
    write_archive(path, manifest, files)
    return Packaging(path, path.stat().st_size, bool(bitstream), tuple(notes))


def write_archive(path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write files and a manifest, to which their sizes and hashes are added, as a package.

    Raises:
        UserError: if the package cannot be written, or nobody could open it.
    """
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    text = json.dumps({**manifest, "files": listed}, indent=1, sort_keys=True) + "\n"
    try:
        with atomic_file(path) as partial:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                for name, content in ((MANIFEST, text.encode()), *sorted(files.items())):
                    information = zipfile.ZipInfo(name, _EPOCH)
                    information.create_system = UNIX
                    information.external_attr = MODE << 16
                    archive.writestr(information, content)
                archive.comment = bytes(len(SEAL) + 64)
            _seal(partial)
            open_package(partial)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}",
            remedy="make room on the disk, or choose another output path",
        ) from error


def _seal(path: Path) -> None:
    """Put the hash of all bytes before the archive's comment into it."""
    with path.open("r+b") as file:
        size = path.stat().st_size - len(SEAL) - 64
        digest, left = hashlib.sha256(), size
        while left:
            chunk = file.read(min(left, 1 << 20))
            digest.update(chunk)
            left -= len(chunk)
        file.seek(size)
        file.write(f"{SEAL}{digest.hexdigest()}".encode())


def _describe(build: Build, network: IntegerNetwork) -> dict[str, Any]:
    verified = Verification.model_validate_json(build.file("verify", "verify.json").read_bytes())
    labelled = verified.frames if verified.labelled else 0
    return {
        "format": FORMAT,
        "name": network.name,
        "version": qdeploy.__version__,
        "network": {
            "input_shape": network.input_tensor.shape,
            "output_shape": network.output_tensor.shape,
            "low": network.quantizer.low,
            "step": network.quantizer.step,
            "output_function": network.output_function,
            "classes": _classes(build),
            "accuracy": verified.correct["integer"] / labelled if labelled else None,
            "samples": labelled,
        },
    }


def _describe_accelerator(
    build: Build, design: Design | None, shell: Shell | None
) -> dict[str, Any]:
    if design is None or shell is None:
        missing = ("board", "build", "streams", "cycles_per_frame", "latency")
        return {**dict.fromkeys(missing), "stream_names": []}
    return {
        "board": {
            "name": build.report.board,
            "part": design.part,
            "clock_mhz": design.clock_mhz,
        },
        "build": shell.build,
        "streams": {
            "input": design.input.model_dump() | shell.input.model_dump(),
            "output": design.output.model_dump() | shell.output.model_dump(),
        },
        "stream_names": shell.streams,
        "cycles_per_frame": design.cycles_per_frame,
        "latency": design.latency,
    }


def _arrays(build: Build, network: IntegerNetwork) -> dict[str, bytes]:
    """The quantizer of the inputs, what output integers mean, and the self-test."""
    x = _self_test(build, network)
    integers = integer.run(network, x)
    scale, offset = (part.astype(np.float64) for part in network.output_tensor.affine())
    arrays: dict[str, NDArray[Any]] = {
        "boundaries": network.quantizer.boundaries,
        "scale": scale,
        "offset": offset,
        "selftest/input": x,
        "selftest/integers": integers,
        "selftest/output": network.real_output(integers),
    }
    return {f"{name}.npy": _array(array) for name, array in arrays.items()}


def _self_test(build: Build, network: IntegerNetwork) -> NDArray[np.float32]:
    """Some of the build's test inputs, else random ones: float32 [N, ...]."""
    frame = 4 * math.prod(network.input_tensor.shape)
    frames = max(1, min(SELF_TEST_FRAMES, SELF_TEST_BYTES // frame))
    test = build.stages.get("train", build.directory) / "test.npz"
    if "train" not in build.stages or not test.exists():
        return random_data(network, frames).x
    with np.load(test, allow_pickle=False) as archive:
        return network.check_input(archive["x"][:frames])


def _classes(build: Build) -> list[str] | None:
    """What the classes are called, if the build was trained on a data set of images."""
    test = build.stages.get("train", build.directory) / "test.npz"
    if "train" not in build.stages or not test.exists():
        return None
    with np.load(test, allow_pickle=False) as archive:
        return archive["classes"].tolist() if "classes" in archive.files else None


def _array(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return file.getvalue()


def _programs(network: IntegerNetwork, notes: list[str]) -> dict[str, bytes]:
    """Machine code for the processors of boards, where the network allows."""
    try:
        from qdeploy.cpu.kernels.targets import NEON32, NEON64
        from qdeploy.cpu.program.ahead_of_time import board_program
        from qdeploy.cpu.program.planning import NoKernel
    except ImportError:
        notes.append("Without llvmlite there are no programs for ARM processors.")
        return {}
    try:
        return {
            f"program-{target.architecture}.bin": board_program(network, target)
            for target in (NEON32, NEON64)
        }
    except NoKernel as reason:
        notes.append(f"No programs for ARM processors: no kernel for {reason}.")
        return {}


def _reports(build: Build) -> dict[str, bytes]:
    """The report without the times of the stages, which differ from build to build."""
    report = build.report.model_copy(update={"stages": []})
    files = {"report.json": report.model_dump_json(indent=2).encode() + b"\n"}
    try:
        from qdeploy.report.render import render

        files["report.html"] = render(report).encode()
    except ImportError:
        pass
    return {f"reports/{name}": content for name, content in files.items()}


def _bitstream(build: Build) -> dict[str, bytes]:
    """The bitstream and its reports, unless there is none or the design is another one by now."""
    if "bitstream" not in build.stages:
        return {}
    made_from = json.loads(build.file("bitstream", "bitstream.json").read_text())["build"]
    if made_from != load_shell(build.file("shell", "shell")).build:
        return {}
    files = {name: build.file("bitstream", name).read_bytes() for name in (BITSTREAM, HANDOFF)}
    return files | _folder(build.file("bitstream", "reports"), "reports")


def _folder(folder: Path, name: str) -> dict[str, bytes]:
    """The files below a folder, as files below `name`."""
    return {
        (Path(name) / path.relative_to(folder)).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
