# SPDX-License-Identifier: Apache-2.0
"""From an object file to code that runs wherever a page begins.

Generated code calls no library and has no variables: what is left to link are calls, and addresses
of constants relative to the code (ELF, and its supplements for x86-64, aarch64 and 32-bit ARM).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qdeploy.errors import InternalError

_ALIGNMENT = 64
_PAGE = 4096
_PROGBITS, _SYMBOLS, _RELA, _REL = 1, 2, 4, 9
_ALLOCATED = 2


def link(content: bytes, entry: str) -> tuple[bytes, int]:
    """Machine code, to be placed at a multiple of 4096, and where the function `entry` begins.

    Args:
        content: an object file for x86-64, aarch64 or 32-bit ARM.
        entry: a public function.

    Raises:
        InternalError: if the object needs more than itself.
    """
    return _Object(content).linked(entry)


@dataclass(frozen=True)
class _Section:
    """A section header; `link` and `info` mean what `kind` says."""

    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def kept(self) -> bool:
        """Whether it is code or constants (tables for debuggers and unwinding are of no use)."""
        return self.kind == _PROGBITS and bool(self.flags & _ALLOCATED) and self.size > 0


@dataclass(frozen=True)
class _Symbol:
    name: str
    section: int
    value: int


class _Object:
    def __init__(self, content: bytes) -> None:
        self.content, self.wide = content, content[4] == 2
        (self.machine,) = struct.unpack_from("<H", content, 18)
        (start,) = struct.unpack_from("<Q" if self.wide else "<I", content, 40 if self.wide else 32)
        size, count = struct.unpack_from("<HH", content, 58 if self.wide else 46)
        self.sections = [self._section(start + size * k) for k in range(count)]
        (table,) = (section for section in self.sections if section.kind == _SYMBOLS)
        strings = self.sections[table.link].offset
        self.symbols = [
            self._symbol(raw, strings) for raw in self._entries(table, "<IBBHQQ", "<IIIBBH")
        ]

    def linked(self, entry: str) -> tuple[bytes, int]:
        code, places = bytearray(), {}
        for index, section in enumerate(self.sections):
            if section.kept:
                code += bytes(-len(code) % _ALIGNMENT)
                places[index] = len(code)
                code += self.content[section.offset : section.offset + section.size]
        for section in self.sections:
            if section.kind in {_RELA, _REL} and section.info in places:
                self._relocate(code, section, places)
        (start,) = (s for s in self.symbols if s.name == entry)
        return bytes(code), places[start.section] + start.value

    def _relocate(self, code: bytearray, table: _Section, places: dict[int, int]) -> None:
        for offset, info, *addends in self._entries(table, "<QQq", "<II"):
            symbol = self.symbols[info >> 32 if self.wide else info >> 8]
            kind = info & 0xFFFFFFFF if self.wide else info & 0xFF
            patch = _PATCHES.get((self.machine, kind))
            if patch is None or symbol.section not in places:
                raise InternalError(f"generated code needs {symbol.name!r} (relocation {kind})")
            at = places[table.info] + offset
            target = places[symbol.section] + symbol.value + sum(addends)
            (word,) = struct.unpack_from("<I", code, at)
            struct.pack_into("<I", code, at, patch(word, target, at))

    def _section(self, at: int) -> _Section:
        names = struct.unpack_from("<IIQQQQII" if self.wide else "<8I", self.content, at)
        _, kind, flags, _, offset, size, linked, info = names
        return _Section(kind, flags, offset, size, linked, info)

    def _symbol(self, raw: tuple[int, ...], strings: int) -> _Symbol:
        name, section, value = (raw[0], *raw[3:5]) if self.wide else (raw[0], raw[5], raw[1])
        end = self.content.index(0, strings + name)
        return _Symbol(self.content[strings + name : end].decode(), section, value)

    def _entries(self, table: _Section, wide: str, narrow: str) -> Iterator[tuple[int, ...]]:
        part = self.content[table.offset : table.offset + table.size]
        return struct.iter_unpack(wide if self.wide else narrow, part)


def _relative(word: int, target: int, at: int) -> int:
    """x86-64: distance in 32 bits."""
    return (target - at) & 0xFFFFFFFF


def _arm_branch(word: int, target: int, at: int) -> int:
    """32-bit ARM: distance in 24 bits, instructions; the addend stands in their place."""
    addend = (word & 0xFFFFFF) - (word & 0x800000) * 2
    return word & 0xFF000000 | (target - at >> 2) + addend & 0xFFFFFF


def _branch(word: int, target: int, at: int) -> int:
    """aarch64: distance in 26 bits, instructions."""
    return word & 0xFC000000 | target - at >> 2 & 0x3FFFFFF


def _pages(word: int, target: int, at: int) -> int:
    """aarch64: distance in 21 bits, pages; its two lowest bits stand apart."""
    pages = target // _PAGE - at // _PAGE
    return word & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5


def _in_page(unit: int) -> Callable[[int, int, int], int]:
    """aarch64: place in a page in 12 bits, in units of `unit` bytes."""
    return lambda word, target, at: word & 0xFFC003FF | target % _PAGE // unit << 10


_X86, _ARM, _AARCH64 = 62, 40, 183
_PATCHES: dict[tuple[int, int], Callable[[int, int, int], int]] = {
    (_X86, 2): _relative,  # PC32
    (_X86, 4): _relative,  # PLT32
    (_ARM, 28): _arm_branch,  # CALL
    (_ARM, 29): _arm_branch,  # JUMP24
    (_AARCH64, 275): _pages,  # ADR_PREL_PG_HI21
    (_AARCH64, 277): _in_page(1),  # ADD_ABS_LO12_NC
    (_AARCH64, 278): _in_page(1),  # LDST8_ABS_LO12_NC
    (_AARCH64, 282): _branch,  # JUMP26
    (_AARCH64, 283): _branch,  # CALL26
    (_AARCH64, 284): _in_page(2),  # LDST16_ABS_LO12_NC
    (_AARCH64, 285): _in_page(4),  # LDST32_ABS_LO12_NC
    (_AARCH64, 286): _in_page(8),  # LDST64_ABS_LO12_NC
    (_AARCH64, 299): _in_page(16),  # LDST128_ABS_LO12_NC
}
