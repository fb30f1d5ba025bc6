"""Reading JSON as far as logql.stages.jsonscan does, 32 bytes at a time: parts that the kernels of `| json` share."""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.lanes import find_byte
from storage.kernels.cache import bare, inlined

READ, FAILED, UNSURE = np.uint8(0), np.uint8(1), np.uint8(2)
"""States of lines; those of logql.columns.fields."""

NOT_SET, STRING, WRITTEN = np.uint8(0), np.uint8(1), np.uint8(2)
"""Kinds of values: none; a string's text, escapes and all; another value as it is written."""

QUOTE, BACKSLASH, COLON, COMMA = np.uint8(34), np.uint8(92), np.uint8(58), np.uint8(44)
BRACE, BRACE_END, BRACKET, BRACKET_END = np.uint8(123), np.uint8(125), np.uint8(91), np.uint8(93)
MINUS, UNDERLINE = np.uint8(45), np.uint8(95)
NINE = np.uint8(57)
TAB, LINE_FEED, RETURN, SPACE = np.uint8(9), np.uint8(10), np.uint8(13), np.uint8(32)

_WHITE_SPACE = (SPACE, LINE_FEED, RETURN, TAB)
_STRING_MARKS = (QUOTE, BACKSLASH)
DELIMITERS = (*_WHITE_SPACE, COMMA, BRACE_END, BRACKET_END)
"""What ends a number, true, false or null."""


@inlined
def byte_at(data: Any, at: Any) -> Any:
    """data[at], where `at` does not count from the end."""
    return data[np.uint64(at)]


@inlined
def is_digit(byte: Any) -> Any:
    """Whether a byte is one of 0-9."""
    return np.uint8(48) <= byte <= np.uint8(57)


@inlined
def token_from(data: Any, at: Any, end: Any) -> Any:
    """Place of the first byte of data[at:end] that is not white space; `end` if there is none."""
    while at < end:
        byte = byte_at(data, at)
        if byte > SPACE or byte not in _WHITE_SPACE:
            return at
        at += 1
    return end


@inlined
def string_end(data: Any, at: Any, end: Any) -> Any:
    """Place of the quote that closes the string whose text begins at `at`, -1 if none does; whether it has escapes."""
    escaped = False
    while True:
        at = find_byte(data, at, end, _STRING_MARKS)
        if at == end:
            return np.int64(-1), escaped
        if byte_at(data, at) == QUOTE:
            return at, escaped
        escaped = True
        at += 2


@bare
def block_end(data: Any, at: Any, end: Any) -> Any:
    """Place behind the bracket that closes the one at `at`, -1 if none does: only those of its kind count."""
    opening = byte_at(data, at)
    closing = np.uint8(opening + np.uint8(2))
    marks = (QUOTE, opening, closing)
    depth = 0
    while True:
        at = find_byte(data, at, end, marks)
        if at == end:
            return np.int64(-1)
        byte = byte_at(data, at)
        if byte == QUOTE:
            at, _ = string_end(data, at + 1, end)
            if at < 0:
                return np.int64(-1)
        elif byte == opening:
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1


@inlined
def _is_word(data: Any, at: Any, stop: Any, word: Any) -> Any:
    if stop - at != len(word):
        return False
    same = True
    for place in range(len(word)):
        same &= byte_at(data, at + place) == word[place]
    return same


_TRUE, _FALSE, _NULL = (tuple(map(np.uint8, word)) for word in (b"true", b"false", b"null"))


@bare
def simple_kind(data: Any, at: Any, stop: Any) -> Any:
    """Whether a value that is no string and no block is one at all, and its kind."""
    if at < stop:
        first = byte_at(data, at)
        if is_digit(first) or first == MINUS:
            return True, WRITTEN
        if _is_word(data, at, stop, _TRUE) or _is_word(data, at, stop, _FALSE):
            return True, WRITTEN
        if _is_word(data, at, stop, _NULL):
            return True, NOT_SET
    return False, NOT_SET
