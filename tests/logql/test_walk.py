from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import Direction, parse_log, run_log_query
from logql.position import BadCursor, Position, contents_of, position_of
from logql.result import Entry, LogResult
from logql.stats import Stats
from logql.walk import Piece, Read, Span, walk
from storage.batch import Labels
from storage.labels import labels_id
from tests.logql.memory_source import MemorySource, Stored, batch_of

A: Labels = (("app", "a"), ("env", "x"))
B: Labels = (("app", "b"), ("env", "x"))
C: Labels = (("app", "c"), ("env", "x"))
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
QUERIES = (
    '{env="x"}',
    '{env="x"} |= "o"',
    '{app="a"} != "one"',
    '{env="x"} | logfmt | v > 3',
    '{env="x"} | logfmt | line_format "{{.v}}"',
    '{env="x"} |= "nowhere"',
)

LINES = [b"one", b"two v=5", b"three v=1", b"\xff v=9", b""]

few = settings(max_examples=60)

stored = st.lists(
    st.builds(
        Stored,
        st.sampled_from([A, B, C]),
        st.integers(0, 6),
        st.sampled_from(LINES),
        st.sampled_from([(), (("m", b"1"),), (("k", b"2"), ("m", b"2"))]),
    ),
    max_size=40,
    unique=True,
)


def go_on() -> None:
    pass


def walked(source: MemorySource, query: str, span: Span, piece: int = 100, room: int = 4) -> list[Piece]:
    return list(walk(source, "tenant", parse_log(query), span, go_on, piece=piece, room=room))


def entries(pieces: list[Piece]) -> list[Entry]:
    return [entry for piece in pieces for entry in _of(piece)]


def _of(piece: Piece) -> Iterator[Entry]:
    made = LogResult((), Stats())
    made._entries, made._columns = None, piece.entries
    yield from made.entries


def whole(source: MemorySource, query: str, direction: Direction) -> list[Entry]:
    return list(run_log_query(source, "tenant", parse_log(query), 0, 1000, 10_000, direction).entries)


@few
@given(
    entries_=stored,
    unit_size=st.integers(1, 41),
    direction=st.sampled_from(list(Direction)),
    query=st.sampled_from(QUERIES),
    piece=st.sampled_from([1, 100, 1000]),
    room=st.integers(1, 50),
)
def test_a_walk_is_the_whole_answer_in_order(
    entries_: list[Stored], unit_size: int, direction: Direction, query: str, piece: int, room: int
) -> None:
    source = MemorySource(entries_, unit_size)
    pieces = walked(source, query, Span(0, 1000, direction), piece, room)
    assert entries(pieces) == whole(source, query, direction)
    assert not any(piece.cut for piece in pieces)


@few
@given(
    entries_=stored,
    sizes=st.lists(st.integers(1, 41), min_size=1, max_size=8),
    direction=st.sampled_from(list(Direction)),
    query=st.sampled_from(QUERIES),
    limit=st.integers(1, 5),
)
def test_pages_have_every_line_once_however_the_units_change_between_them(
    entries_: list[Stored], sizes: list[int], direction: Direction, query: str, limit: int
) -> None:
    wanted = whole(MemorySource(entries_), query, direction)
    after: Position | None = None
    found: list[Entry] = []
    for number in range(len(entries_) + 2):
        source = MemorySource(entries_, sizes[number % len(sizes)])
        pieces = walked(source, query, Span(0, 1000, direction, after, limit=limit))
        page = entries(pieces)
        assert len(page) <= limit
        found += page
        if not pieces or not pieces[-1].cut:
            break
        assert len(page) == limit
        after = position_of(str(pieces[-1].last()))
    assert found == wanted


@few
@given(entries_=stored, direction=st.sampled_from(list(Direction)), data=st.data())
def test_a_walk_goes_on_at_any_entry_even_one_that_the_query_does_not_find(
    entries_: list[Stored], direction: Direction, data: st.DataObject
) -> None:
    source = MemorySource(entries_, 3)
    every = whole(source, '{env="x"}', direction)
    if not every:
        return
    pieces = walked(source, '{env="x"}', Span(0, 1000, direction), piece=1)
    at = data.draw(st.integers(0, len(every) - 1))
    here = [piece.position(number) for piece in pieces for number in range(len(piece.entries))][at]
    only = data.draw(st.sampled_from(['{env="x"} |= "o"', '{app="a"}', '{app="c"}']))
    rest = entries(walked(source, only, Span(0, 1000, direction, here)))
    shown = whole(source, only, direction)
    assert rest == [entry for entry in shown if every.index(entry) > at]
    assert entries(walked(source, '{env="x"}', Span(0, 1000, direction, here, included=True))) == every[at:]


