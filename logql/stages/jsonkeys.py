"""The values at several paths of a JSON line, found in one walk, with the answers that Loki's parser library gives.

The walk follows the library's rules, not JSON's: it counts brackets, compares keys with the last ones seen at each
depth, takes each path's first match, and gives up in silence where the text is broken. A path is keys, and `[n]` for
elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from logql.stages.jsonscan import (
    MALFORMED,
    Blocks,
    JsonError,
    Kind,
    Value,
    next_token,
    read_value,
    string_end,
    unescape,
)

Path: TypeAlias = tuple[bytes, ...]
Found: TypeAlias = tuple[int, Value | JsonError]
"""Number of a path (-1: of none) and what stands there."""

_MARK = re.compile(rb'["{}\[\]]')
_SEARCH_MARK = re.compile(rb'["{}\[:]')
_INDEX = re.compile(rb"\[([0-9]+)\]")


def values_at(data: bytes, paths: Sequence[Path]) -> Iterator[Found]:
    """What stands at each path, in the order of the line; paths that lead nowhere are not told of."""
    return _Walk(data, paths).run()


@dataclass(slots=True)
class _Walk:
    data: bytes
    paths: Sequence[Path]
    open: list[bool] = field(init=False)
    seen: list[bytes] = field(init=False)
    blocks: Blocks = field(init=False)

    def __post_init__(self) -> None:
        self.open = [True] * len(self.paths)
        self.seen = [b""] * max(map(len, self.paths), default=0)
        self.blocks = Blocks(self.data)

    def run(self) -> Iterator[Found]:
        data, end, level, at = self.data, len(self.data), 0, 0
        while (mark := _MARK.search(data, at)) is not None:
            at = mark.end()
            if mark[0] == b'"':
                stop = string_end(data, at, end)
                colon = next_token(data, stop, end) if stop >= 0 else -1
                if colon < 0:
                    return
                if data[colon] != ord(":"):
                    at = colon
                    continue
                key = unescape(data[at : stop - 1])
                if key is None:
                    return
                at = colon + 1
                if level <= len(self.seen):
                    if level < 1:
                        yield -1, JsonError(MALFORMED)
                        return
                    yield from self._key(key, level, at)
                    if not any(self.open):
                        return
            elif mark[0] == b"[":
                if level < 0:
                    yield -1, JsonError(MALFORMED)
                    return
                wanted = self._elements(level)
                if wanted:
                    level += 1
                    elements = _Elements(data, mark.start(), end, self.blocks)
                    yield from self._array(elements, wanted, level)
                    if not any(self.open):
                        return
                    at = elements.at
                else:
                    at = self.blocks.end(mark.start(), end)
                    if at < 0:
                        return
            else:
                level += 1 if mark[0] == b"{" else -1

    def _key(self, key: bytes, level: int, at: int) -> Iterator[Found]:
        self.seen[level - 1] = key
        for number, path in enumerate(self.paths):
            if self.open[number] and len(path) == level and path == tuple(self.seen[:level]):
                self.open[number] = False
                yield number, _read(self.data, at, len(self.data), self.blocks)

    def _elements(self, level: int) -> list[tuple[int, int]]:
        """(path, element) of the paths that go into an array at a depth."""
        wanted = []
        for number, path in enumerate(self.paths):
            if self.open[number] and len(path) > level and list(path[:level]) == self.seen[:level]:
                index = _INDEX.fullmatch(path[level])
                if index:
                    wanted.append((number, int(index[1])))
        return wanted

    def _array(self, elements: _Elements, wanted: list[tuple[int, int]], level: int) -> Iterator[Found]:
        for place, element in enumerate(elements):
            for number, index in wanted:
                if index == place:
                    self.open[number] = False
                    yield from self._in_element(number, element, self.paths[number][level:])

    def _in_element(self, number: int, element: Value, rest: Path) -> Iterator[Found]:
        raw = element.raw
        at = _search(raw, rest)
        if at < 0:
            return
        if element.kind is Kind.STRING:
            yield number, Value(Kind.STRING, raw, at, len(raw))
        else:
            yield number, _read(raw, at, len(raw), Blocks(raw))


def _read(data: bytes, at: int, end: int, blocks: Blocks) -> Value | JsonError:
    try:
        return read_value(data, at, end, blocks)
    except JsonError as error:
        return error


@dataclass(slots=True)
class _Elements:
    """The elements of the array at `start`, as far as they can be read; then `at` is where reading ended."""

    data: bytes
    start: int
    end: int
    blocks: Blocks
    at: int = 0

    def __iter__(self) -> Iterator[Value]:
        data, end = self.data, self.end
        self.at = self.start + 1
        first = next_token(data, self.at, end)
        if first < 0:
            return
        self.at = first
        if data[first] == ord("]"):
            return
        while True:
            value = _read(data, self.at, end, self.blocks)
            if isinstance(value, JsonError) or value.end == self.at:
                return
            yield value
            self.at = value.end
            following = next_token(data, self.at, end)
            if following < 0:
                return
            self.at = following
            if data[following] != ord(","):
                return
            self.at += 1


def _search(data: bytes, path: Path) -> int:
    """Offset of the value at a path inside an array's element, -1 if there is none."""
    if not path:
        return 0
    matched = level = at = 0
    last_matched = True
    end = len(data)
    blocks = Blocks(data)
    while (mark := _SEARCH_MARK.search(data, at)) is not None:
        at = mark.end()
        if mark[0] == b'"':
            stop = string_end(data, at, end)
            colon = next_token(data, stop, end) if stop >= 0 else -1
            if colon < 0:
                return -1
            if data[colon] != ord(":"):
                at = colon
                continue
            key = unescape(data[at : stop - 1])
            if key is None or not 1 <= level <= len(path):
                return -1
            at = colon + 1
            last_matched = key == path[level - 1]
            if last_matched and matched == level - 1:
                matched += 1
                if matched == len(path):
                    return at
        elif mark[0] == b"{":
            if last_matched:
                level += 1
            else:
                at = blocks.end(mark.start(), end)
                if at < 0:
                    return -1
        elif mark[0] == b"}":
            level -= 1
            matched -= level == matched
        elif mark[0] == b"[":
            if matched == level and level < len(path) and path[level].startswith(b"["):
                return _search_element(data, mark.start(), path[level:])
            at = blocks.end(mark.start(), end)
            if at < 0:
                return -1
        else:
            return -1
    return -1


def _search_element(data: bytes, start: int, path: Path) -> int:
    index = _INDEX.fullmatch(path[0])
    if index is None:
        return -1
    for place, element in enumerate(_Elements(data, start, len(data), Blocks(data))):
        if place == int(index[1]):
            quoted = element.kind is Kind.STRING
            raw = data[element.start - quoted : element.stop + quoted]
            inside = _search(raw, path[1:])
            return -1 if inside < 0 else element.start - quoted + inside
    return -1
