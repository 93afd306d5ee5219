# SPDX-License-Identifier: Apache-2.0
"""JSON objects of untrusted files, read field by field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

from qdeploy.errors import UserError

MANY = 1 << 40  # more than any count or number of bytes
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST = 200  # letters of a file's name
_TEXT = 1000  # letters of any other text


def read_object(content: bytes, name: str) -> Fields:
    """The fields of a JSON file.

    Raises:
        UserError: if it is none.
    """
    try:
        data = json.loads(content, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{name} is no JSON: {error}") from error
    return Fields(data, "")


def damaged(problem: str) -> UserError:
    """The error for a package that nothing may be done with."""
    remedy = "copy the package again; if that does not help, make it anew with 'qdeploy package'"
    return UserError(f"damaged package: {problem}", remedy=remedy)


class Fields:
    """The fields of a JSON object; each is taken once and none may be left over."""

    def __init__(self, data: Any, place: str) -> None:
        if not isinstance(data, dict):
            raise damaged(f"{place or 'manifest.json'} is no JSON object")
        self._data = dict(data)
        self._place = place

    def take(self, name: str) -> Any:
        """The value of a field, whatever it is."""
        if name not in self._data:
            raise damaged(f"manifest.json lacks '{self.name(name)}'")
        return self._data.pop(name)

    def name(self, name: str) -> str:
        """A field as people find it in the file."""
        return f"{self._place}.{name}" if self._place else name

    def end(self) -> None:
        """Refuse fields that were not taken."""
        for name in self._data:
            raise damaged(f"manifest.json has an unknown field '{self.name(name)}'")

    def wrong(self, name: str, value: Any, expected: str) -> NoReturn:
        """Refuse a value."""
        raise damaged(f"'{self.name(name)}' is {str(value)[:80]!r}, not {expected}")

    def optional(self, name: str, read: Callable[[Fields, str], Any]) -> Any:
        """What `read` makes of a field, or None for null."""
        if self._data.get(name, 0) is None:
            return self.take(name)
        return read(self, name)

    def object(self, name: str) -> Fields:
        """An object inside."""
        return Fields(self.take(name), self.name(name))

    def text(self, name: str) -> str:
        """A line of text."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > _TEXT or not value.isprintable():
            self.wrong(name, value, "a short text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of lines of text."""
        values = self.take(name)
        if not isinstance(values, list):
            self.wrong(name, values, "a list of texts")
        for value in values:
            if not isinstance(value, str) or len(value) > _TEXT or not value.isprintable():
                self.wrong(name, value, "a short text")
        return tuple(values)

    def integer(self, name: str, low: int, high: int) -> int:
        """An integer in low..high."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(name, value, f"an integer in {low}..{high}")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """A finite number in low..high."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.wrong(name, value, "a number")
        if not (math.isfinite(value) and low <= value <= high):
            self.wrong(name, value, f"a number in {low}..{high}")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            self.wrong(name, value, "true or false")
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """The lengths of one to eight axes."""
        values = self.take(name)
        if not isinstance(values, list) or not 1 <= len(values) <= 8:
            self.wrong(name, values, "a shape")
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < MANY:
                self.wrong(name, values, "a shape")
        if prod(values) >= MANY:
            self.wrong(name, values, "a shape of bounded size")
        return tuple(values)

    def count(self, name: str) -> int:
        """A number of things."""
        return self.integer(name, 0, MANY)

    def digest(self, name: str) -> str:
        """The hexadecimal digits of a SHA-256."""
        value = self.text(name)
        if not _DIGEST.fullmatch(value):
            self.wrong(name, value, "64 hexadecimal digits")
        return value


def check_name(name: str) -> None:
    """A file's name inside the package: relative, plain, never outside.

    Raises:
        UserError: if it is none.
    """
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise damaged(f"{name[:80]!r} is no name of a file inside it")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number is too long")
    return int(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
