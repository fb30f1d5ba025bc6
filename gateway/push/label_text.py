"""Reading the text of a label set, `{a="b", c=`d`}`, as Loki does: with Prometheus' lexer and metric grammar.

So `name{a="b"}`, `{"name", a="b"}`, comments and an empty text are label sets too, and the texts of refusals are
Prometheus' (promql/parser: lexInsideBraces, lexString, lexEscape, the rule `metric`). Only the first error counts.
Bytes in, because positions are byte positions. Labels are text: a byte that is no UTF-8 (it can be written as a
hexadecimal escape) comes out as U+FFFD, as which Loki shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter

from gateway.push.errors import MalformedPush, PushTooLarge
from gateway.push.label_cache import LabelCache
from storage.batch import Labels
from storage.labels import quote

MAX_TEXT = 16 << 20
"""Longest text of one label set, bytes. Loki answers 413 above it."""

_CACHED_TEXT = 2048
"""Longest text that is worth a place in the cache, bytes."""

_CACHED_TEXTS = 32_768
"""Texts in the cache; of streams with three labels some 20 MB."""

_known_pairs: LabelCache[Labels] = LabelCache()
"""Pairs as a JSON push gives them, and the label sets they are."""

_NAME = "__name__"
_SPACES = re.compile(rb"[ \t\r\n]+")
_COMMENT = re.compile(rb"#[^\r\n]*")
_IDENTIFIER = re.compile(rb"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_IDENTIFIER = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NUMBER = re.compile(rb"(?:0[xX][0-9a-fA-F]+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\b")
_DURATION = re.compile(rb"(?:[0-9]+(?:ms|[smhdwy]))+\b")
_WORD = re.compile(rb"[a-zA-Z0-9_]+")
_RUNS = {
    b'"': re.compile(rb'[^"\\\n]*'),
    b"'": re.compile(rb"[^'\\\n]*"),
    b"`": re.compile(rb"[^`]*"),
}
_SIMPLE_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
}
_NUMERIC_ESCAPES = {b"x": (2, 16, 0xFF), b"u": (4, 16, 0x10FFFF), b"U": (8, 16, 0x10FFFF)}
_DIGITS = b"0123456789abcdef"
_NO_NAME_CHARACTER = re.compile("[^a-zA-Z0-9_]")
_PLAIN = re.compile(r"\{(?:[a-zA-Z_][a-zA-Z0-9_]*=\"[^\"\\\n\ufffd]*\"(?:, ?(?=[a-zA-Z_])|(?=\})))*\}")
_PLAIN_PAIR = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=\"([^\"\\\n]*)\"")
_LONE_BYTES = re.compile("([\udc80-\udcff])")
_REPLACEMENT = "\ufffd"


def labels_from_text(text: bytes) -> Labels:
    """The label set that `text` says: sorted by name, empty values left out, names given twice kept twice.

    Raises:
        MalformedPush: the text is no label set.
        PushTooLarge: it is longer than MAX_TEXT.
    """
    if len(text) <= _CACHED_TEXT:
        return _cached(text)
    if len(text) > MAX_TEXT:
        raise PushTooLarge(
            f"request body too large: stream labels size {_human(len(text))} exceeds limit of {_human(MAX_TEXT)}"
        )
    return _parse(text)


def labels_from_pairs(pairs: dict[str, str]) -> Labels:
    """The label set that Loki reads from a JSON object: it writes the pairs as text first and parses that.

    Raises:
        MalformedPush: a name breaks the text.
        PushTooLarge: the text is longer than MAX_TEXT.
    """
    given = tuple(pairs.items())
    labels = _known_pairs.get(given)
    if labels is None:
        text = "{" + ", ".join(f"{name}={_written(value)}" for name, value in sorted(given)) + "}"
        labels = labels_from_text(text.encode("utf-8", "surrogateescape"))
        _known_pairs.put(given, labels)
    return labels


def labels_from_repaired_pairs(pairs: dict[str, str]) -> Labels:
    """As `labels_from_pairs`, with every name made a label name: other characters `_`, a `_` before a leading digit.

    Of names that become equal the last pair counts.
    """
    return labels_from_pairs({_repaired(name): value for name, value in pairs.items()})


def _repaired(name: str) -> str:
    name = _NO_NAME_CHARACTER.sub("_", name)
    return "_" + name if not name or name[0].isdigit() else name


def _written(value: str) -> str:
    """A value in quotes; a byte that is no UTF-8 as Go writes it, so that the parser gives it back."""
    if value.isprintable():  # no lone surrogate in it
        return quote(value)
    parts = _LONE_BYTES.split(value)
    parts[::2] = [quote(part)[1:-1] for part in parts[::2]]
    parts[1::2] = [f"\\x{ord(part) - 0xDC00:02x}" for part in parts[1::2]]
    return '"' + "".join(parts) + '"'


def _human(size: int) -> str:
    """`size` bytes as go-humanize writes it: powers of 1000, one decimal below 10."""
    if size < 10:
        return f"{size} B"
    unit = 0
    value = float(size)
    while value >= 1000:
        value /= 1000
        unit += 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f} {_UNITS[unit]}" if value < 10 else f"{value:.0f} {_UNITS[unit]}"


_UNITS = ("B", "kB", "MB", "GB", "TB")


class _Kind(StrEnum):
    """Tokens, as Prometheus names them in messages."""

    END = "end of input"
    IDENTIFIER = "identifier"
    METRIC_IDENTIFIER = "metric identifier"
    STRING = "string"
    NUMBER = "number"
    DURATION = "duration"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"


_OPERATORS = (b"=~", b"!~", b"!=", b"==", b"<=", b">=", b"<", b">", b"*", b"/", b"%", b"+", b"-", b"^", b"@")
_PUNCTUATION = (b"=", b",", b"{", b"}", b"(", b"[")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    start: int
    raw: bytes
    value: str = ""

    def describe(self) -> str:
        text = self.raw.decode("utf-8", "replace")
        if self.kind is _Kind.END:
            return self.kind.value
        if self.kind is _Kind.OPERATOR:
            return f"<op:{text}>"
        if self.kind is _Kind.PUNCTUATION:
            return quote(text)
        if self.kind in (_Kind.IDENTIFIER, _Kind.METRIC_IDENTIFIER):
            return f"{self.kind} {quote(text)}"
        if len(self.raw) > 10:
            return f"{self.kind} {quote(text[:10])}..."
        return f"{self.kind} {quote(text)}"


class _Refused(Exception):  # noqa: N818 - internal: becomes MalformedPush with the position worked out
    def __init__(self, start: int, message: str) -> None:
        super().__init__(message)
        self.start = start


class _Lexer:
    """Tokens of one text. `braces` says which of Prometheus' two lexing states holds."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0
        self.braces = False

    def next(self) -> _Token:
        text = self.text
        while (blank := _SPACES.match(text, self.at)) or (blank := _COMMENT.match(text, self.at)):
            self.at = blank.end()
        start = self.at
        if start == len(text):
            if self.braces:
                raise _Refused(start, "unexpected end of input inside braces")
            return _Token(_Kind.END, start, b"")
        first = text[start : start + 1]
        if first in _RUNS:
            return self._string(first)
        return self._inside_braces(first) if self.braces else self._outside(first)

    def _token(self, kind: _Kind, raw: bytes) -> _Token:
        start = self.at
        self.at += len(raw)
        return _Token(kind, start, raw, raw.decode("utf-8", "replace"))

    def _inside_braces(self, first: bytes) -> _Token:
        if name := _IDENTIFIER.match(self.text, self.at):
            return self._token(_Kind.IDENTIFIER, name[0])
        two = self.text[self.at : self.at + 2]
        if two in (b"=~", b"!~", b"!="):
            return self._token(_Kind.OPERATOR, two)
        if first in (b"=", b","):
            return self._token(_Kind.PUNCTUATION, first)
        if first == b"}":
            self.braces = False
            return self._token(_Kind.PUNCTUATION, first)
        if first == b"!":
            raise _Refused(
                self.at, f"unexpected character after '!' inside braces: {_quoted(_rune(self.text, self.at + 1))}"
            )
        if first == b"{":
            raise _Refused(self.at, "unexpected left brace '{'")
        raise _Refused(self.at, f"unexpected character inside braces: {_quoted(_rune(self.text, self.at))}")

    def _outside(self, first: bytes) -> _Token:
        text, start = self.text, self.at
        if name := _METRIC_IDENTIFIER.match(text, start):
            kind = _Kind.METRIC_IDENTIFIER if b":" in name[0] else _Kind.IDENTIFIER
            return self._token(kind, name[0])
        for kind, pattern in ((_Kind.DURATION, _DURATION), (_Kind.NUMBER, _NUMBER)):
            if number := pattern.match(text, start):
                return self._token(kind, number[0])
        if first.isdigit():
            rest = _WORD.match(text, start)
            bad = rest[0] if rest else first
            raise _Refused(start, f"bad number or duration syntax: {quote(bad.decode())}")
        two = text[start : start + 2]
        if two == b"=~":
            raise _Refused(start, "unexpected character after '=': '~'")
        if first == b"!" and two != b"!=":
            raise _Refused(start, f"unexpected character after '!': {_quoted(_rune(text, start + 1))}")
        for operator in _OPERATORS:
            if text.startswith(operator, start):
                return self._token(_Kind.OPERATOR, operator)
        if first in _PUNCTUATION:
            self.braces = first == b"{"
            return self._token(_Kind.PUNCTUATION, first)
        if first == b")":
            raise _Refused(start, "unexpected right parenthesis ')'")
        if first == b"]":
            raise _Refused(start, "unexpected right bracket ']'")
        raise _Refused(start, f"unexpected character: {_quoted(_rune(text, start))}")

    def _string(self, delimiter: bytes) -> _Token:
        text, start = self.text, self.at
        at = start + 1
        pieces = []
        while True:
            run = _RUNS[delimiter].match(text, at)
            piece = run[0] if run else b""
            if not piece.isascii() and _REPLACEMENT in piece.decode("utf-8", "replace"):
                # Go reads what is no UTF-8 as U+FFFD, and so cannot tell it from a U+FFFD that is there.
                raise _Refused(start, "invalid UTF-8 rune")
            pieces.append(piece)
            at += len(piece)
            here = text[at : at + 1]
            if here == delimiter:
                self.at = at + 1
                # An escape may give bytes that are no UTF-8 (`\xff`); Loki shows each as U+FFFD, we store it so.
                value = _LONE_BYTES.sub(_REPLACEMENT, b"".join(pieces).decode("utf-8", "surrogateescape"))
                return _Token(_Kind.STRING, start, text[start : at + 1], value)
            if here != b"\\":
                raise _Refused(start, "unterminated raw string" if delimiter == b"`" else "unterminated quoted string")
            unescaped, at = _escape(text, at + 1, delimiter, start)
            pieces.append(unescaped)


