"""The bench's own idea of an answer, against a server's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.asking import newest, query_row
from bench.floors import ScanFloor
from bench.ingest import check_count, load
from bench.lines import APPS, Lines, all_lines
from bench.payloads import json_pushes, payloads
from bench.pushing import JSON
from bench.queries import Query, differ, parsing, scans, totals
from bench.server import MeasuredServer

LINES = 600


@pytest.fixture(scope="module")
def lines() -> Lines:
    return all_lines(LINES)


@pytest.fixture(scope="module")
def server(lines: Lines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredServer]:
    with MeasuredServer(tmp_path_factory.mktemp("bench") / "data") as one:
        load(one, payloads(lines, 100).bodies)
        yield one


def test_every_line_is_counted(server: MeasuredServer) -> None:
    check_count(server, LINES * len(APPS))
    with pytest.raises(RuntimeError, match="1799 lines were acknowledged and 1800 are there"):
        check_count(server, LINES * len(APPS) - 1)


@pytest.mark.parametrize("number", range(11))
def test_a_server_says_what_the_lines_say(server: MeasuredServer, lines: Lines, number: int) -> None:
    query = [*scans(lines), *parsing()][number]
    made = query_row(server, query, lines, ScanFloor(lines))
    assert made.cpu is not None
    assert made.cpu > 0


def test_a_wrong_answer_ends_the_run(server: MeasuredServer, lines: Lines) -> None:
    query = Query("regex filter, all", 'sum(count_over_time({app="json"}[1m]))', APPS, lambda _: {"": LINES - 1.0})
    with pytest.raises(RuntimeError, match="the lines say"):
        query_row(server, query, lines, ScanFloor(lines))


@pytest.mark.parametrize("limit", [1, 100, 1000])
def test_the_newest_lines_are_asked_for(server: MeasuredServer, lines: Lines, limit: int) -> None:
    newest(server, lines, limit)()


def test_other_newest_lines_end_the_run(server: MeasuredServer, lines: Lines) -> None:
    others = {app: [*kind[:-1], b"something else"] for app, kind in lines.items()}
    with pytest.raises(RuntimeError, match="newest"):
        newest(server, others, 100)()


def test_a_refused_push_ends_the_run(server: MeasuredServer) -> None:
    with pytest.raises(RuntimeError, match="a push was refused"):
        server.push((b"{",), 1, JSON)


def test_a_refused_query_ends_the_run(server: MeasuredServer) -> None:
    with pytest.raises(RuntimeError, match="400"):
        server.ask("/loki/api/v1/query_range", {"query": "{"})


def test_pushes_over_many_connections_all_arrive(lines: Lines, tmp_path: Path) -> None:
    with MeasuredServer(tmp_path / "data") as one:
        spent = one.cpu()
        took = one.push(tuple(json_pushes(lines["json"], "small")), 32, JSON)
        assert one.cpu() > spent
        assert one.written() > sum(map(len, lines["json"]))
        check_count(one, LINES)
        assert one.peak_rss() >= one.rss() > 10e6
    assert len(took) == LINES


def test_totals_are_sums_by_label() -> None:
    result: list[dict[str, object]] = [
        {"metric": {"app": "a"}, "values": [[0, "1"], [60, "2"]]},
        {"metric": {}, "values": [[0, "4"]]},
    ]
    assert totals(result, 2) == {"a": 6, "": 8}
    with pytest.raises(ValueError, match="more labels"):
        totals([{"metric": {"a": "b", "c": "d"}, "values": []}])


def test_totals_differ_by_more_than_rounding() -> None:
    assert not differ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0 + 1e-9})
    assert differ({"a": 1.0}, {"a": 1.1})
    assert differ({"a": 1.0}, {"a": 1.0, "b": 0.0})


def test_the_lines_of_one_request_share_a_trace(lines: Lines) -> None:
    trace = json.loads(lines["json"][LINES // 2])["trace_id"].encode()
    assert trace in lines["logfmt"][LINES // 2]
