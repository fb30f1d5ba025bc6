"""logfmt as Loki reads it: pairs `key=value` between blanks, values bare or in double quotes, keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from logql.stages.escapes import JSON_ESCAPES, undo_escapes

_START = re.compile(rb"[^\x00-\x20]")
_KEY_END = re.compile(rb'[\x00-\x20="]')
_BLANK = re.compile(rb"[\x00-\x20]")
_STRING_REST = re.compile(rb'(?:[^"\\]|\\.)*+"', re.DOTALL)
_HEX = re.compile(rb"\\u([0-9a-fA-F]{4})")
_ESCAPES = {**JSON_ESCAPES, ord("'"): b"'"}
_UNKNOWN = "\ufffd".encode()


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its value, b"" when there is none."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What stands where a pair should. Pairs go on behind the next blank."""

    text: str


def pairs(line: bytes) -> Iterator[Pair | Fault]:
    """The pairs of a line, and its faults, in order."""
    at = 0
    while (start := _START.search(line, at)) is not None:
        pair, at = _pair(line, start.start())
        yield pair


def _pair(line: bytes, start: int) -> tuple[Pair | Fault, int]:
    """What begins at `start`, and where to go on."""
    ending = _KEY_END.search(line, start)
    stop = ending.start() if ending else len(line)
    key = line[start:stop]
    mark = line[stop : stop + 1]
    if mark == b'"' or (mark == b"=" and not key):
        return _fault(line, stop, f"unexpected '{mark.decode()}'")
    if not _is_text(key):
        text = _fault_text(stop, "invalid key")
        return (Fault(text), _next_blank(line, stop) if mark == b"=" else stop)
    if mark != b"=":
        return Pair(key, b""), stop
    stop += 1
    if line[stop : stop + 1] == b'"':
        return _quoted(line, key, stop)
    return _bare(line, key, stop)


def _bare(line: bytes, key: bytes, start: int) -> tuple[Pair | Fault, int]:
    ending = _KEY_END.search(line, start)
    stop = ending.start() if ending else len(line)
    mark = line[stop : stop + 1]
    if mark in (b"=", b'"'):
        return _fault(line, stop, f"unexpected '{mark.decode()}'")
    return Pair(key, line[start:stop]), stop


def _quoted(line: bytes, key: bytes, start: int) -> tuple[Pair | Fault, int]:
    rest = _STRING_REST.match(line, start + 1)
    if rest is None:
        return Fault(_fault_text(len(line), "unterminated quoted value")), len(line)
    value = unquote(rest[0][:-1])
    if value is None:
        return Fault(_fault_text(rest.end(), "invalid quoted value")), rest.end()
    return Pair(key, value), rest.end()


def unquote(raw: bytes) -> bytes | None:
    """The text of a quoted value, None if it has a bad escape; half a surrogate pair is U+FFFD."""
    return undo_escapes(raw, _ESCAPES, _unicode_escape)


def _unicode_escape(raw: bytes, at: int) -> tuple[bytes | None, int]:
    high = _hex(raw, at)
    if high is None:
        return None, at
    if not 0xD800 <= high <= 0xDFFF:
        return chr(high).encode(), at + 6
    low = _hex(raw, at + 6)
    if high < 0xDC00 and low is not None and 0xDC00 <= low <= 0xDFFF:
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).encode(), at + 12
    return _UNKNOWN, at + 6


def _hex(raw: bytes, at: int) -> int | None:
    found = _HEX.match(raw, at)
    return int(found[1], 16) if found else None


def _is_text(key: bytes) -> bool:
    """Whether a key is UTF-8 without U+FFFD."""
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return _UNKNOWN not in key


def _fault(line: bytes, at: int, what: str) -> tuple[Fault, int]:
    return Fault(_fault_text(at, what)), _next_blank(line, at)


def _fault_text(at: int, what: str) -> str:
    return f"logfmt syntax error at pos {at + 1} : {what}"


def _next_blank(line: bytes, at: int) -> int:
    found = _BLANK.search(line, at)
    return found.start() if found else len(line)
