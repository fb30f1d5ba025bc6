"""Go's regular expressions on RE2, their common ancestor: the same language, linear time, Go's words for errors.

Where the two differ: RE2 lets no atom match a byte that is not UTF-8, Go reads each such byte as U+FFFD. `searches`
hides that.
"""

from __future__ import annotations

import codecs
from functools import lru_cache
from typing import Any

import re2

from logql.errors import RegexError
from logql.literals import quote, to_bytes

MAX_MEMORY = 64 << 20
"""Bytes a compiled regex may take. Arrow's own limit is RE2's default of 8 MB; what is larger runs row by row."""

_GO_WORDS = {
    "invalid escape sequence": "invalid escape sequence",
    "invalid character class": "invalid character class",
    "invalid character class range": "invalid character class range",
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid UTF-8": "invalid UTF-8",
    "invalid named capture group": "invalid named capture",
    "pattern too large - compile failed": "expression too large",
}

_META = frozenset("\\.+*?()|[]{}^$")


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("logql-go-replace", _replace_each_byte)


def replacing_decode(raw: bytes) -> str:
    """A Go string's characters as Go's `range` gives them: each byte that is not UTF-8 is U+FFFD."""
    return raw.decode("utf-8", "logql-go-replace")


def compile_regex(pattern: str, *, dot_all: bool = False) -> Any:
    """The compiled RE2 object for a Go regex; it works on bytes.

    Args:
        pattern: the regex, a literal's value (see literals).
        dot_all: `.` also matches a newline, as in stream matchers.

    Raises:
        RegexError: it is no regex.
    """
    return _compiled(pattern, dot_all)


@lru_cache(maxsize=512)
def _compiled(pattern: str, dot_all: bool) -> Any:
    raw = to_bytes(pattern)
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise RegexError(f"error parsing regexp: invalid UTF-8: `{quote(pattern)[1:-1]}`") from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    options.dot_nl = dot_all
    try:
        return re2.compile(raw, options)
    except re2.error as error:
        raise RegexError(_go_text(pattern, _text(error))) from None


def _text(error: Exception) -> str:
    raw = error.args[0]
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _go_text(pattern: str, re2_text: str) -> str:
    """Go's text for an error that the binding gives as text only: "<kind>: <part of the regex>"."""
    kind, _, part = re2_text.partition(": ")
    if kind == "trailing \\":
        part = ""
    elif not part:
        part = pattern
    return f"error parsing regexp: {_GO_WORDS.get(kind, kind)}: `{part}`"


def searches(regex: Any, line: bytes) -> bool:
    """Whether a compiled regex matches anywhere in `line`, as Go's Regexp.Match says."""
    try:
        line.decode()
    except UnicodeDecodeError:
        line = line.decode("utf-8", "logql-go-replace").encode()
    return regex.search(line) is not None


def is_plain_text(pattern: str) -> bool:
    """Whether a regex is its own literal, so that a search for it is a substring test."""
    return not _META.intersection(pattern)


def matches_empty(pattern: str) -> bool:
    """Whether a stream matcher's regex, anchored at both ends, matches the empty string.

    Raises:
        RegexError: it is no regex.
    """
    return compile_regex(pattern, dot_all=True).fullmatch(b"") is not None
