from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import (
    Direction,
    Explanation,
    LimitError,
    Step,
    check_entries_limit,
    group_by_labels,
    group_by_stream,
    parse_log,
    run_log_query,
)
from logql.result import LogResult
from storage.batch import Labels
from storage.labels import labels_id
from tests.logql.memory_source import MemorySource, Stored

A: Labels = (("app", "a"), ("env", "x"))
B: Labels = (("app", "b"), ("env", "x"))
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def ask(
    source: MemorySource, query: str = '{env="x"}', limit: int = 100, direction: Direction = FORWARD, interval: int = 0
) -> LogResult:
    return run_log_query(source, "tenant", parse_log(query), 0, 1000, limit, direction, interval=interval)


def lines(result: LogResult) -> list[bytes]:
    return [entry.line for entry in result.entries]


stored = st.lists(
    st.builds(
        Stored,
        st.sampled_from([A, B]),
        st.integers(0, 12),
        st.sampled_from([b"one", b"two", b"three", b"\xff"]),
        st.sampled_from([(), (("m", b"1"),), (("app", b"z"), ("m", b"2"))]),
    ),
    max_size=40,
)


@given(
    entries=stored,
    unit_size=st.integers(1, 41),
    limit=st.integers(1, 45),
    direction=st.sampled_from(list(Direction)),
    needle=st.sampled_from(["", "o", "t"]),
)
def test_the_answer_does_not_depend_on_units(
    entries: list[Stored], unit_size: int, limit: int, direction: Direction, needle: str
) -> None:
    ordered = entries if direction is FORWARD else entries[::-1]
    sign = 1 if direction is FORWARD else -1
    ordered = sorted(ordered, key=lambda entry: (sign * entry.ts, labels_id(entry.stream)))
    wanted = [(entry.ts, entry.stream, entry.line) for entry in ordered if needle.encode() in entry.line][:limit]
    for query in (
        f'{{env="x"}} |= "{needle}"',
        f'{{env="x"}} | line_format "{{{{__line__}}}}" |= "{needle}"',
        f'{{env="x"}} |= "{needle}" | line_format "{{{{__line__}}}}"',
    ):
        result = ask(MemorySource(entries, unit_size), query, limit, direction)
        assert [(entry.ts, entry.stream, entry.line) for entry in result.entries] == wanted
        assert result.stats.entries_returned == len(wanted)


def numbered(n: int) -> list[Stored]:
    return [Stored(A, ts, str(ts).encode()) for ts in range(n)]


@pytest.mark.parametrize(("direction", "first"), [(FORWARD, b"0"), (BACKWARD, b"99")])
def test_units_that_cannot_change_the_answer_are_not_read(direction: Direction, first: bytes) -> None:
    source = MemorySource(numbered(100), unit_size=10)
    assert lines(ask(source, limit=15, direction=direction))[0] == first
    assert [unit.looks for unit in source.units] == [1, 1] + [0] * 8


def test_a_unit_that_may_tie_with_the_last_entry_is_read() -> None:
    streams = sorted([A, B], key=labels_id)
    source = MemorySource([Stored(streams[1], 5, b"later"), Stored(streams[0], 5, b"sooner")], unit_size=1)
    assert lines(ask(source, limit=1)) == [b"sooner"]
    assert lines(ask(source, limit=1, direction=BACKWARD)) == [b"sooner"]


def test_equal_times_of_a_stream_come_in_order_of_arrival() -> None:
    entries = [Stored(A, 5, b"1"), Stored(A, 5, b"2"), Stored(A, 5, b"3")]
    assert lines(ask(MemorySource(entries, 1))) == [b"1", b"2", b"3"]
    assert lines(ask(MemorySource(entries, 2), direction=BACKWARD)) == [b"3", b"2", b"1"]
    assert lines(ask(MemorySource(entries, 2), direction=BACKWARD, limit=2)) == [b"3", b"2"]


@pytest.mark.parametrize(
    ("direction", "limit", "wanted"),
    [(FORWARD, 100, [0, 10, 20]), (BACKWARD, 100, [29, 19, 9]), (FORWARD, 15, [0, 10]), (BACKWARD, 10, [29])],
)
def test_an_interval_thins_the_entries_within_the_limit(direction: Direction, limit: int, wanted: list[int]) -> None:
    result = ask(MemorySource(numbered(30), 7), limit=limit, direction=direction, interval=10)
    assert [entry.ts for entry in result.entries] == wanted


def test_stats_are_what_was_read() -> None:
    entries = [Stored(A, 1, b"abc", (("k", b"value"),)), Stored(A, 2, b"", ()), Stored(B, 3, b"\xffx", (("kk", b"v"),))]
    stats = ask(MemorySource(entries, 1, in_blocks=True), '{env="x"} != "abc"').stats
    assert (stats.lines, stats.bytes, stats.metadata_bytes) == (3, 5 + 6 + 3, 6 + 3)
    assert (stats.memory.units, stats.blocks.units) == (2, 1)
    assert (stats.memory.lines, stats.memory.line_bytes, stats.memory.compressed_bytes) == (2, 5, 0)
    assert (stats.blocks.lines, stats.blocks.compressed_bytes) == (1, 10)
    assert (stats.post_filter_lines, stats.entries_returned) == (2, 2)
    assert stats.exec_time > 0


