r"""String literals of LogQL: Go's, read and written.

A Go string is bytes and may be invalid UTF-8 (`"\xff"`). Here it is a `str` whose invalid bytes are lone surrogates
(Python's surrogateescape), so that it compares, prints and encodes without loss.
"""

from __future__ import annotations

import re

from storage import labels

_SHORT = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|())")
_LONE = re.compile("([\udc80-\udcff])")


class BadLiteral(ValueError):  # noqa: N818 - named for what it is
    """A quoted string has an escape that Go's scanner or strconv refuses; the text is Go's."""


def unquote(token: str) -> str:
    """The value of a terminated string token, `"..."` or in back quotes.

    Raises:
        BadLiteral: an escape is none of Go's, or names no character.
    """
    if token[0] == "`":
        return token[1:-1].replace("\r", "")
    body = token[1:-1]
    if "\\" not in body:
        return body
    out = bytearray()
    at = 0
    for match in _ESCAPE.finditer(body):
        out += to_bytes(body[at : match.start()]) + _escaped(match)
        at = match.end()
    return to_text(bytes(out + to_bytes(body[at:])))


def _escaped(match: re.Match[str]) -> bytes:
    short, byte, wide4, wide8, octal, bad = match.groups()
    if bad is not None:
        raise BadLiteral("invalid char escape")
    if short:
        return _SHORT[short]
    if byte:
        return bytes.fromhex(byte)
    if octal:
        if int(octal, 8) > 0xFF:
            raise BadLiteral("invalid syntax")
        return bytes([int(octal, 8)])
    code = int(wide4 or wide8, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise BadLiteral("invalid syntax")
    return chr(code).encode()


def quote(value: str) -> str:
    """`value` as Go's strconv.Quote prints it."""
    if not _LONE.search(value):
        return labels.quote(value)
    parts = _LONE.split(value)
    inner = (f"\\x{ord(part) - 0xDC00:02x}" if _LONE.match(part) else labels.quote(part)[1:-1] for part in parts)
    return f'"{"".join(inner)}"'


def to_bytes(value: str) -> bytes:
    """The bytes of a literal's value."""
    return value.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """The value whose bytes are `raw`; the inverse of `to_bytes`."""
    return raw.decode("utf-8", "surrogateescape")
