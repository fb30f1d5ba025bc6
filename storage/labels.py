"""The canonical text and the stable id of a label set."""

from __future__ import annotations

import xxhash

from storage.batch import Labels

_SHORT_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(value: str) -> str:
    """`value` in double quotes with the escapes of Go's strconv.Quote, which Loki's texts and orders use."""
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return '"' + "".join(map(_escape, value)) + '"'


def _escape(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def labels_text(labels: Labels) -> str:
    """The canonical text `{a="b", c="d"}` of a label set: what Loki prints and sorts by."""
    return "{" + ", ".join(f"{name}={quote(value)}" for name, value in labels) + "}"


def labels_id(labels: Labels) -> int:
    """The stable id of a label set, 0 <= id < 2**64.

    xxHash64 of name, 0xFF, value, 0xFF of each label: Loki breaks ties between streams by this hash (recorded).
    """
    return xxhash.xxh64_intdigest(_hashed(labels))


def salted_id(labels: Labels, salt: int) -> int:
    """The id for a label set whose plain id another set already has: the same hash under a seed > 0."""
    return xxhash.xxh64_intdigest(_hashed(labels), seed=salt)


def _hashed(labels: Labels) -> bytes:
    text = "".join(f"{name}\udcff{value}\udcff" for name, value in labels)
    return text.encode("utf-8", "surrogateescape")
