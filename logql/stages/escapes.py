"""Undoing backslash escapes, for the parsers whose languages differ only in which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Unicode: TypeAlias = Callable[[bytes, int], tuple[bytes | None, int]]
r"""(text, offset of a `\u`) -> (its character, None if it is none; offset behind it)."""

JSON_ESCAPES: Mapping[int, bytes] = {
    ord('"'): b'"',
    ord("\\"): b"\\",
    ord("/"): b"/",
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord("n"): b"\n",
    ord("r"): b"\r",
    ord("t"): b"\t",
}
"""Byte behind the backslash -> what it stands for."""


def undo_escapes(raw: bytes, simple: Mapping[int, bytes], unicode: Unicode) -> bytes | None:
    """The text without its escapes, None if one of them is bad."""
    at = raw.find(b"\\")
    if at < 0:
        return raw
    out = bytearray(raw[:at])
    while at < len(raw):
        code = raw[at + 1] if at + 1 < len(raw) else 0
        if code == ord("u"):
            char, at = unicode(raw, at)
            if char is None:
                return None
            out += char
        elif code in simple:
            out += simple[code]
            at += 2
        else:
            return None
        following = raw.find(b"\\", at)
        following = len(raw) if following < 0 else following
        out += raw[at:following]
        at = following
    return bytes(out)
