"""What a line says about fields when nobody said how to read it: JSON first, logfmt if it is none.

The rules are those of the stages `| json` and `| logfmt`. Lines without oddities are read by faster means here, all
others by the stages themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from logql.ast import LogfmtStage
from logql.stages.extracted import join_name, label_name, name_part
from logql.stages.hints import SUFFIX
from logql.stages.json_stage import SCALAR, scalar_text
from logql.stages.jsonscan import JsonError, fields
from logql.stages.logfmt import LogfmtParser
from logql.stages.row import Row
from storage.batch import Labels

_UNKNOWN = "\ufffd"
_DEEP = 64
"""Objects in objects that are gone into by the fast way."""
LONGEST = 1024
"""Bytes of the keys that lead to a field, one more for each; what is longer is no field that anybody asks for."""
_MOST_KEYS = 20_000
"""Keys whose labels are remembered."""

_WORD = r'[^\x00-\x20="]++'
_PAIRS = re.compile(rf'({_WORD})(?:=(?:"([^"\\]*+)"|({_WORD})?))?+(?:[\x00-\x20]++|\Z)')
_PLAIN_LOGFMT = re.compile(rf'[\x00-\x20]*+(?:{_WORD}(?:=(?:"[^"\\]*+"|(?:{_WORD})?))?+(?:[\x00-\x20]++|\Z))*+')


class LineParser(StrEnum):
    """What a field was read with, in Loki's words."""

    JSON = "json"
    LOGFMT = "logfmt"


class Found(NamedTuple):
    """A field in a line.

    Attributes:
        value: its text.
        path: the keys that lead to it in JSON; () for logfmt.
    """

    value: str
    path: tuple[str, ...] = ()


@dataclass(slots=True)
class _Key:
    """A key of an object, and what follows from it.

    Attributes:
        name: the label of a value under it, "" for none.
        suffixed: the label if the stream has one of that name.
        parts: of the names of what is in an object under it.
        path: keys from the outermost.
        size: of these, as LONGEST counts; beyond it there are no names, parts and path.
        inner: the keys of an object under it.
    """

    name: str
    suffixed: str
    parts: tuple[str, ...]
    path: tuple[str, ...]
    size: int
    inner: dict[str, _Key] = field(default_factory=dict)


class LineReader:
    """Reads the lines of one query; remembers what keys become."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._known = 0
        self._names: dict[str, str] = {}
        self._decoder = json.JSONDecoder(
            object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=_no_number
        )

    def read(self, line: bytes, stream: Labels) -> tuple[LineParser, Mapping[str, Found]]:
        """The fields of a line by label.

        Args:
            line: any bytes.
            stream: labels of its stream; a field of that name is called `<name>_extracted`.
        """
        base = {name for name, _ in stream}
        text = _plain_text(line)
        found = self._json(line, text, base)
        if found is not None:
            return LineParser.JSON, found
        return LineParser.LOGFMT, self._logfmt(line, text, stream, base)

    def _json(self, line: bytes, text: str | None, base: Collection[str]) -> dict[str, Found] | None:
        """The fields of a JSON line; None: it is none as far as its fields go."""
        found: dict[str, Found] = {}
        if text is not None and text.lstrip(" \n\r\t")[:1] != "{":
            return None  # as the parser finds too, at the first token
        if text is not None and "\\u" not in text:
            try:
                members = self._decoder.decode(text)
            except (ValueError, RecursionError):
                pass  # perhaps good as far as Loki looks
            else:
                if self._collect(members, self._keys, base, found, 0):
                    return found
                found = {}
        try:
            for name, each in _scanned(line, base):
                if name and name not in found:
                    found[name] = each
        except JsonError:
            return None
        return found

    def _collect(
        self,
        members: Any,
        keys: dict[str, _Key],
        base: Collection[str],
        found: dict[str, Found],
        depth: int,
        outer: _Key | None = None,
    ) -> bool:
        """Puts the values of an object's members into `found`; False if it is too deep."""
        if depth > _DEEP:
            return False
        for key, value in members:
            known = keys.get(key) or self._learn(key, keys, outer)
            if value.__class__ is str:
                text = value
            elif value is True:
                text = "true"
            elif value is False:
                text = "false"
            elif value.__class__ is tuple:
                if not self._collect(value, known.inner, base, found, depth + 1, known):
                    return False
                continue
            else:
                continue
            name = known.name
            if name in base:
                name = known.suffixed
            if name and name not in found:
                found[name] = Found(text, known.path)
        return True

    def _learn(self, key: str, keys: dict[str, _Key], outer: _Key | None) -> _Key:
        made = _key(key.encode(), outer)
        if self._known < _MOST_KEYS:
            self._known += 1
            keys[key] = made
        return made

    def _logfmt(self, line: bytes, text: str | None, stream: Labels, base: Collection[str]) -> dict[str, Found]:
        if text is not None and "=" not in text:
            return {}  # no key has a value
        if text is None or not _PLAIN_LOGFMT.fullmatch(text):
            row = Row(0, line, stream, ())
            _LOGFMT.apply(row)
            return {name: Found(value) for name, value in row.parsed.items()}
        found: dict[str, Found] = {}
        for key, quoted, bare in _PAIRS.findall(text):
            value = quoted or bare
            if not value:
                continue
            name = self._names.get(key)
            if name is None:
                name = label_name(key.encode())
                if len(self._names) < _MOST_KEYS:
                    self._names[key] = name
            if name in base:
                name += SUFFIX
            if name and name not in found:
                found[name] = Found(value)
        return found


_LOGFMT = LogfmtParser.of(LogfmtStage())


def _plain_text(line: bytes) -> str | None:
    """The text of a line in which no byte stands for U+FFFD, and none is one; None for any other."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    return None if _UNKNOWN in text else text


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _key(key: bytes, outer: _Key | None) -> _Key:
    """What follows from a key of the object under `outer`; of the outermost for None."""
    size = len(key) + 1 + (outer.size if outer else 0)
    if size > LONGEST:
        return _Key("", "", (), (), size)
    parts, path = (outer.parts, outer.path) if outer else ((), ())
    part, shown = name_part(key), key.decode("utf-8", "replace")
    name = join_name((*parts, part))
    # Where a nested key is blank the suffix is a part of its own.
    suffixed = join_name((*parts, name_part(key + SUFFIX.encode()))) if path else name + SUFFIX
    return _Key(name, suffixed, (*parts, part), (*path, shown), size)


def _scanned(line: bytes, base: Collection[str]) -> Iterator[tuple[str, Found]]:
    """The fields of a line as `| json` finds them, with their paths.

    Raises:
        JsonError: the line is no JSON as far as it was looked at.
    """
    outer: list[_Key] = []

    def inside(depth: int, key: bytes) -> _Key:
        del outer[depth:]
        return _key(key, outer[-1] if outer else None)

    def enter(depth: int, key: bytes) -> bool:
        outer.append(inside(depth, key))
        return True

    for each in fields(line, enter):
        if each.value.kind in SCALAR:
            key = inside(each.depth, each.key)
            yield key.suffixed if key.name in base else key.name, Found(scalar_text(each.value), key.path)
