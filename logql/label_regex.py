"""What a regex means in a label filter: mostly the regex anchored at both ends, but not always, as in Loki.

Loki rewrites simple regexes to plain searches. Rewriting a literal beside `.*` or beside alternatives, it forgets that
the regex of a label filter is anchored: `f.*` finds every value with an f in it (recorded answers show it), and
`error|errors`, whose common beginning Go's regex parser takes out first, every value with "error" in it. A regex with
anything else than literals, `.*`, `.+`, groups and `|` in it is not rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile
from typing import TypeAlias

from logql.folding import lower_case_regex
from logql.literals import to_bytes
from logql.regex import compile_regex, searches

ValueTest: TypeAlias = Callable[[str], bool]
"""Whether a label's value passes."""


@dataclass(frozen=True, slots=True)
class _Literal:
    text: str
    fold: bool


@dataclass(frozen=True, slots=True)
class _Empty:
    """Matches the empty string."""


@dataclass(frozen=True, slots=True)
class _Any:
    """`.*`, or `.+`."""

    least: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Alternatives:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    part: _Node


_Node: TypeAlias = "_Literal | _Empty | _Any | _Sequence | _Alternatives | _Group"


class _NotSimple(Exception):  # noqa: N818 - no error, a turn of the road
    """The regex is not one that Loki rewrites."""


def label_regex(pattern: str) -> ValueTest:
    """The test that a label filter's `=~` makes.

    Raises:
        RegexError: `pattern` is no regex.
    """
    compile_regex(pattern)  # its errors name what was written
    regex = compile_regex(f"^(?:{pattern})$")
    try:
        return _rewritten(_Parser(pattern).tree())
    except _NotSimple:
        return lambda value: searches(regex, to_bytes(value))


def everything(_value: str) -> bool:
    """The test of `.*`, and of the empty regex."""
    return True


def _rewritten(node: _Node) -> ValueTest:
    match node:
        case _Empty() | _Any(least=0):
            return everything
        case _Any():
            return bool
        case _Literal(text, fold=False):
            return lambda value: value == text
        case _Group(part):
            return _rewritten(part)
        case _Alternatives(parts):
            return _any_of([_rewritten(_opened(part)) for part in parts])
        case _Sequence():
            return _any_of(_contained(node, None))
        case _:
            raise _NotSimple


def _any_of(tests: Sequence[ValueTest]) -> ValueTest:
    """Any of the tests. One that everything passes is left out beside others: so does Loki."""
    some = [test for test in tests if test is not everything]
    if not some:
        return everything
    return some[0] if len(some) == 1 else lambda value: any(test(value) for test in some)


_MOST_PARTS = 3


def _contained(node: _Sequence, base: _Literal | None) -> list[ValueTest]:
    """Tests of which one must pass: that a value contains the literal of a sequence, or it and one of its alternatives.

    Args:
        node: the sequence.
        base: the literal before it, when it is itself an alternative.
    """
    parts = [part for part in map(_opened, node.parts) if not isinstance(part, _Empty)]
    tests: list[ValueTest] = []
    own: _Literal | None = None
    if len(parts) > _MOST_PARTS:
        raise _NotSimple
    for part in parts:
        match part:
            case _Literal() if own is None:
                own = part
                base = _Literal((base.text if base else "") + part.text, part.fold)
            case _Alternatives(choices) if base is not None:
                tests += [test for choice in choices for test in _after(base, choice)]
            case _Any(least=0):
                pass
            case _:
                raise _NotSimple
    if base is None:
        raise _NotSimple
    return tests or [_contains(base)]


def _after(base: _Literal, choice: _Node) -> list[ValueTest]:
    match choice:
        case _Empty() | _Any(least=0):
            return [_contains(base)]
        case _Literal(text, fold) if base.fold or not fold:
            return [_contains(_Literal(base.text + text, base.fold))]
        case _Sequence():
            return _contained(choice, base)
        case _:
            raise _NotSimple


def _contains(literal: _Literal) -> ValueTest:
    text = literal.text
    if not literal.fold:
        return lambda value: text in value
    each = (f"\\x{ord(char):02x}" if char in _SYNTAX else lower_case_regex(char) for char in text)
    regex = compile_regex("".join(each))
    return lambda value: searches(regex, to_bytes(value))


def _opened(node: _Node) -> _Node:
    return node.part if isinstance(node, _Group) else node


_SYNTAX = frozenset("\\.+*?()|[]{}^$")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


