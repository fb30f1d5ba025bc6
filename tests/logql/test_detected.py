"""Fields of the entries of a log query."""

from __future__ import annotations

import pytest

from logql import Budget, Direction, LimitError, LogResult, parse_log, run_log_query
from logql.detected import LONGEST_LINE, MOST_BYTES, DetectedField, detect_fields, field_values
from logql.detected_lines import LineParser
from logql.detected_types import FieldType
from storage.batch import Labels
from tests.logql.memory_source import MemorySource, Stored

WEB: Labels = (("app", "web"),)
API: Labels = (("app", "api"),)
END = 10**18


def unstopped() -> None:
    pass


def query(source: MemorySource, text: str = '{app=~".+"}', lines: int = 100) -> LogResult:
    return run_log_query(source, "t", parse_log(text), 0, END, lines, Direction.BACKWARD)


def fields(entries: list[Stored], text: str = '{app=~".+"}', limit: int = 1000) -> list[DetectedField]:
    return detect_fields(query(MemorySource(entries), text), limit, unstopped, Budget())


def values(entries: list[Stored], name: str, limit: int = 1000) -> list[str]:
    return field_values(query(MemorySource(entries)), name, limit, unstopped, Budget())


def test_where_fields_come_from() -> None:
    found = fields(
        [
            Stored(WEB, 1, b'{"status":200,"user":{"id":"u1"}}', (("trace", b"t1"),)),
            Stored(WEB, 2, b"status=404 took=15ms", (("trace", b"t2"),)),
            Stored(WEB, 3, b"plain words", (("trace", b"t2"),)),
        ]
    )
    # The oldest entry comes last: its value decides the type, and it is the first with a path.
    json, logfmt = LineParser.JSON, LineParser.LOGFMT
    assert found == [
        DetectedField("status", FieldType.INT, 2, (logfmt, json), ("status",)),
        DetectedField("took", FieldType.DURATION, 1, (logfmt,), ()),
        DetectedField("trace", FieldType.STRING, 2, (), ()),
        DetectedField("user_id", FieldType.STRING, 1, (json,), ("user", "id")),
    ]


def test_the_last_stream_and_its_oldest_entry_decide_the_type() -> None:
    entries = [Stored(WEB, 1, b"v=1"), Stored(WEB, 2, b"v=x"), Stored(API, 3, b"v=1h"), Stored(API, 0, b"v=2h")]
    assert [(each.type, each.cardinality) for each in fields(entries)] == [(FieldType.INT, 4)]
    assert [each.type for each in fields(entries, '{app="api"}')] == [FieldType.DURATION]


def test_labels_that_the_query_sets_are_fields_too() -> None:
    entries = [Stored(WEB, 1, b"v=1 w=2"), Stored(WEB, 2, b"v=3 w=2")]
    found = fields(entries, '{app="web"} | logfmt w | label_format v="new", app="x"')
    assert [(each.name, each.cardinality, each.parsers) for each in found] == [
        ("app", 1, (LineParser.LOGFMT,)),
        ("v", 3, (LineParser.LOGFMT,)),
        ("w", 1, (LineParser.LOGFMT,)),
    ]


def test_errors_are_no_fields() -> None:
    assert fields([Stored(WEB, 1, b"words")], '{app="web"} | json') == []
    assert fields([Stored(WEB, 1, b'{"__error__":"mine","x":1}')])[0].name == "x"


def test_names_of_stream_labels_are_taken() -> None:
    found = fields([Stored(WEB, 1, b"app=inner", (("app", b"meta"),))])
    assert [(each.name, each.cardinality) for each in found] == [("app_extracted", 2)]
    found = fields([Stored(WEB, 1, b"app=inner")], '{app="web"} | drop app')
    assert [each.name for each in found] == ["app"]


def test_the_first_fields_of_the_newest_entries_fill_the_limit() -> None:
    entries = [Stored(WEB, 1, b"a=1 b=1"), Stored(WEB, 2, b"c=1 b=2")]
    assert [(each.name, each.cardinality) for each in fields(entries, limit=2)] == [("b", 2), ("c", 1)]


def test_values_are_sorted_and_sizes_written_for_queries() -> None:
    entries = [Stored(WEB, ts, b"size=%b" % size) for ts, size in enumerate([b"7", b'"4 KB"', b"x", b"7"])]
    assert values(entries, "size") == ["4.0kB", "7", "x"]
    assert values(entries, "size", limit=2) == ["7", "x"]
    assert values(entries, "other") == []


@pytest.mark.parametrize("in_blocks", [True, False])
def test_no_more_lines_are_read_than_asked_for_and_those_are_the_newest(in_blocks: bool) -> None:
    entries = [Stored(WEB, ts, b"n=%d" % ts) for ts in range(1000)]
    source = MemorySource(entries, unit_size=100, in_blocks=in_blocks)
    result = query(source, lines=150)
    read = result.stats.memory + result.stats.blocks
    assert read.line_bytes == sum(len(entry.line) for entry in entries[-150:])
    assert read.units == 2
    assert sum(unit.reads for unit in source.units) == 2
    assert field_values(result, "n", 1000, unstopped, Budget()) == sorted(str(ts) for ts in range(850, 1000))


def test_a_line_that_is_too_long_shows_its_metadata_only() -> None:
    long = b"x=1 " + b"y" * LONGEST_LINE
    found = fields([Stored(WEB, 1, long, (("trace", b"t"),)), Stored(WEB, 2, b"z=1")])
    assert [each.name for each in found] == ["trace", "z"]


def test_a_hundred_megabytes_are_not_read_for_fields() -> None:
    assert fields([Stored(WEB, 1, b'{"x":' + b"[" * 100_000_000, (("trace", b"t"),))])[0].name == "trace"


def test_bytes_of_all_lines_together_are_bounded() -> None:
    many = MOST_BYTES // LONGEST_LINE
    padding = b" " * (LONGEST_LINE - 16)
    entries = [Stored(WEB, ts, b"n%d=1" % ts + padding) for ts in range(many + 4)]
    newest = {f"n{ts}" for ts in range(4, many + 4)}
    assert {each.name for each in fields(entries)} == newest


def test_the_check_is_asked_and_stops() -> None:
    class GoneError(Exception):
        pass

    def gone() -> None:
        raise GoneError

    result = query(MemorySource([Stored(WEB, 1, b"a=1")]))
    with pytest.raises(GoneError):
        detect_fields(result, 10, gone, Budget())
    with pytest.raises(GoneError):
        field_values(result, "a", 10, gone, Budget())


def test_what_is_held_is_counted_and_given_back() -> None:
    entries = [Stored(WEB, ts, b"k%d=%d" % (ts, ts)) for ts in range(100)]
    result = query(MemorySource(entries))
    budget = Budget(1_000_000)
    detect_fields(result, 1000, unstopped, budget)
    field_values(result, "k1", 1000, unstopped, budget)
    assert budget.used == 0
    small = Budget(10_000)
    with pytest.raises(LimitError):
        detect_fields(result, 1000, unstopped, small)
    assert small.used == 0
