"""The level of one entry, as Loki derives it (Loki's field detection; the recorded answers decide).

This is the rule in its short, row-at-a-time form: the oracle of gateway/push/kernels/levels.py, and what a door of
single entries may call. Case is folded for ASCII letters only (Go folds Unicode; no level and no default field name has
a letter for which that shows, but for the long s and the dotted capital I).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from config.limits import LEVEL_FIELDS
from storage.batch import Labels

DETECTED_LEVEL = "detected_level"
"""Structured metadata key under which the level is stored."""
SEVERITY_NUMBER = "severity_number"
"""Structured metadata key that holds OpenTelemetry's severity number."""

LEVELS = (b"unknown", b"trace", b"debug", b"info", b"warn", b"error", b"critical", b"fatal")
"""Every level a line can get; the kernel's codes are indices into it."""

MAX_DEPTH = 64
"""Objects are entered this deep at most, also where `log_level_from_json_max_depth` is 0 (no limit): each level reads
the nested bytes again, so that a line of a million braces would cost the square of its length."""

_SYNONYMS = {
    b"trace": b"trace",
    b"trc": b"trace",
    b"debug": b"debug",
    b"dbg": b"debug",
    b"info": b"info",
    b"inf": b"info",
    b"information": b"info",
    b"warn": b"warn",
    b"wrn": b"warn",
    b"warning": b"warn",
    b"error": b"error",
    b"err": b"error",
    b"critical": b"critical",
    b"fatal": b"fatal",
}
# Alternatives stand in the order in which Loki prefers them at one position.
_KEYWORD = re.compile(
    rb"""(?:\A|(?<=[ \t\n\[({"'=|]))"""
    rb"(trace|debug|fatal|critical|error|err|warning|warn|info)"
    rb"""(?=[ \t\n\[\](){}:,!"'=|]|\Z)""",
)
# unicode.IsSpace, as the UTF-8 a line begins with; at the end of a line Loki looks at single bytes.
_LEADING_SPACE = re.compile(
    rb"(?:[\t-\r ]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)*",
)
_TRAILING_SPACE = b"\t\n\v\f\r \x85\xa0"
_JSON_SPACE = b" \t\n\r"
_TOKEN_END = re.compile(rb"[ \t\n\r,}\]]|\Z")
_JSON_ESCAPES = {34: 34, 92: 92, 47: 47, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9}
_LOGFMT_ESCAPES = {**_JSON_ESCAPES, 39: 39}


def detect_level(
    labels: Labels,
    metadata: Mapping[str, bytes],
    line: bytes,
    fields: Sequence[str] = LEVEL_FIELDS,
    max_depth: int = 2,
) -> bytes | None:
    """The `detected_level` of an entry, None where Loki stores none (a level label or metadata that is empty).

    Args:
        labels: the stream's.
        metadata: structured metadata, names already sanitised.
        line: the log line.
        fields: names that hold a level, best first.
        max_depth: how many nested objects of a JSON line are searched; 2 is the root and one below, 0 any.
    """
    if DETECTED_LEVEL in metadata:
        return normalise_level(metadata[DETECTED_LEVEL])
    stream = dict(labels)
    for name in fields:
        if name in stream:
            return normalise_level(stream[name].encode("utf-8", "surrogateescape")) or None
    for name in fields:
        if name in metadata:
            return normalise_level(metadata[name]) or None
    if metadata.get(SEVERITY_NUMBER):
        return severity_level(metadata[SEVERITY_NUMBER])
    return line_level(line, fields, max_depth)


def normalise_level(value: bytes) -> bytes:
    """The level that a label value names; another value stays as it is."""
    return _SYNONYMS.get(value.lower(), value)