def test_metadata_of_keys_without_columns_is_counted_and_shown() -> None:
    wide = tuple((f"k{key:03}", b"v") for key in range(100))
    result = ask(MemorySource([Stored(A, 1, b"", wide), Stored(A, 2, b"", wide[:70])]))
    assert result.stats.metadata_bytes == 170 * 5
    assert [len(entry.metadata) for entry in result.entries] == [100, 70]
    assert result.entries[0].metadata[99] == ("k099", "v")


def test_metadata_named_as_a_stream_label_is_shown_as_extracted() -> None:
    (entry,) = ask(MemorySource([Stored(A, 1, b"x", (("app", b"other"), ("m", b"1")))])).entries
    assert entry.labels == (("app", "a"), ("app_extracted", "other"), ("env", "x"), ("m", "1"))
    assert entry.metadata == (("app_extracted", "other"), ("m", "1"))


def test_entries_are_grouped_by_all_their_labels_or_by_stream() -> None:
    entries = [
        Stored(B, 1, b"1"),
        Stored(A, 2, b"2", (("m", b"2"),)),
        Stored(A, 3, b"3", (("m", b"1"),)),
        Stored(A, 3, b"4", (("m", b"2"),)),
    ]
    result = ask(MemorySource(entries), direction=BACKWARD)
    assert [
        (dict(group.labels), [entry.line for entry in group.entries]) for group in group_by_labels(result.entries)
    ] == [
        ({"app": "a", "env": "x", "m": "1"}, [b"3"]),
        ({"app": "a", "env": "x", "m": "2"}, [b"4", b"2"]),
        ({"app": "b", "env": "x"}, [b"1"]),
    ]
    assert [(group.labels, [entry.line for entry in group.entries]) for group in group_by_stream(result.entries)] == [
        (A, [b"3", b"4", b"2"]),
        (B, [b"1"]),
    ]


def test_labels_of_stages_stand_beside_those_of_the_stream() -> None:
    (entry,) = ask(
        MemorySource([Stored(A, 1, b"level=warn", (("m", b"1"),))]),
        '{env="x"} | logfmt | label_format app="{{.app}}2", n=m | level>1',
    ).entries
    assert (entry.stream, entry.metadata) == ((("env", "x"),), ())
    assert dict(entry.parsed) == {
        "__error__": "LabelFilterErr",
        "__error_details__": 'strconv.ParseFloat: parsing "warn": invalid syntax',
        "app": "a2",
        "level": "warn",
        "n": "1",
    }
    assert entry.labels == tuple(sorted((*entry.stream, *entry.parsed)))


def test_entries_are_grouped_by_the_labels_that_stages_leave() -> None:
    entries = [Stored(A, 1, b"k=1"), Stored(B, 2, b"k=1"), Stored(B, 3, b"k=2")]
    result = ask(MemorySource(entries), '{env="x"} | logfmt | keep k')
    groups = group_by_labels(result.entries)
    assert [(group.labels, [entry.ts for entry in group.entries]) for group in groups] == [
        ((("k", "1"),), [1, 2]),
        ((("k", "2"),), [3]),
    ]
    assert [(group.labels, len(group.entries)) for group in group_by_stream(result.entries)] == [((), 3)]


@pytest.mark.parametrize("direction", list(Direction))
def test_stages_run_on_no_more_rows_than_it_takes(direction: Direction) -> None:
    result = ask(MemorySource(numbered(900), 900), '{env="x"} | line_format "x"', limit=5, direction=direction)
    assert result.stats.post_filter_lines == 5
    assert len(result.entries) == 5


@pytest.mark.parametrize("filtered", ["", '|= "l"'])
@pytest.mark.parametrize("direction", list(Direction))
def test_stages_that_drop_nothing_run_on_the_answer_alone_though_units_overlap(
    direction: Direction, filtered: str
) -> None:
    entries = [Stored(A, ts, b"line %d" % ts) for unit in range(10) for ts in range(unit, 1000, 10)]
    found = Explanation()
    query = parse_log(f'{{env="x"}} {filtered} | line_format "{{{{__line__}}}}!" | label_format n="1"')
    result = run_log_query(MemorySource(entries, 100), "t", query, 0, 1000, 25, direction, explanation=found)
    wanted = range(25) if direction is FORWARD else range(999, 974, -1)
    assert lines(result) == [b"line %d!" % ts for ts in wanted]
    assert found.steps()[Step.ROWS] == 25


def test_the_check_stops_a_query_between_rows() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise TimeoutError

    source = MemorySource(numbered(5000), unit_size=5000)
    expr = parse_log('{env="x"} | label_format a=b | app="none"')
    with pytest.raises(TimeoutError):
        run_log_query(source, "t", expr, 0, 5000, 10, FORWARD, check=check)
    assert len(calls) == 4


def test_the_check_stops_a_query_between_units() -> None:
    source = MemorySource(numbered(100), unit_size=10)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run_log_query(source, "tenant", parse_log('{app="a"}'), 0, 1000, 100, FORWARD, check=check)
    assert sum(unit.looks for unit in source.units) == 2


def test_the_entries_limit_has_lokis_text() -> None:
    check_entries_limit(5000, 5000)
    check_entries_limit(9000, 0)
    with pytest.raises(LimitError) as caught:
        check_entries_limit(6000, 5000)
    assert str(caught.value) == (
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)"
    )
