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
_OTHER_HALF = re.compile(rb"..([0-9a-fA-F]{4})", re.DOTALL)
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
    """A string's content with its escapes undone, as jsonparser does it; bytes that are no UTF-8 stay.

    Half a surrogate pair takes the four digits of whatever six bytes follow as its other half.

    Raises:
        BadJson: `fault`, at an escape that is none, or half a pair without another half.
    """
    if b"\\" not in text:
        return text
    if _SURROGATE.search(text):
        return _unescaped_by_one(text, fault)
    if not _ESCAPED_TEXT.fullmatch(text):
        raise BadJson(fault)
    try:
        return _unescaped_whole(text)
    except ValueError:
        return _unescaped_by_one(text, fault)


def unescaped_by_reader(text: bytes) -> bytes:
    """As `unescaped`, as jsoniter does it: every half of a surrogate pair that has no other becomes U+FFFD.

    Raises:
        BadJson: at an escape that is none.
    """
    if not _SURROGATE.search(text):
        return unescaped(text)
    out: list[bytes] = []
    at = 0
    while found := _ESCAPE.search(text, at):
        out.append(text[at : found.start()])
        at = found.end()
        if found[1]:
            out.append(_SIMPLE[found[1]])
            continue
        code = int(found[2], 16)
        following = _ESCAPE.match(text, at) if 0xD800 <= code < 0xE000 else None
        if following and following[2]:
            at = following.end()
            other = int(following[2], 16)
            if code < 0xDC00 <= other < 0xE000:
                out.append(_rune(_joined(code, other)))
                continue
            out.append(_rune(code))
            code = other
        out.append(_rune(code))
    out.append(text[at:])
    return b"".join(out)


def _unescaped_whole(text: bytes) -> bytes:
    """As `unescaped` of a text without surrogates, by the standard library's scanner.

    Raises:
        ValueError: the text has quotes, which would confuse it.
    """
    read = text.decode("utf-8", "surrogateescape")
    return str(json.loads(f'"{read}"', strict=False)).encode("utf-8", "surrogateescape")


def _unescaped_by_one(text: bytes, fault: str) -> bytes:
    out: list[bytes] = []
    at = 0
    while (backslash := text.find(b"\\", at)) >= 0:
        out.append(text[at:backslash])
        found = _ESCAPE.match(text, backslash)
        if found is None:
            raise BadJson(fault)
        at = found.end()
        if found[1]:
            out.append(_SIMPLE[found[1]])
            continue
        code = int(found[2], 16)
        if 0xD800 <= code < 0xE000:
            half = _OTHER_HALF.match(text, at)
            other = int(half[1], 16) if half else 0
            if half is None or other < 0xDC00:
                raise BadJson(fault)
            code = _joined(code, other)
            at = half.end()
        out.append(_rune(code))
    out.append(text[at:])
    return b"".join(out)


def _joined(high: int, low: int) -> int:
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)


def _rune(code: int) -> bytes:
    """A code point as Go encodes it: U+FFFD for what is none."""
    return "\ufffd".encode() if 0xD800 <= code < 0xE000 or code > 0x10FFFF else chr(code).encode()


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
