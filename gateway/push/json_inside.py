"""The inside of one stream object of a JSON push, read as Loki reads it (jsonparser): lenient, by type of value.

It looks only at what it needs and gives strange answers to strange input: the text of a JSON string is read as an array
where an array should be, objects and numbers are label values as they are written, of several faults in one entry the
last counts. A decoder that is only right would refuse what Loki takes and say other texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb"[^ \t\r\n,}\]]*")
_BRACKETS = {
    ord("["): re.compile(rb'["\[\]]'),
    ord("{"): re.compile(rb'["{}]'),
}
_ESCAPE = re.compile(rb'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))')
_ESCAPED_TEXT = re.compile(rb'[^\\]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^\\]*+)*+')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SIMPLE = {
    b'"': b'"',
    b"\\": b"\\",
    b"/": b"/",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
_INTEGER = re.compile(rb"-?[0-9]+")


class BadJson(Exception):  # noqa: N818 - internal to the JSON decoders: becomes MalformedPush
    """The body is refused; the text is Loki's, as far as it is built (callers put the field's name in front)."""


class Type(Enum):
    """Types of JSON values."""

    STRING = "string"
    NUMBER = "number"
    OBJECT = "object"
    ARRAY = "array"
    BOOLEAN = "boolean"
    NULL = "null"


BAD_JSON = "Malformed JSON error"
BAD_STRING = "Value is string, but can't find closing '\"' symbol"
BAD_ARRAY = "Value is array, but can't find closing ']' symbol"
BAD_OBJECT = "Value looks like object, but can't find closing '}' symbol"
BAD_VALUE = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol"
BAD_ESCAPE = "Encountered an invalid escape sequence in a string"
BAD_TYPE = "Unknown value type"


def _token(data: bytes, at: int) -> int:
    """Where the next byte is that is no white space, or -1."""
    skipped = _SPACE.match(data, at)
    at = skipped.end() if skipped else at
    return at if at < len(data) else -1


def _string_end(data: bytes, at: int) -> int:
    """Where the string ends whose opening quote is before `at`: after its closing quote, or -1."""
    found = _STRING.match(data, at)
    return found.end() if found else -1


def _block_end(data: bytes, at: int) -> int:
    """Where the array or object that opens at `at` ends, or -1. Brackets of the other kind are not looked at."""
    opener = data[at]
    brackets = _BRACKETS[opener]
    level = 0
    while found := brackets.search(data, at):
        at = found.end()
        char = data[at - 1]
        if char == ord('"'):
            at = _string_end(data, at)
            if at < 0:
                return -1
        elif char == opener:
            level += 1
        else:
            level -= 1
            if level == 0:
                return at
    return -1


def _get(data: bytes, at: int) -> tuple[bytes, Type, int]:
    """The value at `at`: its bytes (a string's without quotes, null's none), its type and where it ends."""
    at = _token(data, at)
    if at < 0:
        raise BadJson(BAD_JSON)
    char = data[at]
    if char == ord('"'):
        end = _string_end(data, at + 1)
        if end < 0:
            raise BadJson(BAD_STRING)
        return data[at + 1 : end - 1], Type.STRING, end
    if char in _BRACKETS:
        end = _block_end(data, at)
        if end < 0:
            raise BadJson(BAD_ARRAY if char == ord("[") else BAD_OBJECT)
        return data[at:end], Type.ARRAY if char == ord("[") else Type.OBJECT, end
    found = _TOKEN.match(data, at)
    word = found[0] if found else b""
    end = at + len(word)
    if word in (b"true", b"false"):
        return word, Type.BOOLEAN, end
    if word == b"null":
        return b"", Type.NULL, end
    if char in b"-0123456789":
        return word, Type.NUMBER, end
    raise BadJson(BAD_TYPE)


def array_items(data: bytes) -> Iterator[tuple[bytes, Type]]:
    """The values of an array. Its first byte is taken for a bracket, whatever it is.

    Raises:
        BadJson: the array is malformed; raised when its turn comes.
    """
    if not data:
        raise BadJson(BAD_OBJECT)
    at = _token(data, 0)
    if at >= 0:
        at = _token(data, at + 1)
    if at < 0:
        raise BadJson(BAD_JSON)
    if data[at] == ord("]"):
        return
    while True:
        value, kind, at = _get(data, at)
        yield value, kind
        at = _token(data, at)
        if at < 0:
            raise BadJson(BAD_ARRAY)
        if data[at] == ord("]"):
            return
        if data[at] != ord(","):
            raise BadJson(BAD_ARRAY)
        at += 1


def object_items(data: bytes) -> Iterator[tuple[bytes, bytes, Type]]:
    """Names (escapes undone), values and types of an object.

    Raises:
        BadJson: it is no object, or malformed; raised when its turn comes.
    """
    at = _token(data, 0)
    if at < 0 or data[at] != ord("{"):
        raise BadJson(BAD_OBJECT)
    at = _token(data, at + 1)
    if at < 0:
        raise BadJson(BAD_JSON)
    while data[at] != ord("}"):
        if data[at] != ord('"'):
            raise BadJson(BAD_OBJECT)
        end = _string_end(data, at + 1)
        if end < 0:
            raise BadJson(BAD_JSON)
        name = data[at + 1 : end - 1]
        if b"\\" in name:
            name = unescaped(name, BAD_ESCAPE)
        at = _token(data, end)
        if at < 0 or data[at] != ord(":"):
            raise BadJson(BAD_JSON)
        value, kind, at = _get(data, at + 1)
        yield name, value, kind
        at = _token(data, at)
        if at < 0:
            raise BadJson(BAD_ARRAY)
        if data[at] == ord(","):
            at = _token(data, at + 1)
            if at < 0:
                raise BadJson(BAD_ARRAY)
        elif data[at] != ord("}"):
            raise BadJson(BAD_OBJECT)


def unescaped(text: bytes, fault: str = BAD_VALUE) -> bytes:
    """A string's content with its escapes undone; bytes that are no UTF-8 stay.

    LOKI-DIFF(4): half surrogates become U+FFFD.

    Raises:
        BadJson: `fault`, at an escape that is none.
    """
    if b"\\" not in text:
        return text
    if not _ESCAPED_TEXT.fullmatch(text):
        raise BadJson(fault)
    try:
        return _unescaped_whole(text)
    except ValueError:
        return _unescaped_by_one(text)


def _unescaped_whole(text: bytes) -> bytes:
    """As `unescaped`, by the standard library's scanner.

    Raises:
        ValueError: the text has what would confuse it: quotes, or surrogates beside bytes that are no UTF-8.
    """
    try:
        read = text.decode()
    except UnicodeDecodeError:
        if _SURROGATE.search(text):
            raise
        read = text.decode("utf-8", "surrogateescape")
        return str(json.loads(f'"{read}"', strict=False)).encode("utf-8", "surrogateescape")
    done = str(json.loads(f'"{read}"', strict=False))
    try:
        return done.encode()
    except UnicodeEncodeError:
        return done.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _unescaped_by_one(text: bytes) -> bytes:
    out: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(text):
        if found.start() < at:  # the second half of a pair
            continue
        out.append(text[at : found.start()])
        at = found.end()
        if found[1]:
            out.append(_SIMPLE[found[1]])
            continue
        code = int(found[2], 16)
        if 0xD800 <= code < 0xDC00:
            low = _ESCAPE.match(text, at)
            if low and low[2] and 0xDC00 <= int(low[2], 16) < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + (int(low[2], 16) - 0xDC00)
                at = low.end()
        out.append("\ufffd".encode() if 0xD800 <= code < 0xE000 else chr(code).encode())
    out.append(text[at:])
    return b"".join(out)


def integer(text: bytes) -> int:
    """A decimal integer of 64 bits.

    Raises:
        BadJson: it is none.
    """
    digits = text.lstrip(b"-").lstrip(b"0")
    if not _INTEGER.fullmatch(text) or len(digits) > 19:
        raise BadJson(BAD_VALUE)
    value = int(digits or b"0") * (-1 if text.startswith(b"-") else 1)
    if not -(1 << 63) <= value < 1 << 63:
        raise BadJson(BAD_VALUE)
    return value
