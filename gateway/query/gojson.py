"""JSON strings byte for byte as Loki writes them (jsoniter), one by one. For a column of lines there are kernels.

Two kinds: log lines and the labels of metrics are escaped for HTML (`<`, `>`, `&`, U+2028, U+2029), other label names
and values are not. Bytes that are not UTF-8 become an escaped U+FFFD one by one, as in Go; a U+FFFD that was really
there stays itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
    return label_text(text).encode()


def label_text(text: str) -> str:
    """`label_json` before it is encoded."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'  # nearly all; no control character and no surrogate is printable
    return f'"{_MUST_ESCAPE.sub(_escape, text)}"'


def text_json(text: str) -> bytes:
    """A text escaped for HTML too, as Go's own encoder writes it."""
    return f'"{_MUST_ESCAPE_HTML.sub(_escape, text)}"'.encode()


def line_json(line: bytes) -> bytes:
    """A log line, whatever is in it: the rule that the kernels follow."""
    return text_json(line.decode("utf-8", "surrogateescape"))


def labels_json(pairs: Iterable[tuple[str, str]]) -> bytes:
    """An object of labels, in the order given."""
    return b"{" + b",".join(label_json(name) + b":" + label_json(value) for name, value in pairs) + b"}"


def metric_json(labels: Iterable[tuple[str, str]]) -> bytes:
    """The labels of a series of a metric query, in the order given."""
    return b"{" + b",".join(text_json(name) + b":" + text_json(value) for name, value in labels) + b"}"
