"""JSON as Loki's parser library reads it: it looks only as far as it must, so that much broken JSON has values.

A block ends where its own kind of brackets balance, a number is all up to the next delimiter, an object ends at its
brace whatever follows. The texts of errors are jsonparser's. Nothing here recurses: depth costs memory only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from logql.stages.escapes import JSON_ESCAPES, undo_escapes

MALFORMED = "Malformed JSON error"
MALFORMED_STRING = "Value is string, but can't find closing '\"' symbol"
MALFORMED_ARRAY = "Value is array, but can't find closing ']' symbol"
MALFORMED_OBJECT = "Value looks like object, but can't find closing '}' symbol"
MALFORMED_ESCAPE = "Encountered an invalid escape sequence in a string"
UNKNOWN_VALUE = "Unknown value type"

_TOKEN = re.compile(rb"[^ \n\r\t]")
_TOKEN_END = re.compile(rb"[ \n\r\t,}\]]")
_STRING_REST = re.compile(rb'(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACES = re.compile(rb'["{}]')
_BRACKETS = re.compile(rb'["\[\]]')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")


class JsonError(Exception):
    """A line is not JSON as far as it was looked at."""


class Kind(Enum):
    """Kinds of values."""

    STRING = auto()
    NUMBER = auto()
    OBJECT = auto()
    ARRAY = auto()
    BOOLEAN = auto()
    NULL = auto()


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it stands.

    Attributes:
        kind: what it is.
        data: the bytes that it stands in.
        start: offset of its first byte; of a string that behind the quote.
        stop: offset behind its last byte; of a string that of the quote.
    """

    kind: Kind
    data: bytes
    start: int
    stop: int

    @property
    def raw(self) -> bytes:
        """The value as it is written; of a string what is between the quotes."""
        return self.data[self.start : self.stop]

    @property
    def end(self) -> int:
        """Offset behind the value, quotes included."""
        return self.stop + (self.kind is Kind.STRING)


@dataclass(frozen=True, slots=True)
class Field:
    """A member of an object: how many objects around it were gone into, its key and its value."""

    depth: int
    key: bytes
    value: Value


def next_token(data: bytes, at: int, end: int) -> int:
    """Offset of the first byte from `at` that is not white space, -1 if there is none."""
    found = _TOKEN.search(data, at, end)
    return found.start() if found else -1


def string_end(data: bytes, at: int, end: int) -> int:
    """Offset behind the quote that closes the string whose text begins at `at`, -1 if there is none."""
    found = _STRING_REST.match(data, at, end)
    return found.end() if found else -1