def _escape(text: bytes, at: int, delimiter: bytes, start: int) -> tuple[bytes, int]:
    """The bytes that the escape sequence at `at` (after its backslash) stands for, and where it ends."""
    char = text[at : at + 1]
    if char in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[char], at + 1
    if char == delimiter:
        return char, at + 1
    if char in _NUMERIC_ESCAPES:
        count, base, most = _NUMERIC_ESCAPES[char]
        at += 1
    elif char in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        count, base, most = 3, 8, 0xFF
    elif not char:
        raise _Refused(start, "escape sequence not terminated")
    else:
        raise _Refused(start, f"unknown escape sequence {_code_point(_rune(text, at))}")
    code = 0
    for place in range(at, at + count):
        digit = _DIGITS.find(text[place : place + 1].lower()) if place < len(text) else -1
        if not 0 <= digit < base:
            if place >= len(text):
                raise _Refused(start, "escape sequence not terminated")
            raise _Refused(start, f"illegal character {_code_point(_rune(text, place))} in escape sequence")
        code = code * base + digit
    if code > most or 0xD800 <= code < 0xE000:
        raise _Refused(start, "escape sequence is an invalid Unicode code point")
    return bytes((code,)) if most == 0xFF else chr(code).encode(), at + count


def _rune(text: bytes, at: int) -> str:
    """The character at a byte position; U+FFFD for what is none, as Go's decoder."""
    for size in range(1, 5):
        try:
            return text[at : at + size].decode() or _REPLACEMENT
        except UnicodeDecodeError:
            continue
    return _REPLACEMENT


