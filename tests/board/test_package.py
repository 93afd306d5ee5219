# SPDX-License-Identifier: Apache-2.0
"""Opening packages: good ones, damaged ones, and those that attack the reader."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages import archive, doubling, npy, plain, seal, write

from qdeploy.board import open_package
from qdeploy.board.conversion import Conversion
from qdeploy.errors import UserError
from qdeploy.packaging import write_archive


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("package") / "good.qdp")


def refuse(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match):
        open_package(path)


def test_what_is_inside(good: Path) -> None:
    package = open_package(good)
    manifest, files = doubling()
    assert package.manifest.name == "doubling"
    assert package.manifest.board is not None
    assert package.manifest.board.clock_mhz == 100
    assert package.manifest.network.classes == ("even", "odd")
    assert package.manifest.streams is not None
    assert package.manifest.streams.output.signed
    assert package.manifest.build == manifest["build"]
    assert package.manifest.stream_names[1] == "fc -> output"
    assert {name: package.read(name) for name in package.manifest.files} == files
    x, integers = package.array("selftest/input.npy"), package.array("selftest/integers.npy")
    conversion = Conversion(package)
    assert np.array_equal(2 * conversion.codes(x), integers)
    assert np.array_equal(conversion.reals(integers), package.array("selftest/output.npy"))
    assert np.array_equal(conversion.codes(x[0]), conversion.codes(x[:1]))


def test_inputs_that_do_not_fit(good: Path) -> None:
    conversion = Conversion(open_package(good))
    with pytest.raises(UserError, match=r"\(1, 3\).*\('N', 2\)"):
        conversion.codes(np.zeros((1, 3)))
    with pytest.raises(UserError, match="NaN"):
        conversion.codes([np.nan, 0])


def test_equal_contents_give_equal_bytes(good: Path, tmp_path: Path) -> None:
    assert write(tmp_path / "again.qdp").read_bytes() == good.read_bytes()


def test_ordinary_tools_read_it(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as opened:
        assert opened.namelist()[0] == "manifest.json"
        opened.extractall(tmp_path)
    assert (tmp_path / "rtl/fc.v").read_bytes() == doubling()[1]["rtl/fc.v"]


def test_extract(good: Path, tmp_path: Path) -> None:
    package = open_package(good)
    folder = package.extract(tmp_path / "new")
    for name, content in doubling()[1].items():
        assert (folder / name).read_bytes() == content
    only = package.extract(tmp_path / "one", ["rtl/fc.v"])
    assert [path.name for path in only.rglob("*") if path.is_file()] == ["fc.v"]
    with pytest.raises(UserError, match="cannot write"):
        package.extract(folder)
    (tmp_path / "linked/rtl").mkdir(parents=True)
    (tmp_path / "linked/rtl/fc.v").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="cannot write"):
        package.extract(tmp_path / "linked", ["rtl/fc.v"])
    assert not (tmp_path / "victim").exists()
    with pytest.raises(UserError, match=r"holds no board\.bit"):
        package.read("board.bit")


def test_a_changed_byte_anywhere(good: Path) -> None:
    content = bytearray(good.read_bytes())
    changed = good.with_name("changed.qdp")
    for place, byte in enumerate(content):
        content[place] ^= 1 << place % 8
        changed.write_bytes(content)
        refuse(changed, "damaged package")
        content[place] = byte
    changed.write_bytes(content)
    open_package(changed)


def test_every_length_that_is_too_short(good: Path) -> None:
    content = good.read_bytes()
    short = good.with_name("short.qdp")
    for length in {*range(0, len(content), 7), *range(len(content) - 100, len(content))}:
        short.write_bytes(content[:length])
        refuse(short, "damaged package")
    short.write_bytes(content + b"\0")
    refuse(short, "damaged package")


@given(st.data())
def test_an_attacker_changes_bytes_and_the_hash(good: Path, data: st.DataObject) -> None:
    """Whatever still opens holds the same files: other bytes decide nothing."""
    content = bytearray(good.read_bytes())
    directory = content.index(b"PK\1\2")
    end = content.rindex(b"PK\5\6")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.one_of(st.integers(directory, end + 20), st.integers(0, end + 20)))
        content[place] = data.draw(st.integers(0, 255))
    changed = good.with_name("attacked.qdp")
    try:
        changed.write_bytes(seal(bytes(content)))
    except ValueError:
        return
    try:
        package = open_package(changed)
    except UserError:
        return
    assert {name: package.read(name) for name in package.manifest.files} == doubling()[1]


def test_a_package_changed_after_it_was_opened(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.qdp"
    shutil.copy(good, path)
    package = open_package(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"module fc")] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="changed"):
        package.read("rtl/fc.v")
    path.unlink()
    with pytest.raises(UserError, match="changed"):
        package.read("rtl/fc.v")


def test_no_package(tmp_path: Path) -> None:
    refuse(tmp_path / "missing.qdp", "cannot read")
    refuse(tmp_path, "cannot read")
    (tmp_path / "text").write_text("words " * 100)
    refuse(tmp_path / "text", "damaged package")
    with zipfile.ZipFile(tmp_path / "zip", "w") as opened:
        opened.writestr("manifest.json", "{}")
    refuse(tmp_path / "zip", "damaged package")


def whole() -> list[tuple[str, bytes]]:
    """The entries of a good package."""
    manifest, files = doubling()
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    text = json.dumps(manifest | {"files": listed}).encode()
    return [("manifest.json", text), *files.items()]


def test_entries_of_a_good_package(tmp_path: Path) -> None:
    open_package(archive(tmp_path / "p", whole()))


@pytest.mark.parametrize(
    "name",
    ["../out", "/etc/passwd", "rtl/../../out", "rtl//x", "rtl/./x", "C:/x", "a\\b", "-x", ".x",
     "rtl/", "ä", "a" * 201, "a\nb", ""],
)  # fmt: skip
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    refuse(archive(tmp_path / "p", [*whole(), (name, b"x")]), "no name of a file|no plain file")
    manifest = json.loads(whole()[0][1])
    manifest["files"][name] = manifest["files"]["rtl/fc.v"]
    entries = [("manifest.json", json.dumps(manifest).encode()), *whole()[1:]]
    refuse(archive(tmp_path / "q", entries), "no name of a file")


def test_more_and_fewer_files(tmp_path: Path) -> None:
    refuse(archive(tmp_path / "p", [*whole(), ("extra", b"")]), "extra is not in the manifest")
    missing = [entry for entry in whole() if entry[0] != "rtl/fc.v"]
    refuse(archive(tmp_path / "p", missing), r"rtl/fc\.v is missing")
    refuse(archive(tmp_path / "p", whole()[1:]), r"does not begin with manifest\.json")
    refuse(archive(tmp_path / "p", []), r"does not begin with manifest\.json")
    refuse(archive(tmp_path / "p", [*whole(), ("rtl", b"")]), "rtl is a file and a folder")
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(tmp_path / "p", [*whole(), ("rtl/fc.v", b"")])
    refuse(twice, r"rtl/fc\.v is there more than once")


def test_files_that_are_not_plain(tmp_path: Path) -> None:
    for mode in (stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFREG | 0o4755, 0o644):
        odd = plain("link")
        odd.external_attr = mode << 16
        refuse(archive(tmp_path / "p", [*whole(), (odd, b"/etc/passwd")]), "link is no plain file")


def test_bombs(tmp_path: Path) -> None:
    bomb = plain("bomb")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    refuse(archive(tmp_path / "p", [*whole(), (bomb, bytes(1 << 26))]), "bomb is compressed")
    many = [(f"f{index}", b"") for index in range(4097)]
    refuse(archive(tmp_path / "p", [*whole(), *many]), "no proper list")
    with (tmp_path / "p").open("wb") as file:
        file.truncate(1 << 40)  # takes no room
    refuse(tmp_path / "p", "more than")


def test_sizes_that_are_not_there(tmp_path: Path) -> None:
    content = bytearray(archive(tmp_path / "p", whole()).read_bytes())
    entry = content.rindex(b"PK\1\2")
    for claimed in (1 << 31, 1 << 28, 5):
        struct.pack_into("<2L", content, entry + 20, claimed, claimed)
        (tmp_path / "p").write_bytes(seal(bytes(content)))
        refuse(tmp_path / "p", "damaged package")


def test_other_format_version(tmp_path: Path) -> None:
    entries = whole()
    text = entries[0][1].replace(b"package 1", b"package 2")
    refuse(archive(tmp_path / "p", [("manifest.json", text), *entries[1:]]), "format 'qdeploy pac")


def every_field(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [f for key in value for f in every_field(value[key], (*path, key))]
    return found


FIELDS = every_field(json.loads(whole()[0][1]))
WRONG = [None, True, -1, 1 << 50, 0.5, "text", "", [], [1, -1], ["a", 3], {}, {"a": 1}, [[1]],
         "x" * 2000, "\x1b[2J"]  # fmt: skip


def test_wrong_types_in_every_field(tmp_path: Path) -> None:
    """A package with one wrong value opens only where the value is allowed there."""
    opened = set()
    for field in FIELDS:
        for index, wrong in enumerate([*WRONG, "removed", "unknown"]):
            manifest = json.loads(whole()[0][1])
            inside = manifest
            for key in field[:-1]:
                inside = inside[key]
            if index == len(WRONG):
                del inside[field[-1]]
            elif index == len(WRONG) + 1:
                inside[f"{field[-1]}2"] = 0
            else:
                inside[field[-1]] = copy.deepcopy(wrong)
            entries = [("manifest.json", json.dumps(manifest).encode()), *whole()[1:]]
            try:
                open_package(archive(tmp_path / "p", entries))
            except UserError:
                continue
            opened.add((field[-1], repr(wrong)))
    texts = {"name", "version", "part"}
    assert opened - {(name, repr(text)) for name in texts for text in ("text", "")} == {
        ("build", "None"),
        ("classes", "None"),
        ("classes", "[]"),
        ("accuracy", "None"),
        ("accuracy", "0.5"),
        ("clock_mhz", "0.5"),
        ("stream_names", "[]"),
        ("low", "-1"),
        ("signed", "True"),
        ("output_function", "''"),  # as it was
    }


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"nothing", b"{" * 5000, b"[" * 500000, b'{"format": NaN}', b"\xff\xfe",
     b'{"format": 1' + b"0" * 400000 + b"}"],
)  # fmt: skip
def test_manifests_that_are_none(text: bytes, tmp_path: Path) -> None:
    refuse(archive(tmp_path / "p", [("manifest.json", text)]), "damaged package")


ARRAYS = {
    "boundaries.npy": [np.float32([2, 1]), np.float32([np.nan]), np.float64([1]), np.float32(1)],
    "scale.npy": [np.float32([1]), np.float64([np.inf]), np.ones(3), np.ones((1, 1, 2))],
    "selftest/input.npy": [np.zeros((2, 2)), np.zeros((0, 2), "f4"), np.zeros((2, 3), "f4")],
    "selftest/integers.npy": [np.zeros((3, 2), "i8"), np.zeros((2, 2), "i4"), np.int64(1)],
    "selftest/output.npy": [np.zeros((3, 2), "f4"), np.zeros((2, 2))],
}


@pytest.mark.parametrize(("name", "array"), [(n, a) for n in ARRAYS for a in ARRAYS[n]])
def test_arrays_that_do_not_fit(name: str, array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name):
        write_files(tmp_path / "p", {name: npy(array)})
    assert not list(tmp_path.iterdir())


def write_files(path: Path, changes: dict[str, bytes]) -> None:
    manifest, files = doubling()
    write_archive(path, manifest, files | changes)


class Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploited",)


def test_arrays_that_are_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = npy(np.array([Exploit()], object))
    header = npy(np.float32([1, 2, 3]))
    huge = header.replace(b"(3,), }           ", b"(999999999999,), }")
    assert huge != header
    words = header.replace(b"(3,), }    ", b"(1 2,), }  ")
    assert words != header
    for content in (pickled, huge, words, header[:-1], header + b"\0", header[:60], b"", b"text"):
        with pytest.raises(UserError, match=r"boundaries\.npy"):
            write_files(tmp_path / "p", {"boundaries.npy": content})
    assert not list(tmp_path.iterdir())
