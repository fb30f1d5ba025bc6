"""A batch in the making."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import msgspec
import numpy as np
import snappy

from gateway.client.importing.when import Rule as TimeRule
from gateway.collect.clock import ReadingClock, distinct
from gateway.collect.encode import entries_bytes, request_bytes
from gateway.collect.positions import Position
from gateway.collect.rows import I64, NO_TIME, Entries
from gateway.collect.spool import Head, Sealed

_ENTRY_BYTES = 24
"""What an entry costs besides its line, about."""


class Building:
    """Entries that will be one batch, of any files.

    Attributes:
        size: bytes of a push, about.
        lines: in it.
        moved: by key, where files are behind it.
        begun: time.monotonic() of its first entry.
    """

    def __init__(self, clock: ReadingClock) -> None:
        self._clock = clock
        self._streams: dict[str, list[bytes]] = {}
        self._line_bytes = 0
        self.size = 0
        self.lines = 0
        self.moved: dict[int, Position] = {}
        self.begun = 0.0

    def __bool__(self) -> bool:
        return bool(self.moved)

    def add(
        self,
        position: Position,
        entries: Sequence[Entries],
        stream: Callable[[str], str],
        rule: TimeRule | None,
    ) -> Position:
        """Takes what was read of a file.

        Args:
            position: behind it.
            entries: of its streams.
            stream: the text of the label set of a stream.
            rule: where lines say their time; None: they do not.

        Returns:
            The position with what times that follow depend on.
        """
        if not self.moved:
            self.begun = time.monotonic()
        said = dict(position.said)
        for each in entries:
            ts = _times_in(each, rule, said.get(each.stream, (0, 0))[0]) if rule is not None else each.ts
            ts = self._clock.take(len(each)) if ts is None else self._filled(ts, each.stream, said)
            self._streams.setdefault(stream(each.stream), []).append(entries_bytes(each.text, each.lengths, ts))
            self.lines += len(each)
            self._line_bytes += len(each.text)
            self.size += len(each.text) + _ENTRY_BYTES * len(each)
        moved = _with_said(position, said)
        self.moved[position.key] = moved
        return moved

    def seal(self, number: int) -> Sealed:
        """The batch as it is sent."""
        body = snappy.compress(request_bytes(self._streams))
        return Sealed(Head(number, uuid4(), self.lines, self._line_bytes, list(self.moved.values())), body)

    def _filled(self, ts: I64, stream: str, said: dict[str, tuple[int, int]]) -> I64:
        """Times of which none is missing and none stands twice in a row."""
        missing = ts == NO_TIME
        if missing.all():
            return self._clock.take(len(ts))
        filled = ts.copy()
        filled[~missing], said[stream] = distinct(ts[~missing], said.get(stream, (0, 0)))
        if missing.any():
            filled[missing] = self._clock.take(int(missing.sum()))
        return filled


def _with_said(position: Position, said: dict[str, tuple[int, int]]) -> Position:
    return msgspec.structs.replace(position, said=said) if said != position.said else position


def _times_in(entries: Entries, rule: TimeRule, last: int) -> I64:
    """The times that lines say; a line without one has that of the line before it."""
    ends = np.cumsum(entries.lengths).tolist()
    found = []
    start = 0
    for end in ends:
        at = rule.find(entries.text[start : min(end, start + 256)].decode("utf-8", "replace"))
        if at is not None and at > 0:
            last = at
        found.append(last or NO_TIME)
        start = end
    return np.array(found, np.int64)
