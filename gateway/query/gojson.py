"""JSON strings byte for byte as Loki writes them (jsoniter), fast where nothing unusual is in them.

Two kinds: log lines and the labels of metrics are escaped for HTML (`<`, `>`, `&`, U+2028, U+2029), other label names
and values are not. Bytes that are not UTF-8 become an escaped U+FFFD one by one, as in Go; a U+FFFD that was really
there stays itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

_encoder = msgspec.json.Encoder()

_UNUSUAL = b"<>&\b\f"
_SEPARATORS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9")
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_MUST_ESCAPE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_MUST_ESCAPE_HTML = re.compile(r'["\\\x00-\x1f<>&\u2028\u2029\ud800-\udfff]')


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char >= "\ud800":
        return "\\ufffd"
    return f"\\u{ord(char):04x}"


def label_json(text: str) -> bytes:
    """A label name or value. Lone surrogates stand for bytes that were not UTF-8 (PEP 383)."""
    return f'"{_MUST_ESCAPE.sub(_escape, text)}"'.encode()


def text_json(text: str) -> bytes:
    """A text escaped for HTML too, as Go's own encoder writes it."""
    return f'"{_MUST_ESCAPE_HTML.sub(_escape, text)}"'.encode()


def line_json(line: bytes) -> bytes:
    """A log line: the exact form, whatever is in it."""
    return text_json(line.decode("utf-8", "surrogateescape"))


def lines_as_values(lines: Sequence[bytes]) -> list[str | msgspec.Raw]:
    """Lines in a form that msgspec writes as `line_json` would: text where it is plain, ready JSON where it is not."""
    if not _is_unusual(b"".join(lines)):
        try:
            return [line.decode() for line in lines]
        except UnicodeDecodeError:
            pass
    return [_line_as_value(line) for line in lines]


def _line_as_value(line: bytes) -> str | msgspec.Raw:
    if not _is_unusual(line):
        try:
            return line.decode()
        except UnicodeDecodeError:
            pass
    return msgspec.Raw(line_json(line))


def _is_unusual(text: bytes) -> bool:
    """Whether msgspec would write something of it otherwise than Loki, were it UTF-8."""
    return len(text.translate(None, _UNUSUAL)) != len(text) or any(mark in text for mark in _SEPARATORS)


def labels_json(pairs: Iterable[tuple[str, str]]) -> bytes:
    """An object of labels, in the order given."""
    return b"{" + b",".join(label_json(name) + b":" + label_json(value) for name, value in pairs) + b"}"


def metric_json(labels: Iterable[tuple[str, str]]) -> bytes:
    """The labels of a series of a metric query, in the order given."""
    return b"{" + b",".join(text_json(name) + b":" + text_json(value) for name, value in labels) + b"}"


def values_json(values: list[list[str | msgspec.Raw]]) -> bytes:
    """The `values` of a stream: rows of [time, line] or [time, line, object]."""
    return _encoder.encode(values)
