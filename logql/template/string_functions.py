"""Functions on strings: Go's strings, sprig's, and those of Loki."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import quote_plus, unquote_to_bytes

from logql.literals import to_bytes, to_text
from logql.template.errors import CallError
from logql.template.fmt import MAX_OUTPUT, too_long
from logql.template.quoting import quote_bytes
from logql.template.signatures import Function, Type

WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""What unicode.IsSpace takes."""

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def runes(value: bytes) -> str:
    """The characters of a string, U+FFFD for each byte that is no UTF-8."""
    return value.decode("utf-8", "logql-go-replace")


def _map(value: bytes, change: Callable[[str], str]) -> bytes:
    """strings.Map."""
    return "".join(map(change, runes(value))).encode()


def upper_char(char: str) -> str:
    """unicode.ToUpper: one character for one."""
    full = char.upper()
    if len(full) == 1:
        return full
    title = char.title()
    return title if len(title) == 1 else char


def lower_char(char: str) -> str:
    """unicode.ToLower: one character for one."""
    return char.lower()[0]


def upper(value: bytes) -> bytes:
    """strings.ToUpper."""
    return value.upper() if value.isascii() else _map(value, upper_char)


def lower(value: bytes) -> bytes:
    """strings.ToLower."""
    return value.lower() if value.isascii() else _map(value, lower_char)


def title(value: bytes) -> bytes:
    """strings.Title: the first letter of each word; words end at all but letters, digits, underscore."""
    out = []
    after = " "
    for char in runes(value):
        out.append(_title_char(char) if _separates(after) else char)
        after = char
    return "".join(out).encode()


def _title_char(char: str) -> str:
    full = char.title()
    return full if len(full) == 1 else char


def _separates(char: str) -> bool:
    if char == "_" or char.isalpha() or char.isdecimal():
        return False
    return char.isascii() or char in WHITE


def trim_space(value: bytes) -> bytes:
    """strings.TrimSpace."""
    return to_bytes(to_text(value).strip(WHITE))


def trim(value: bytes, cutset: bytes) -> bytes:
    """strings.Trim."""
    return to_bytes(to_text(value).strip(to_text(cutset)))


def trim_left(value: bytes, cutset: bytes) -> bytes:
    """strings.TrimLeft."""
    return to_bytes(to_text(value).lstrip(to_text(cutset)))


def trim_right(value: bytes, cutset: bytes) -> bytes:
    """strings.TrimRight."""
    return to_bytes(to_text(value).rstrip(to_text(cutset)))


def replace(value: bytes, old: bytes, new: bytes, times: int) -> bytes:
    """strings.Replace; an empty `old` stands between characters."""
    text, wanted = to_text(value), to_text(old)
    found = len(text) + 1 if not wanted else text.count(wanted)
    if times >= 0:
        found = min(found, times)
    if len(value) + found * (len(new) - len(old)) > MAX_OUTPUT:
        raise too_long()
    return to_bytes(text.replace(wanted, to_text(new), max(times, -1)))


def repeat(count: int, value: bytes) -> bytes:
    """strings.Repeat."""
    if count < 0:
        raise CallError("strings: negative Repeat count")
    if len(value) * count > MAX_OUTPUT:
        raise CallError("strings: Repeat output length overflow") if len(value) * count >= 1 << 63 else too_long()
    return value * count


def indent(spaces: int, value: bytes) -> bytes:
    """Blanks before every line."""
    pad = repeat(spaces, b" ")
    return pad + replace(value, b"\n", b"\n" + pad, -1)


def trunc(size: int, value: bytes) -> bytes:
    """The first `size` bytes, or the last ones when it is negative."""
    if size < 0:
        return value[size:] if len(value) + size > 0 else value
    return value[:size]


def substr(start: int, end: int, value: bytes) -> bytes:
    """Bytes from `start` to `end`; to the end when that is negative or beyond it."""
    size = len(value)
    if start < 0:
        return _sliced(value, 0, end)
    if end < 0 or end > size:
        return _sliced(value, start, size)
    return _sliced(value, start, end)


def _sliced(value: bytes, start: int, end: int) -> bytes:
    """Go's value[start:end], which panics where Python does not."""
    if end < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{end}]")
    if end > len(value):
        raise CallError(f"runtime error: slice bounds out of range [:{end}] with length {len(value)}")
    if start > end:
        raise CallError(f"runtime error: slice bounds out of range [{start}:{end}]")
    return value[start:end]


def align_left(count: int, value: bytes) -> bytes:
    """Padded or cut at the right to `count` characters."""
    text = runes(value)
    if count < 0 or count == len(text):
        return value
    if count > len(text):
        return value + repeat(count - len(text), b" ")
    return text[:count].encode()


def align_right(count: int, value: bytes) -> bytes:
    """Padded or cut at the left to `count` characters."""
    text = runes(value)
    if count < 0 or count == len(text):
        return value
    if count > len(text):
        return repeat(count - len(text), b" ") + value
    return text[len(text) - count :].encode()


