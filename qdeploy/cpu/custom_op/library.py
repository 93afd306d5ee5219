# SPDX-License-Identifier: Apache-2.0
"""A shared library of one function that jumps to generated code in this process.

ONNX Runtime takes custom operators only from a library file that exports `RegisterCustomOps`. The
file holds nothing else: a symbol, and a few instructions that put an address into the third
argument and jump to another one (ELF 64, System V ABI; x86-64 and aarch64).
"""

from __future__ import annotations

import struct

SYMBOL = b"RegisterCustomOps"
MACHINES = {"x86_64": 62, "aarch64": 183}
_HEADER, _SEGMENT, _SEGMENTS = 64, 56, 3
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_HASH, _STRINGS, _SYMBOLS, _STRINGS_SIZE, _SYMBOL_SIZE = 4, 5, 6, 10, 11


def stub_library(function: int, argument: int, machine: str) -> bytes:
    """The file: RegisterCustomOps(a, b) calls function(a, b, argument).

    Args:
        function: an address in this process.
        argument: another one.
        machine: "x86_64" or "aarch64".
    """
    code = _jump(function, argument, machine)
    strings = b"\0" + SYMBOL + b"\0"
    at = _HEADER + _SEGMENT * _SEGMENTS
    places = {}
    for name, size in (
        ("symbols", 48),
        ("strings", len(strings)),
        ("hash", 24),
        ("code", len(code)),
    ):
        at = -(-at // 16) * 16
        places[name], at = at, at + size
    dynamic = -(-at // 16) * 16
    entries = (
        (_HASH, places["hash"]),
        (_STRINGS, places["strings"]),
        (_SYMBOLS, places["symbols"]),
        (_STRINGS_SIZE, len(strings)),
        (_SYMBOL_SIZE, 24),
        (0, 0),
    )
    size = dynamic + 16 * len(entries)
    content = bytearray(size)

    def put(place: int, part: bytes) -> None:
        content[place : place + len(part)] = part

    put(
        0,
        struct.pack(
            "<16sHHIQQQIHHHHHH",
            b"\x7fELF\x02\x01\x01",
            3,
            MACHINES[machine],
            1,
            0,
            _HEADER,
            0,
            0,
            _HEADER,
            _SEGMENT,
            _SEGMENTS,
            64,
            0,
            0,
        ),
    )
    segments = (
        (_LOAD, 7, 0, size, 0x1000),
        (_DYNAMIC, 6, dynamic, 16 * len(entries), 8),
        (_STACK, 6, 0, 0, 16),
    )
    for index, (kind, flags, place, length, alignment) in enumerate(segments):
        put(
            _HEADER + _SEGMENT * index,
            struct.pack("<IIQQQQQQ", kind, flags, place, place, place, length, length, alignment),
        )
    put(places["symbols"] + 24, struct.pack("<IBBHQQ", 1, 0x12, 0, 1, places["code"], len(code)))
    put(places["strings"], strings)
    put(places["hash"], struct.pack("<IIIIII", 1, 2, 1, 0, 0, 0))
    put(places["code"], code)
    for index, entry in enumerate(entries):
        put(dynamic + 16 * index, struct.pack("<QQ", *entry))
    return bytes(content)


def _jump(function: int, argument: int, machine: str) -> bytes:
    if machine == "x86_64":  # movabs rdx, argument; movabs rax, function; jmp rax
        return (
            b"\x48\xba"
            + struct.pack("<Q", argument)
            + b"\x48\xb8"
            + struct.pack("<Q", function)
            + b"\xff\xe0"
        )
    # ldr x2, +16; ldr x16, +20; br x16; nop
    instructions = struct.pack("<IIII", 0x58000082, 0x580000B0, 0xD61F0200, 0xD503201F)
    return instructions + struct.pack("<QQ", argument, function)
