"""A log query of any length, in pieces in answer order: what exports and pages are made of.

Memory is that of a window of times (logql.walk_window) and of the lines of one piece, however long the answer is. The
units are those of one scan: a walk sees what was there when it began, whatever is flushed or compacted meanwhile.

Order is that of a log query's answer: (ts, stream id, arrival), with ts and arrival descending for BACKWARD. A walk may
begin after any entry, which need not be one that the query finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from logql.ast import LogExpr
from logql.columns.plan import is_special, plan_of
from logql.entry_columns import EntryColumns, columns_of_entries, columns_of_rows, labels_of
from logql.position import Position, contents_of
from logql.rows import ROWS_AT_ONCE, rows_of, watched
from logql.source import Direction, Source
from logql.stages.pipeline import Pipeline
from logql.stages.row import Row
from logql.stats import Reading, line_bytes, metadata_bytes
from logql.unit_reader import filtered
from logql.walk_window import Part, Window, Windows
from logql.workers import in_order
from storage.batch import I64, Batch
from storage.rows import take_rows

ROOM = 1 << 19
"""Entries whose times are held together, about: 50 bytes each."""

PIECE = 16 << 20
"""Bytes of lines of a piece, about."""

_FIRST = 1 << 20
"""Of the first: it is there soon, each other may be twice as large as the one before."""

_BESIDE = 64
"""Bytes that an entry counts for besides its line."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a walk goes through.

    Attributes:
        start: ns, inclusive.
        end: ns, exclusive.
        direction: of the walk.
        after: the entry after which it begins, in the direction; None: with the first.
        included: whether it begins with that entry.
        only: id of the one stream that is wanted; None: all that match.
        limit: entries at most; 0: all.
        mirrored: ids of streams descend among entries of one time: BACKWARD is the exact reverse of FORWARD then.
    """

    start: int
    end: int
    direction: Direction = Direction.FORWARD
    after: Position | None = None
    included: bool = False
    only: int | None = None
    limit: int = 0
    mirrored: bool = False


@dataclass(slots=True)
class Read:
    """What a walk has read so far; any thread may look."""

    sum: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some entries of the answer, perhaps none.

    Attributes:
        entries: in order.
        cut: whether the walk ends here because its limit is reached.
    """

    entries: EntryColumns
    cut: bool
    _at: I64
    _last: int
    _where: Callable[[int], Position]

    def position(self, number: int) -> Position:
        """Where one of the entries stands."""
        return self._where(int(self._at[number]))

    def last(self) -> Position:
        """Where the last entry stands that was looked at, which the query need not let through."""
        return self._where(self._last)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was read of a part, and what is left of it.

    Attributes:
        batch: with k entries of the part.
        places: int64[k], ascending, where these stand in the part's times.
        read: int64[k], their rows of the batch.
        at: int64[m], where in the window those stand that are left.
        rows: int64[m], their rows of the batch.
        reading: what it took.
    """

    batch: Batch
    places: I64
    read: I64
    at: I64
    rows: I64
    reading: Reading


def walk(
    source: Source,
    tenant: str,
    expr: LogExpr,
    span: Span,
    check: Callable[[], None],
    *,
    piece: int = PIECE,
    room: int = ROOM,
    read: Read | None = None,
) -> Iterator[Piece]:
    """The entries that a log query lets through, in pieces.

    Args:
        source: where entries come from.
        tenant: whose.
        expr: the query.
        span: which of them.
        check: called before each unit is looked at or read, and now and then between rows; raises to stop.
        piece: bytes of lines of a piece, about.
        room: entries whose times are held together, about.
        read: is told what was read.

    Raises:
        RegexError, StageError: a stage cannot be built; `parse` has refused such an expression before.
    """
    start, end, after = span.start, span.end, span.after
    if after is not None and span.direction is Direction.FORWARD:
        start = max(start, after.ts)
    elif after is not None:
        end = min(end, after.ts + 1)
    if start >= end:
        return
    units = list(source.scan(tenant, expr.matchers, start, end, span.direction))
    windows = Windows(units, span.direction, room, check, only=span.only, mirrored=span.mirrored)
    del units  # those that are passed go
    pieces = _Pieces(expr, check, read or Read())
    left, size = span.limit, min(_FIRST, piece)
    resolved = after is None
    while (window := windows.following()) is not None:
        at = 0
        if after is not None and not resolved and len(window):
            at, resolved = pieces.begins(window, after, included=span.included), True
        while at < len(window):
            check()
            stop = pieces.stop(window, at, size, left)
            made = pieces.made(window, at, stop, left)
            is_cut = made.cut
            left -= len(made.entries) if left else 0
            yield made
            del made  # while the next is made
            if is_cut:
                return
            at, size = stop, min(2 * size, piece)
        del window  # while the next is made


class _Pieces:
    """Makes pieces of windows."""

    def __init__(self, expr: LogExpr, check: Callable[[], None], read: Read) -> None:
        self._pipeline = Pipeline.of(expr.stages)
        self._plan = plan_of(self._pipeline)
        self._check = check
        self._read = read
        self._all = not self._pipeline.line_filters and not self._pipeline.chooses

    def begins(self, window: Window, after: Position, *, included: bool) -> int:
        """Where the walk begins in its first window.

        An entry that is gone is passed by its place: those of its time and stream that came before it are.
        """
        same = window.same(after.ts, after.stream)
        arrived = same if window.forward else same[::-1]
        first, count = window.before(after.ts, after.stream), len(same)
        found = self._found(window, arrived, after)
        if found is None:
            earlier = min(after.place, count)
            return first + (earlier if window.forward else count - earlier)
        passed = found if window.forward else count - 1 - found
        return first + passed + (not included)

    def _found(self, window: Window, arrived: I64, sought: Position) -> int | None:
        """Which of the entries of a stream and time is the one sought; None: it is gone."""
        if sought.place < len(arrived):  # nearly always: nothing was deleted
            place = sought.place
            if self._contents(window, int(arrived[place])) == sought.contents:
                return place
        for place, at in enumerate(arrived.tolist()):
            self._check()
            if self._contents(window, at) == sought.contents:
                return place
        return None

    def _contents(self, window: Window, at: int) -> int:
        part = window.parts[int(window.part[at])]
        batch = part.unit.read(part.times.take(window.place[at : at + 1]))
        return contents_of(batch, 0 if batch.selection is None else int(batch.selection[0]))

    def stop(self, window: Window, at: int, size: int, limit: int) -> int:
        """Where a piece ends that begins at `at`, has about `size` bytes, and `limit` entries at most if not 0."""
        most = at + limit if limit and self._all else len(window)
        ends = np.cumsum(window.sizes[at:most] + _BESIDE)
        return at + max(1, int(np.searchsorted(ends, size, "right")))

    def made(self, window: Window, start: int, stop: int, limit: int) -> Piece:
        """What the query lets through of window[start:stop]; the first `limit` of them, if not 0."""
        part = window.part[start:stop]
        order = np.argsort(part, kind="stable")
        numbers, firsts = np.unique(part[order], return_index=True)
        items = [
            (window.parts[number], start + some, window.place[start + some])
            for number, some in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True)
        ]
        found = [each for _, each in in_order(lambda item: self._of_part(*item), items)]
        self._read.sum = sum((each.reading for each in found), self._read.sum)
        by_part = dict(zip(numbers.tolist(), found, strict=True))

        def where(at: int) -> Position:
            return _position(window, at, by_part[int(window.part[at])])

        at = np.concatenate([each.at for each in found])
        of = np.repeat(np.arange(len(found)), [len(each.at) for each in found])
        rows = np.concatenate([each.rows for each in found])
        order = np.argsort(at)
        if self._pipeline.stages:
            entries, order = self._staged([each.batch for each in found], of, rows, order, limit)
            cut = bool(limit) and len(order) >= limit
        else:
            cut = bool(limit) and len(order) >= limit
            order = order[:limit] if cut else order
            entries = columns_of_rows([each.batch for each in found], of[order], rows[order])
        at = at[order]
        return Piece(entries, cut, at, int(at[-1]) if cut else stop - 1, where)

    def _of_part(self, part: Part, at: I64, places: I64) -> _Found:
        """Those entries of a part that are not dropped by columns. Runs in several threads."""
        self._check()
        order = np.argsort(places)
        at, places = at[order], places[order]
        unit = part.unit
        before = unit.bytes_read
        batch = unit.read(part.times.take(places))
        reading = Reading(1, len(at), line_bytes(batch), metadata_bytes(batch), max(0, unit.bytes_read - before))
        read = np.arange(len(batch), dtype=np.int64) if batch.selection is None else batch.selection
        rows = filtered(batch, self._pipeline.line_filters)
        if self._plan is not None and len(rows) and not is_special(batch, self._plan.names):
            rows = self._plan.run(batch, rows, self._check).going_on()
        kept = at if len(rows) == len(read) else at[np.searchsorted(read, rows)]
        return _Found(batch, places, read, kept, rows, reading)

    def _staged(self, batches: Sequence[Batch], of: I64, rows: I64, order: I64, limit: int) -> tuple[EntryColumns, I64]:
        """What the stages make of rows of batches, and the places in `of` and `rows` of those that come through."""
        through: list[int] = []
        made: list[Row] = []
        for first in range(0, len(order), ROWS_AT_ONCE):
            self._check()
            some = order[first : first + ROWS_AT_ONCE]
            ready: dict[int, Row] = {}
            for number in np.unique(of[some]).tolist():
                own = some[of[some] == number]
                all_rows = watched(rows_of(take_rows(batches[number], rows[own])), self._check)
                ready |= {place: row for place, (row, _) in zip(own.tolist(), all_rows, strict=True)}
            for place in some.tolist():
                row = ready[place]
                if self._pipeline.run_rest(row):
                    through.append(place)
                    made.append(row)
                    if len(made) == limit:
                        break
            if len(made) == limit and limit:
                break
        columns = columns_of_entries((row.ts for row in made), (row.line for row in made), map(labels_of, made))
        return columns, np.array(through, np.int64)


def _position(window: Window, at: int, found: _Found) -> Position:
    """Where an entry of the window stands; `found` is what was read of its part, the entry with it."""
    ts, stream = int(window.ts[at]), int(window.ids[at])
    same = window.same(ts, stream)
    place = int(np.searchsorted(same, at))
    row = int(found.read[np.searchsorted(found.places, window.place[at])])
    return Position(ts, stream, place if window.forward else len(same) - 1 - place, contents_of(found.batch, row))