class _Parser:
    """Reads a regex that compiles; raises _NotSimple at what Loki never rewrites."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._fold = False

    def tree(self) -> _Node:
        node = self._alternatives()
        if self._at < len(self._pattern):
            raise _NotSimple
        return node

    def _alternatives(self) -> _Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return _alternatives(parts)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            if self._take("(?i)"):
                self._fold = True
                continue
            part = self._atom()
            if self._pattern[self._at : self._at + 1] in ("*", "+", "?", "{"):
                raise _NotSimple
            parts.append(part)
        return _sequence(parts)

    def _atom(self) -> _Node:
        if self._take("."):
            if not (self._take("*") or self._take("+")):
                raise _NotSimple
            least = int(self._pattern[self._at - 1] == "+")
            self._take("?")
            return _Any(least)
        if self._take("("):
            return self._group()
        if self._take("["):
            return self._class()
        char = self._pattern[self._at]
        self._at += 1
        if char == "\\":
            char = self._escaped()
        elif char in _SYNTAX:
            raise _NotSimple
        return _Literal(char, self._fold)

    def _group(self) -> _Node:
        kept = True
        if self._take("?:"):
            kept = False
        elif self._take("?P<") or self._take("?<"):
            self._at = self._pattern.index(">", self._at) + 1
        elif self._take("?"):
            raise _NotSimple
        fold = self._fold
        node = self._alternatives()
        self._fold = fold
        if not self._take(")"):
            raise _NotSimple
        return _Group(node) if kept else node

    def _class(self) -> _Node:
        """`[.]`, one character in a class, is a literal; no other class is simple."""
        char, end = self._pattern[self._at : self._at + 1], self._pattern[self._at + 1 : self._at + 2]
        if end != "]" or char in "^\\" or self._fold:
            raise _NotSimple
        self._at += 2
        return _Literal(char, fold=False)

    def _escaped(self) -> str:
        char = self._pattern[self._at]
        self._at += 1
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum() or not char.isascii():
            raise _NotSimple
        return char

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True


def _sequence(parts: list[_Node]) -> _Node:
    """Go's concatenation: neighbouring literals are one; what was in a group without a capture is no longer."""
    joined: list[_Node] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, _Literal) and isinstance(last, _Literal) and part.fold == last.fold:
            joined[-1] = _Literal(last.text + part.text, part.fold)
        else:
            joined.append(part)
    flat = [inner for part in joined for inner in (part.parts if isinstance(part, _Sequence) else (part,))]
    if not flat:
        return _Empty()
    return flat[0] if len(flat) == 1 else _Sequence(tuple(flat))


def _alternatives(parts: list[_Node]) -> _Node:
    """Go's alternation: common beginnings of neighbours are taken out, neighbouring empty ones are one."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, _Alternatives) else (part,))]
    factored = _factored(flat) if len(flat) > 1 else flat
    for left, right in pairwise(factored):
        if _is_char(left) and _is_char(right):
            raise _NotSimple  # Go makes a character class of them
    kept = [part for part, run in groupby(factored) for part in ([part] if isinstance(part, _Empty) else run)]
    return kept[0] if len(kept) == 1 else _Alternatives(tuple(kept))


def _is_char(node: _Node) -> bool:
    return isinstance(node, _Literal) and len(node.text) == 1


def _factored(parts: list[_Node]) -> list[_Node]:
    factored: list[_Node] = []
    start = 0
    while start < len(parts):
        prefix = _leading(parts[start])
        stop = start + 1
        while prefix is not None and stop < len(parts):
            shared = _shared(prefix, _leading(parts[stop]))
            if shared is None:
                break
            prefix = shared
            stop += 1
        if prefix is None or stop == start + 1:
            factored.append(parts[start])
        else:
            rest = [_without(part, len(prefix.text)) for part in parts[start:stop]]
            factored.append(_Sequence((prefix, _alternatives(rest))))
        start = stop
    return factored


def _leading(node: _Node) -> _Literal | None:
    first = node.parts[0] if isinstance(node, _Sequence) else node
    return first if isinstance(first, _Literal) else None


def _shared(left: _Literal, right: _Literal | None) -> _Literal | None:
    if right is None or left.fold != right.fold:
        return None
    pairs = zip(left.text, right.text, strict=False)
    text = "".join(char for char, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return _Literal(text, left.fold) if text else None


def _without(node: _Node, length: int) -> _Node:
    if isinstance(node, _Literal):
        return _Literal(node.text[length:], node.fold) if len(node.text) > length else _Empty()
    assert isinstance(node, _Sequence)
    first = _without(node.parts[0], length)
    rest = node.parts[1:]
    if not isinstance(first, _Empty):
        return _Sequence((first, *rest))
    return rest[0] if len(rest) == 1 else _Sequence(rest)