@few
@given(entries_=stored, direction=st.sampled_from(list(Direction)), data=st.data())
def test_a_position_stays_when_entries_before_it_go(
    entries_: list[Stored], direction: Direction, data: st.DataObject
) -> None:
    source = MemorySource(entries_, 5)
    every = whole(source, '{env="x"}', direction)
    pieces = walked(source, '{env="x"}', Span(0, 1000, direction), piece=1)
    positions = [piece.position(number) for piece in pieces for number in range(len(piece.entries))]
    if not every:
        return
    at = data.draw(st.integers(0, len(every) - 1))
    gone = set(data.draw(st.lists(st.integers(0, len(every) - 1))))
    kept = [entry for number, entry in enumerate(every) if number == at or number not in gone]
    left = [one for one in entries_ if any(_is(one, entry) for entry in kept)]
    rest = entries(walked(MemorySource(left, 2), '{env="x"}', Span(0, 1000, direction, positions[at])))
    assert rest == [entry for entry in every[at + 1 :] if entry in kept]


@few
@given(entries_=stored, direction=st.sampled_from(list(Direction)), data=st.data())
def test_a_position_stays_when_its_entry_goes(
    entries_: list[Stored], direction: Direction, data: st.DataObject
) -> None:
    source = MemorySource(entries_, 5)
    every = whole(source, '{env="x"}', direction)
    pieces = walked(source, '{env="x"}', Span(0, 1000, direction), piece=1)
    positions = [piece.position(number) for piece in pieces for number in range(len(piece.entries))]
    if not every:
        return
    at = data.draw(st.integers(0, len(every) - 1))
    left = [one for one in entries_ if not _is(one, every[at])]
    rest = entries(walked(MemorySource(left, 2), '{env="x"}', Span(0, 1000, direction, positions[at])))
    assert rest == every[at + 1 :]


def _is(one: Stored, entry: Entry) -> bool:
    named = tuple((name, value.decode()) for name, value in one.metadata)
    return (one.stream, one.ts, one.line, named) == (entry.stream, entry.ts, entry.line, entry.metadata)


def test_one_stream_alone() -> None:
    source = MemorySource([Stored(A, 1, b"a1"), Stored(B, 1, b"b1"), Stored(A, 2, b"a2")], 1)
    first = walked(source, '{env="x"}', Span(0, 1000))[0].position(0)
    lines = [entry.line for entry in entries(walked(source, '{env="x"}', Span(0, 1000, only=first.stream)))]
    assert lines == ([b"a1", b"a2"] if first.stream == labels_id(A) else [b"b1"])


def test_no_more_is_read_than_a_page_has_room_for() -> None:
    source = MemorySource([Stored(A, ts, b"line") for ts in range(500)], 10)
    read = Read()
    span = Span(0, 1000, limit=3)
    list(walk(source, "tenant", parse_log('{env="x"}'), span, go_on, read=read, room=50))
    assert read.sum.lines == 3


def test_what_is_read_is_counted() -> None:
    source = MemorySource([Stored(A, ts, b"line") for ts in range(10)], 3)
    read = Read()
    list(walk(source, "tenant", parse_log('{env="x"} |= "nothing"'), Span(0, 1000), go_on, read=read))
    assert (read.sum.lines, read.sum.line_bytes) == (10, 40)


def test_the_check_stops_a_walk() -> None:
    def stop() -> None:
        raise TimeoutError

    source = MemorySource([Stored(A, 1, b"line")])
    with pytest.raises(TimeoutError):
        list(walk(source, "tenant", parse_log('{env="x"}'), Span(0, 1000), stop))


@few
@given(
    st.builds(
        Position,
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**40 - 1),
        st.integers(0, 2**64 - 1),
    )
)
def test_a_cursor_is_text_for_urls_that_comes_back_as_the_same_position(position: Position) -> None:
    text = str(position)
    assert position_of(text) == position
    assert len(text) == 40
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.one_of(st.text(max_size=50), st.text("ABCxyz019-_=", min_size=40, max_size=40)))
def test_other_texts_are_no_cursors(text: str) -> None:
    with suppress(BadCursor):
        assert str(position_of(text)) == text


def test_contents_are_the_same_whatever_the_columns() -> None:
    one = Stored(A, 1, b"line", (("b", b"2"), ("a", b"1")))
    other = Stored(A, 9, b"other", (("c", b"2"),))
    assert contents_of(batch_of([one]), 0) == contents_of(batch_of([other, one]), 1)
    assert contents_of(batch_of([one]), 0) != contents_of(batch_of([other]), 0)
    moved = Stored(A, 1, b"lin", (("b", b"e2"), ("a", b"1")))
    assert contents_of(batch_of([one]), 0) != contents_of(batch_of([moved]), 0)
