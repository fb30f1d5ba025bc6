"""regexReplaceAll, regexReplaceAllLiteral and count, with Go's rules for empty matches and $ in replacements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from logql.errors import RegexError
from logql.literals import to_text
from logql.regex import compile_regex
from logql.template.errors import CallError
from logql.template.fmt import MAX_OUTPUT, too_long
from logql.template.signatures import Function, Type

_NAME = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


def _compile(pattern: bytes) -> Any:
    try:
        return compile_regex(to_text(pattern))
    except RegexError as error:
        raise CallError(str(error)) from None


class _Subject:
    """A string to search: its text as valid UTF-8, and where each place of that is in the string itself."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.searched = value.decode("utf-8", "logql-go-replace").encode()
        self._places: list[int] | None = None
        if len(self.searched) != len(value):
            self._places = [0]
            for char in value.decode("utf-8", "surrogateescape"):
                width = 1 if 0xDC80 <= ord(char) <= 0xDCFF else len(char.encode())
                shown = 3 if 0xDC80 <= ord(char) <= 0xDCFF else width
                self._places += [self._places[-1]] * (shown - 1) + [self._places[-1] + width]

    def part(self, start: int, end: int) -> bytes:
        if self._places is None:
            return self.searched[start:end]
        return self.value[self._places[start] : self._places[end]]


def _after_char(text: bytes, at: int) -> int:
    """The place after the character at `at`."""
    at += 1
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


def _matches(regex: Any, text: bytes) -> Iterator[Any]:
    """The matches that Go finds: none empty just behind the one before it."""
    at, last_end = 0, -1
    while at <= len(text):
        match = regex.search(text, at)
        if match is None:
            return
        start, end = match.span()
        if end > start or start != last_end:
            yield match
        last_end = end
        at = end if end > at else _after_char(text, at)


def replace_all(pattern: bytes, value: bytes, replacement: bytes) -> bytes:
    """Every match replaced; $1, ${1}, $name and ${name} in the replacement stand for groups."""
    regex = _compile(pattern)
    parts = expansion(regex, to_text(replacement))
    return _replaced(regex, value, lambda subject, match: b"".join(_expanded(parts, subject, match)))


def replace_all_literal(pattern: bytes, value: bytes, replacement: bytes) -> bytes:
    """Every match replaced by just this."""
    return _replaced(_compile(pattern), value, lambda _subject, _match: replacement)


def _replaced(regex: Any, value: bytes, new: Callable[[_Subject, Any], bytes]) -> bytes:
    subject = _Subject(value)
    out = bytearray()
    at = 0
    for match in _matches(regex, subject.searched):
        start, end = match.span()
        out += subject.part(at, start)
        out += new(subject, match)
        if len(out) > MAX_OUTPUT:
            raise too_long()
        at = end
    return bytes(out + subject.part(at, len(subject.searched)))


def expansion(regex: Any, replacement: str) -> list[bytes | int]:
    """A replacement as literal parts and numbers of groups; a group that is not there is dropped."""
    parts: list[bytes | int] = []
    at = 0
    for match in _NAME.finditer(replacement):
        parts.append(replacement[at : match.start()].encode("utf-8", "surrogateescape"))
        at = match.end()
        dollar, braced, bare = match.groups()
        if dollar:
            parts.append(b"$")
            continue
        group = _group(regex, braced or bare)
        if group is not None:
            parts.append(group)
    parts.append(replacement[at:].encode("utf-8", "surrogateescape"))
    return parts


def _group(regex: Any, name: str) -> int | None:
    number = name.isascii() and name.isdigit() and len(name) <= 9 and (name == "0" or name[0] != "0")
    if number:
        return int(name) if int(name) <= regex.groups else None
    found = regex.groupindex.get(name.encode("utf-8", "surrogateescape"))
    return None if found is None else int(found)


def _expanded(parts: list[bytes | int], subject: _Subject, match: Any) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
        elif match.start(part) >= 0:
            yield subject.part(*match.span(part))


def count(pattern: bytes, value: bytes) -> int:
    """How many matches there are."""
    return sum(1 for _ in _matches(_compile(pattern), _Subject(value).searched))


_S = Type.STRING

REGEX_FUNCTIONS: dict[str, Function] = {
    "regexReplaceAll": Function(replace_all, (_S, _S, _S)),
    "regexReplaceAllLiteral": Function(replace_all_literal, (_S, _S, _S)),
    "count": Function(count, (_S, _S)),
}
