"""One log line as the client holds it, and the text form of a label set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""(name, value) pairs sorted by name."""

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


@dataclass(frozen=True, slots=True)
class Line:
    """A log line.

    Attributes:
        ts: ns since the epoch.
        labels: everything the server put into the stream's labels.
        text: the line.
    """

    ts: int
    labels: Labels
    text: str


def quote(text: str) -> str:
    """The text in double quotes, escaped as Go's strconv.Quote does: nothing unprintable is left in it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quoted(char) for char in text) + '"'


def format_labels(labels: Iterable[tuple[str, str]]) -> str:
    """A label set as LogQL writes it: `{app="web", level="info"}`."""
    return "{" + ", ".join(f"{name}={quote(value)}" for name, value in labels) + "}"


def _quoted(char: str) -> str:
    short = _SHORT_ESCAPES.get(char)
    if short is not None:
        return short
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