def severity_level(value: bytes) -> bytes:
    """The level of an OpenTelemetry severity number in decimal: four numbers a level from 1 (trace) to 24 (fatal)."""
    if re.fullmatch(rb"[+-]?[0-9]+", value) is None or not -(2**63) <= int(value) < 2**63:
        return b"info"
    number = int(value)
    if number == 0 or number > 24:
        return b"unknown"
    names = (b"trace", b"debug", b"info", b"warn", b"error", b"fatal")
    return names[max(number - 1, 0) // 4]


def line_level(line: bytes, fields: Sequence[str] = LEVEL_FIELDS, max_depth: int = 2) -> bytes:
    """The level a line itself shows: by a field of a JSON or logfmt line, else by the first level word in it."""
    names = [name.encode("utf-8", "surrogateescape") for name in fields]
    value: bytes | None = None
    if _looks_like_json(line):
        try:
            value = _object_level(line, names, _entered(max_depth))
        except _Malformed:
            value = None
    elif b"=" in line:
        value = _logfmt_level(line, [name.lower() for name in names])
    level = _SYNONYMS.get(value.lower()) if value is not None else None
    return level or _word_level(line)


def _word_level(line: bytes) -> bytes:
    found = _KEYWORD.search(line.lower())
    return _SYNONYMS[found[1]] if found else b"unknown"


def _entered(max_depth: int) -> int:
    return max_depth if 0 < max_depth < MAX_DEPTH else MAX_DEPTH


def _looks_like_json(line: bytes) -> bool:
    start = _LEADING_SPACE.match(line)
    begin = start.end() if start else 0
    return line[begin : begin + 1] == b"{" and line.rstrip(_TRAILING_SPACE)[-1:] == b"}"


# -- JSON, as far as Loki's reader (jsonparser) looks: it stops at the first byte out of place


class _Malformed(Exception):  # noqa: N818 - an outcome of reading, not an error of ours
    """The bytes read so far cannot go on as JSON."""


def _object_level(data: bytes, names: Sequence[bytes], depth: int) -> bytes | None:
    """The raw value of the first string in document order whose key is in `names`; None where there is none.

    Raises _Malformed where the bytes stop being JSON before that.
    """
    at = _next(data, 0)
    if data[at] != 0x7B:
        raise _Malformed
    at = _next(data, at + 1)
    while data[at] != 0x7D:
        if data[at] != 0x22:
            raise _Malformed
        end = _string_end(data, at)
        key = data[at + 1 : end - 1]
        if b"\\" in key:
            key = _unescape(key, _JSON_ESCAPES, strict=True)
        at = _next(data, end)
        if data[at] != 0x3A:
            raise _Malformed
        at = _next(data, at + 1)
        end = _value_end(data, at)
        if data[at] == 0x22 and key in names:
            return data[at + 1 : end - 1]
        if data[at] == 0x7B and depth > 1:
            found = _object_level(data[at:end], names, depth - 1)
            if found is not None:
                return found
        at = _next(data, end)
        if data[at] == 0x7D:
            break
        if data[at] != 0x2C:
            raise _Malformed
        at = _next(data, at + 1)
    return None


def _next(data: bytes, at: int) -> int:
    while at < len(data):
        if data[at] not in _JSON_SPACE:
            return at
        at += 1
    raise _Malformed


def _string_end(data: bytes, at: int) -> int:
    """One past the closing quote of the string that opens at `at`."""
    at += 1
    while at < len(data):
        if data[at] == 0x22:
            return at + 1
        at += 2 if data[at] == 0x5C else 1
    raise _Malformed


def _value_end(data: bytes, at: int) -> int:
    first = data[at]
    if first == 0x22:
        return _string_end(data, at)
    if first in b"[{":
        return _block_end(data, at, first, 0x5D if first == 0x5B else 0x7D)
    end = _TOKEN_END.search(data, at)
    stop = end.start() if end else len(data)
    if first not in b"0123456789-" and data[at:stop] not in (b"true", b"false", b"null"):
        raise _Malformed
    return stop


def _block_end(data: bytes, at: int, opening: int, closing: int) -> int:
    level = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x22:
            at = _string_end(data, at)
            continue
        at += 1
        if byte == opening:
            level += 1
        elif byte == closing:
            level -= 1
            if level == 0:
                return at
    raise _Malformed


# -- logfmt


def _logfmt_level(line: bytes, names: Sequence[bytes]) -> bytes | None:
    """The value of the best-placed of `names` (lower case) among the pairs up to the first malformed one."""
    best, value = len(names), None
    at = 0
    while at < len(line):
        while at < len(line) and line[at] <= 0x20:
            at += 1
        start = at
        while at < len(line) and line[at] > 0x20 and line[at] not in b'="':
            at += 1
        key = line[start:at]
        has_value = line[at : at + 1] == b"="
        if line[at : at + 1] == b'"' or (has_value and not key) or not _is_key(key):
            break
        found = b""
        if has_value:
            at += 1
            start = at
            if line[at : at + 1] == b'"':
                quoted = _quoted_end(line, at)
                if quoted is None:
                    break
                at = quoted
                found = line[start + 1 : at - 1]
                if b"\\" in found:
                    try:
                        found = _unescape(found, _LOGFMT_ESCAPES, strict=False)
                    except _Malformed:
                        break
            else:
                while at < len(line) and line[at] > 0x20 and line[at] not in b'="':
                    at += 1
                if line[at : at + 1] in (b"=", b'"'):
                    break
                found = line[start:at]
        place = names.index(key.lower()) if key.lower() in names else best
        if place < best:
            best, value = place, found
            if place == 0:
                break
    return value


def _is_key(key: bytes) -> bool:
    if key.isascii():
        return True
    try:
        return "\ufffd" not in key.decode()
    except UnicodeDecodeError:
        return False


def _quoted_end(line: bytes, at: int) -> int | None:
    try:
        return _string_end(line, at)
    except _Malformed:
        return None


def _unescape(text: bytes, escapes: Mapping[int, int], *, strict: bool) -> bytes:
    r"""`text` with its backslash escapes resolved; raises _Malformed for one that does not exist.

    Args:
        text: what stood between the quotes.
        escapes: byte after the backslash -> byte meant; \uXXXX is known besides.
        strict: half a surrogate pair is malformed (JSON keys); otherwise it becomes U+FFFD, and control characters
            and quotes are malformed (logfmt values).
    """
    out = bytearray()
    at = 0
    while at < len(text):
        byte = text[at]
        if byte != 0x5C:
            if not strict and byte < 0x20:
                raise _Malformed
            out.append(byte)
            at += 1
            continue
        escape = text[at + 1] if at + 1 < len(text) else -1
        if escape in escapes:
            out.append(escapes[escape])
            at += 2
        elif escape == 0x75:
            rune = _hex4(text, at + 2)
            at += 6
            if 0xD800 <= rune < 0xE000:
                low = _hex4(text, at + 2) if text[at : at + 2] == b"\\u" else -1
                if rune < 0xDC00 and 0xDC00 <= low < 0xE000:
                    rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00)
                    at += 6
                elif strict:
                    raise _Malformed
                else:
                    rune = 0xFFFD
            out += chr(rune).encode()
        else:
            raise _Malformed
    return bytes(out)


def _hex4(text: bytes, at: int) -> int:
    digits = text[at : at + 4]
    if re.fullmatch(rb"[0-9a-fA-F]{4}", digits) is None:
        raise _Malformed
    return int(digits, 16)
