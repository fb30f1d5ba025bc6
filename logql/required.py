"""Literals of which every match of a regex contains one: a cheap test before the regex itself.

The regex is known to compile; what is not understood here is taken to match anything, so that too little is required
and never too much.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

_MOST = 16
"""Literals that are told at most; each costs a pass over the lines."""

_LEAST = 3
"""Characters of a literal that is worth a pass."""

_CLASS = re.compile(r"\[(?P<not>\^?)\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_REPEAT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|(?P<flags>[imsU-]*)(?P<end>[:)]))")
_ESCAPED = re.compile(
    r"\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[pP]\{\^?\w+\}|[pP].|[0-7]{1,3}|Q.*?(?:\\E|$)|.)", re.DOTALL
)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_ANCHORS = frozenset("AzbB")


@dataclass(frozen=True, slots=True)
class _Node:
    """What is known of a part of a regex.

    Attributes:
        exact: all texts that it matches; None if they are too many to tell.
        needed: literals of which each match contains one; None if none are known.
    """

    exact: frozenset[str] | None
    needed: frozenset[str] | None


_ANYTHING = _Node(None, None)
_NOTHING = _Node(frozenset([""]), None)


def required_literals(pattern: str) -> tuple[bytes, ...]:
    """Literals of which every line that matches contains one; () if none are known."""
    try:
        node = _Parser(pattern).whole()
    except _Unknown:
        return ()
    found = _best(node)
    if found is None or len(found) > _MOST or min(map(len, found)) < _LEAST or any("\ufffd" in text for text in found):
        return ()
    shared = _common_start(min(found), max(found))
    # One pass for the beginning of all finds few lines more than one for each.
    some = [shared] if len(shared) >= 2 * _LEAST else sorted(found)
    return tuple(text.encode("utf-8", "surrogateescape") for text in some)


def _common_start(first: str, last: str) -> str:
    """What texts begin with of which these are the smallest and the largest."""
    pairs = zip(first, last, strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class _Unknown(Exception):  # noqa: N818 - no error: nothing can be told
    """The regex has something in it that changes the meaning of what follows."""


def _best(node: _Node) -> frozenset[str] | None:
    """The better of what a part matches and what it needs."""
    return _better(node.exact if node.exact and "" not in node.exact else None, node.needed)


def _better(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other, key=_worth)


def _worth(texts: frozenset[str]) -> tuple[int, int, int]:
    """Long enough first, then few, then long."""
    shortest = min(map(len, texts))
    return min(shortest, 2 * _LEAST), -len(texts), shortest


def _sequence(parts: list[_Node]) -> _Node:
    """Parts one after the other."""
    exact: frozenset[str] | None = frozenset([""])
    run: frozenset[str] = frozenset([""])  # what stands directly before the next part, as far as it is known
    needed: frozenset[str] | None = None
    for part in parts:
        grown = None
        if part.exact is not None and len(run) * len(part.exact) <= _MOST:
            grown = frozenset(before + after for before in run for after in part.exact)
        if grown is not None:
            run = grown
            exact = grown if exact is not None else None
            continue
        needed = _better(needed, run if "" not in run else None)
        needed = _better(needed, _best(part))
        exact = None
        run = part.exact if part.exact is not None and len(part.exact) <= _MOST else frozenset([""])
    needed = _better(needed, run if "" not in run else None)
    return _Node(exact, needed)


def _either(parts: list[_Node]) -> _Node:
    """One of several parts."""
    if len(parts) == 1:
        return parts[0]
    exact: frozenset[str] | None = frozenset()
    needed: frozenset[str] | None = frozenset()
    for part in parts:
        exact = None if exact is None or part.exact is None else exact | part.exact
        own = _best(part)
        needed = None if needed is None or own is None else needed | own
    if exact is not None and len(exact) > _MOST:
        exact = None
    return _Node(exact, needed)


class _Parser:
    """Reads a regex of RE2's syntax."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def whole(self) -> _Node:
        node = self._alternatives()
        if self._at < len(self._pattern):
            raise _Unknown
        return node

    def _alternatives(self) -> _Node:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        return _either(parts)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while (char := self._peek()) and char not in "|)":
            parts.append(self._repeated(self._atom(char)))
        return _sequence(parts)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _atom(self, char: str) -> _Node:
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        self._at += 1
        if char == ".":
            return _ANYTHING
        return _NOTHING if char in "^$" else _Node(frozenset([char]), None)

    def _group(self) -> _Node:
        match = _GROUP.match(self._pattern, self._at)
        if match is None:
            self._at += 1
        else:
            flags = match["flags"] or ""
            if "i" in flags:
                raise _Unknown
            self._at = match.end()
            if match["end"] == ")":
                return _NOTHING
        inner = self._alternatives()
        if self._peek() != ")":
            raise _Unknown
        self._at += 1
        return inner

    def _class(self) -> _Node:
        match = _CLASS.match(self._pattern, self._at)
        if match is None:
            raise _Unknown
        self._at = match.end()
        inner = match[0][1:-1]
        simple = not match["not"] and not any(char in inner for char in "\\[]-^")
        return _Node(frozenset(inner), None) if simple and 0 < len(inner) <= _MOST else _ANYTHING

    def _escape(self) -> _Node:
        match = _ESCAPED.match(self._pattern, self._at)
        if match is None:
            raise _Unknown
        self._at = match.end()
        body = match[0][1:]
        if body[0] == "Q":
            raise _Unknown
        if body in _ANCHORS:
            return _NOTHING
        if body in _PLAIN_ESCAPES:
            return _Node(frozenset([_PLAIN_ESCAPES[body]]), None)
        if len(body) == 1 and not body.isalnum():
            return _Node(frozenset([body]), None)
        return _ANYTHING

    def _repeated(self, node: _Node) -> _Node:
        while True:
            char = self._peek()
            least = None
            if char and char in "*+?":
                self._at += 1
                least = 1 if char == "+" else 0
                if char == "?" and node.exact is not None:
                    node = _Node(node.exact | {""}, None)
                    self._skip_lazy()
                    continue
            elif char == "{":
                match = _REPEAT.match(self._pattern, self._at)
                if match is None:
                    return node
                self._at = match.end()
                least = int(match[1])
            if least is None:
                return node
            self._skip_lazy()
            node = _Node(None, _best(node)) if least else _ANYTHING

    def _skip_lazy(self) -> None:
        if self._peek() == "?":
            self._at += 1