def _quoted(char: str) -> str:
    """A character as Go's %q writes a rune."""
    if char == "'":
        return "'\\''"
    return "'" + (char if char == '"' else quote(char)[1:-1]) + "'"


def _code_point(char: str) -> str:
    """A character as Go's %#U writes a rune."""
    shown = f" '{char}'" if char.isprintable() else ""
    return f"U+{ord(char):04X}{shown}"


def _parse(text: bytes) -> Labels:
    try:
        pairs = _metric(_Lexer(text))
    except _Refused as refused:
        line = text.count(b"\n", 0, refused.start) + 1
        column = refused.start - text.rfind(b"\n", 0, refused.start)
        raise MalformedPush(f"couldn't parse labels: {line}:{column}: parse error: {refused}") from None
    return tuple(sorted((pair for pair in pairs if pair[1]), key=lambda pair: pair[0]))


def _read(text: bytes) -> Labels:
    """As `_parse`; what nearly every client writes is read by two regexes."""
    try:
        chars = text.decode()
    except UnicodeDecodeError:
        return _parse(text)
    if _PLAIN.fullmatch(chars) is None:
        return _parse(text)
    return tuple(sorted((pair for pair in _PLAIN_PAIR.findall(chars) if pair[1]), key=itemgetter(0)))


_cached: Callable[[bytes], Labels] = lru_cache(maxsize=_CACHED_TEXTS)(_read)