class Blocks:
    """Where the blocks of a line end. Each block is scanned once, however deep it stands in others."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ends: dict[int, int] = {}

    def end(self, at: int, end: int) -> int:
        """Offset behind the bracket that closes the `{` or `[` at `at`, -1 if there is none before `end`.

        Only brackets of the same kind are counted; strings are skipped.
        """
        if at not in self._ends:
            self._scan(at, end)
        found = self._ends.get(at, -1)
        return found if found <= end else -1

    def _scan(self, at: int, end: int) -> None:
        data = self._data
        marks, opening = (_BRACES, b"{") if data[at] == ord("{") else (_BRACKETS, b"[")
        opened: list[int] = []
        while (mark := marks.search(data, at, end)) is not None:
            at = mark.end()
            if mark[0] == b'"':
                at = string_end(data, at, end)
                if at < 0:
                    return
            elif mark[0] == opening:
                opened.append(mark.start())
            else:
                self._ends[opened.pop()] = at
                if not opened:
                    return


def read_value(data: bytes, at: int, end: int, blocks: Blocks) -> Value:
    """The value that begins at the first token from `at`.

    Raises:
        JsonError: there is none, or it does not end before `end`.
    """
    at = next_token(data, at, end)
    if at < 0:
        raise JsonError(MALFORMED)
    first = data[at]
    if first == ord('"'):
        stop = string_end(data, at + 1, end)
        if stop < 0:
            raise JsonError(MALFORMED_STRING)
        return Value(Kind.STRING, data, at + 1, stop - 1)
    if first in b"{[":
        kind, text = (Kind.OBJECT, MALFORMED_OBJECT) if first == ord("{") else (Kind.ARRAY, MALFORMED_ARRAY)
        stop = blocks.end(at, end)
        if stop < 0:
            raise JsonError(text)
        return Value(kind, data, at, stop)
    delimiter = _TOKEN_END.search(data, at, end)
    stop = delimiter.start() if delimiter else end
    return Value(_simple_kind(data[at:stop]), data, at, stop)


def _simple_kind(raw: bytes) -> Kind:
    if raw in (b"true", b"false"):
        return Kind.BOOLEAN
    if raw == b"null":
        return Kind.NULL
    if raw[:1].isdigit() or raw[:1] == b"-":
        return Kind.NUMBER
    raise JsonError(UNKNOWN_VALUE)


def _enter_none(_depth: int, _key: bytes) -> bool:
    return False


def fields(data: bytes, enter: Callable[[int, bytes], bool] = _enter_none) -> Iterator[Field]:
    """The members of the object that a line is, in order; those of inner objects in place of the object.

    Args:
        data: the line.
        enter: whether an object at a depth (0: a member of the outermost) under a key is gone into; else it is given as
            a value.

    Raises:
        JsonError: the object cannot be read on; what came before is good.
    """
    blocks = Blocks(data)
    end = len(data)
    at = _first_key(data, 0, end)
    outer: list[tuple[int, int]] = []
    while True:
        if at < 0:  # the object has ended; go on behind it in the one around
            if not outer:
                return
            at, end = outer.pop()
        else:
            key, at = _key(data, at, end)
            value = read_value(data, at, end, blocks)
            if value.kind is Kind.OBJECT and enter(len(outer), key):
                outer.append((value.stop, end))
                at, end = _first_key(data, value.start, value.stop), value.stop
                continue
            yield Field(len(outer), key, value)
            at = value.end
        at = _next_key(data, at, end)


def _first_key(data: bytes, at: int, end: int) -> int:
    """Offset of an object's first key, -1 if it has none."""
    at = next_token(data, at, end)
    if at < 0 or data[at] != ord("{"):
        raise JsonError(MALFORMED_OBJECT)
    at = next_token(data, at + 1, end)
    if at < 0:
        raise JsonError(MALFORMED)
    return -1 if data[at] == ord("}") else at


def _next_key(data: bytes, at: int, end: int) -> int:
    """Offset of the key behind a value that ends at `at`, -1 if the object ends; a comma may stand before its brace."""
    at = next_token(data, at, end)
    if at < 0:
        raise JsonError(MALFORMED_ARRAY)
    if data[at] == ord("}"):
        return -1
    if data[at] != ord(","):
        raise JsonError(MALFORMED_OBJECT)
    at = next_token(data, at + 1, end)
    if at < 0:
        raise JsonError(MALFORMED_ARRAY)
    return -1 if data[at] == ord("}") else at


def _key(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """A key, and the offset behind its colon."""
    if data[at] != ord('"'):
        raise JsonError(MALFORMED_OBJECT)
    stop = string_end(data, at + 1, end)
    if stop < 0:
        raise JsonError(MALFORMED)
    key = unescape(data[at + 1 : stop - 1])
    if key is None:
        raise JsonError(MALFORMED_ESCAPE)
    at = next_token(data, stop, end)
    if at < 0 or data[at] != ord(":"):
        raise JsonError(MALFORMED)
    return key, at + 1


def unescape(raw: bytes) -> bytes | None:
    r"""The text of a string without its escapes, None if one is none of JSON's.

    A `\uD800` takes the four hex digits of whatever six bytes follow as its other half, and both give U+FFFD when they
    do not name a character; a half alone makes the string bad.
    """
    return undo_escapes(raw, JSON_ESCAPES, _unicode_escape)


def _unicode_escape(raw: bytes, at: int) -> tuple[bytes | None, int]:
    r"""The character of the `\u` at `at`, None if it is none, and the offset behind it."""
    high = _hex4(raw, at + 2)
    if high is None:
        return None, at
    if not 0xD800 <= high <= 0xDFFF:
        return chr(high).encode(), at + 6
    low = _hex4(raw, at + 8)
    if low is None or low < 0xDC00:
        return None, at
    code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
    return (chr(code) if code <= 0x10FFFF else "\ufffd").encode(), at + 12


def _hex4(raw: bytes, at: int) -> int | None:
    found = _HEX.match(raw, at)
    return int(found[0], 16) if found else None