def url_encode(value: bytes) -> bytes:
    """url.QueryEscape."""
    return quote_plus(value, safe="").encode()


def url_decode(value: bytes) -> bytes:
    """url.QueryUnescape."""
    at = value.find(b"%")
    while at >= 0:
        digits = value[at + 1 : at + 3]
        if len(digits) < 2 or not all(byte in b"0123456789abcdefABCDEF" for byte in digits):
            raise CallError(f"invalid URL escape {quote_bytes(value[at : at + 3])}")
        at = value.find(b"%", at + 3)
    return unquote_to_bytes(value.replace(b"+", b" "))


def base64_encode(value: bytes) -> bytes:
    """Standard base64."""
    return base64.b64encode(value)


def base64_decode(value: bytes) -> bytes:
    """Standard base64, with or without its padding; of anything else, Go's message."""
    plain = value.replace(b"\n", b"").replace(b"\r", b"")
    padding = b"=" * (-len(plain) % 4)
    if (plain + padding).endswith(b"==="):  # binascii takes any number of them
        return _decode_slowly(value + padding)
    try:
        return binascii.a2b_base64(plain + padding, strict_mode=True)
    except binascii.Error:
        return _decode_slowly(value + padding)


def _decode_slowly(value: bytes) -> bytes:
    """As Go reads base64, group by group, to find the byte it stumbles over."""
    out = bytearray()
    group: list[int] = []
    at = 0
    while at < len(value):
        byte = value[at]
        at += 1
        if byte in b"\r\n":
            continue
        place = _BASE64.find(byte)
        if place >= 0:
            group.append(place)
            if len(group) == 4:
                out += _bits(group)
                group = []
            continue
        if byte != 0x3D or len(group) < 2:
            return _stumble(at - 1)
        if len(group) == 2:
            at = _after_newlines(value, at)
            if at == len(value):
                return _stumble(at)
            if value[at] != 0x3D:
                return _stumble(at - 1)
            at += 1
        at = _after_newlines(value, at)
        return _stumble(at) if at < len(value) else bytes(out + _bits(group))
    return _stumble(len(value) - len(group)) if group else bytes(out)


def _after_newlines(value: bytes, at: int) -> int:
    while at < len(value) and value[at] in b"\r\n":
        at += 1
    return at


def _bits(group: list[int]) -> bytes:
    number = 0
    for place in group + [0] * (4 - len(group)):
        number = number << 6 | place
    return number.to_bytes(3, "big")[: len(group) - 1]


def _stumble(at: int) -> bytes:
    return f"illegal base64 data at input byte {at}".encode()


_S, _I = Type.STRING, Type.INT

STRING_FUNCTIONS: dict[str, Function] = {
    # Go's order: the subject first.
    "ToLower": Function(lower, (_S,)),
    "ToUpper": Function(upper, (_S,)),
    "Replace": Function(replace, (_S, _S, _S, _I)),
    "Trim": Function(trim, (_S, _S)),
    "TrimLeft": Function(trim_left, (_S, _S)),
    "TrimRight": Function(trim_right, (_S, _S)),
    "TrimPrefix": Function(bytes.removeprefix, (_S, _S)),
    "TrimSuffix": Function(bytes.removesuffix, (_S, _S)),
    "TrimSpace": Function(trim_space, (_S,)),
    # Sprig's order: the subject last.
    "lower": Function(lower, (_S,)),
    "upper": Function(upper, (_S,)),
    "title": Function(title, (_S,)),
    "trim": Function(trim_space, (_S,)),
    "trimAll": Function(lambda cutset, value: trim(value, cutset), (_S, _S)),
    "trimPrefix": Function(lambda prefix, value: value.removeprefix(prefix), (_S, _S)),
    "trimSuffix": Function(lambda suffix, value: value.removesuffix(suffix), (_S, _S)),
    "replace": Function(lambda old, new, value: replace(value, old, new, -1), (_S, _S, _S)),
    "repeat": Function(repeat, (_I, _S)),
    "trunc": Function(trunc, (_I, _S)),
    "substr": Function(substr, (_I, _I, _S)),
    "contains": Function(lambda part, value: part in value, (_S, _S)),
    "hasPrefix": Function(lambda prefix, value: value.startswith(prefix), (_S, _S)),
    "hasSuffix": Function(lambda suffix, value: value.endswith(suffix), (_S, _S)),
    "indent": Function(indent, (_I, _S)),
    "nindent": Function(lambda spaces, value: b"\n" + indent(spaces, value), (_I, _S)),
    "b64enc": Function(base64_encode, (_S,)),
    "b64dec": Function(base64_decode, (_S,)),
    # Loki's.
    "alignLeft": Function(align_left, (_I, _S)),
    "alignRight": Function(align_right, (_I, _S)),
    "urlencode": Function(url_encode, (_S,)),
    "urldecode": Function(url_decode, (_S,)),
}