def _unexpected(token: _Token, where: str = "", expected: str = "") -> _Refused:
    message = f"unexpected {token.describe()}"
    if where:
        message += f" in {where}, expected {expected}"
    return _Refused(token.start, message)


def _metric(lexer: _Lexer) -> list[tuple[str, str]]:
    """The rule `metric`: a name, a label set, both or nothing, then the end."""
    pairs: list[tuple[str, str]] = []
    name = None
    token = lexer.next()
    if token.kind in (_Kind.IDENTIFIER, _Kind.METRIC_IDENTIFIER):
        name = token.value
        token = lexer.next()
    if token.raw == b"{":
        pairs = _label_set(lexer)
        token = lexer.next()
    if token.kind is not _Kind.END:
        raise _unexpected(token)
    if name is not None:
        pairs = [pair for pair in pairs if pair[0] != _NAME]
        pairs.append((_NAME, name))
    return pairs


def _label_set(lexer: _Lexer) -> list[tuple[str, str]]:
    """What stands between braces, of which the left one is read."""
    pairs: list[tuple[str, str]] = []
    token = lexer.next()
    while token.raw != b"}":
        name = token
        if name.kind not in (_Kind.IDENTIFIER, _Kind.STRING):
            raise _unexpected(name, "label set", 'identifier or "}"')
        token = lexer.next()
        if token.raw == b"=":
            token = lexer.next()
            if token.kind is not _Kind.STRING:
                raise _unexpected(token, "label set", "string")
            pairs.append((name.value, token.value))
            token = lexer.next()
        elif name.kind is _Kind.STRING:
            pairs.append((_NAME, name.value))
        else:
            raise _unexpected(token, "label set", '"="')
        if token.raw == b",":
            token = lexer.next()
        elif token.raw != b"}":
            raise _unexpected(token, "label set", '"," or "}"')
    return pairs
