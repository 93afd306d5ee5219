# SPDX-License-Identifier: Apache-2.0
"""Programs for ARM boards run under QEMU, without a C library or a linker for ARM.

An executable holds the program's file as it is, and generated code that calls it for each image and
writes the outputs to the standard output.
"""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from qdeploy.board.program import DIGEST, PAGE
from qdeploy.cpu.kernels.code import LONG, POINTER, WORD, Code
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.linking import link
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.ahead_of_time import board_program
from qdeploy.integer import IntegerNetwork

_READ, _WRITE, _EXECUTE = 4, 2, 1
_APART = 1 << 24  # bytes from segment to segment; nothing is mapped between them
_START, _SYSTEM_AT, _PROGRAM = _APART, 2 * _APART, 8 * _APART
# Instructions of a function system(number, a, b, c).
_SYSTEM = {
    # mov x8, x0; mov x0, x1; mov x1, x2; mov x2, x3; svc 0; ret
    "aarch64": (0xAA0003E8, 0xAA0103E0, 0xAA0203E1, 0xAA0303E2, 0xD4000001, 0xD65F03C0),
    # push r7; mov r7, r0; mov r0, r1; mov r1, r2; mov r2, r3; svc 0; pop r7; bx lr
    "arm": (
        *(0xE52D7004, 0xE1A07000, 0xE1A00001, 0xE1A01002),
        *(0xE1A02003, 0xEF000000, 0xE49D7004, 0xE12FFF1E),
    ),
}
_CALLS = {"aarch64": {"write": 64, "exit": 93}, "arm": {"write": 4, "exit": 1}}
_MACHINES = {"aarch64": (183, 0), "arm": (40, 0x05000400)}  # and flags, of ELF


def emulated(
    network: IntegerNetwork, target: Target, x: np.ndarray, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Real and integer outputs of the program for `target`."""
    emulator = shutil.which(f"qemu-{target.architecture}")
    if emulator is None:
        pytest.skip(f"there is no qemu-{target.architecture} (Debian: qemu-user)")
    path = folder / "emulated"
    path.write_bytes(_executable(board_program(network, target), target, x))
    path.chmod(0o755)
    answer = subprocess.run([emulator, path], capture_output=True, check=False, timeout=300)
    assert answer.returncode == 0, (answer.returncode, answer.stderr.decode())
    shape = (len(x), *network.output_tensor.shape)
    count = int(np.prod(shape))
    assert len(answer.stdout) == 12 * count
    reals = np.frombuffer(answer.stdout, np.float32, count)
    return reals.reshape(shape), np.frombuffer(answer.stdout, np.int64, count, 4 * count).reshape(
        shape
    )


def _executable(program: bytes, target: Target, x: np.ndarray) -> bytes:
    header = json.loads(program[DIGEST:PAGE].rstrip(b"\0"))
    place, size = header["arena"]
    outputs = len(x) * int(np.prod(header["output_shape"]))
    data = [program[place : place + size], x.tobytes(), bytes(4 * outputs), bytes(8 * outputs)]
    # Data end where a page ends: what reads or writes beyond them faults.
    places = [_APART * (4 + k) - len(part) for k, part in enumerate(data)]
    code, entry = link(compile_object(_driver(header, target, places, len(x)), target), "_start")
    instructions = _SYSTEM[target.architecture]
    system = struct.pack(f"<{len(instructions)}I", *instructions)
    texts = (_START, code), (_SYSTEM_AT, system), (_PROGRAM, program)
    segments = [(at, part, _READ | _EXECUTE) for at, part in texts]
    segments += [(at, part, _READ | _WRITE) for at, part in zip(places, data, strict=True)]
    return _elf(target, _START + entry, sorted(segments))


def _driver(header: dict, target: Target, places: list[int], images: int) -> ir.Module:
    module = ir.Module("driver")
    code = Code(module, "_start", [], public=True)
    build = code.build
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, LONG, POINTER, POINTER, POINTER])
    run = build.inttoptr(code.long(_PROGRAM + header["entry"]), kind.as_pointer())
    pixels, outputs = (int(np.prod(header[f"{n}_shape"])) for n in ("input", "output"))
    constants, arena = (
        build.inttoptr(code.long(at), POINTER)
        for at in (_PROGRAM + header["constants"][0], places[0])
    )
    with code.loop(images) as image:
        moved = [
            build.inttoptr(code.scaled(image, size, at), POINTER)
            for at, size in zip(places[1:], (4 * pixels, 4 * outputs, 8 * outputs), strict=True)
        ]
        build.call(run, [constants, arena, code.long(1), *moved])
    number = WORD if target.architecture == "arm" else LONG
    calls = _CALLS[target.architecture]
    kind = ir.FunctionType(ir.VoidType(), [number] * 4)
    called = build.inttoptr(code.long(_SYSTEM_AT), kind.as_pointer())

    def system(name: str, *values: int) -> None:
        build.call(called, [ir.Constant(number, value) for value in (calls[name], *values)])

    system("write", 1, places[2], 4 * outputs * images)
    system("write", 1, places[3], 8 * outputs * images)
    system("exit", 0, 0, 0)
    code.end()
    return module


def _elf(target: Target, entry: int, segments: list[tuple[int, bytes, int]]) -> bytes:
    """An executable that is mapped as `segments` say: address, content, rights."""
    machine, flags = _MACHINES[target.architecture]
    wide = target.architecture == "aarch64"
    size, each = (64, 56) if wide else (52, 32)
    table, content = b"", bytearray()
    at = size + each * len(segments)
    for address, part, rights in segments:
        place = at + (address - at) % PAGE
        content += bytes(place - at) + part
        at = place + len(part)
        lengths = (place, address, address, len(part), len(part))
        table += (
            struct.pack("<IIQQQQQQ", 1, rights, *lengths, PAGE)
            if wide
            else struct.pack("<8I", 1, *lengths, rights, PAGE)
        )
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1, 1])
    header = struct.pack(
        "<16sHHIQQQIHHHHHH" if wide else "<16sHHIIIIIHHHHHH",
        *(identity, 2, machine, 1, entry, size, 0, flags, size, each, len(segments), 0, 0, 0),
    )
    return header + table + bytes(content)
