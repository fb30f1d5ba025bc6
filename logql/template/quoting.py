"""Go's ways to show strings and characters. Strings are `str` with surrogateescape for bytes that are no UTF-8."""

from __future__ import annotations

from logql.literals import quote, to_text

__all__ = ["REPLACEMENT", "hash_u", "quote", "quote_bytes", "quote_rune", "rune"]

REPLACEMENT = "\ufffd"


def quote_bytes(raw: bytes, *, ascii_only: bool = False) -> str:
    """strconv.Quote, or QuoteToASCII, of a string."""
    shown = quote(to_text(raw))
    return _escape_non_ascii(shown) if ascii_only else shown


def quote_rune(code: int, *, ascii_only: bool = False) -> str:
    """strconv.QuoteRune: 'x'."""
    char = rune(code)
    if char == "'":
        return "'\\''"
    if char == '"':
        return "'\"'"
    inner = quote(char)[1:-1]
    return f"'{_escape_non_ascii(inner) if ascii_only else inner}'"


def hash_u(char: str) -> str:
    """A character as fmt's %#U shows it."""
    if 0xDC80 <= ord(char) <= 0xDCFF:
        char = REPLACEMENT
    shown = f"U+{ord(char):04X}"
    return f"{shown} '{char}'" if char.isprintable() else shown


def rune(code: int) -> str:
    """The character of a code point; U+FFFD if there is none."""
    if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
        return chr(code)
    return REPLACEMENT


def _escape_non_ascii(text: str) -> str:
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _escape(ord(char)) for char in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
