"""`weir query --explain`: what is printed, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cli.explain import explanation_lines
from gateway.client.answers import decode_query
from gateway.client.errors import BadAnswer
from tests.gateway.client.canned import Told, canned_server, streams_body
from tests.gateway.weir_command import on_terminal, weir

SECOND = 1_000_000_000
EXPLAIN: dict[str, Any] = {
    "query": '{app="web"} |= "x" | json',
    "plans": [
        {
            "of": '{app="web"} |= "x" | json',
            "selector": '{app="web"}',
            "stages": [
                {"stage": '|= "x"', "by": "columns", "literals": [["x", "why"]]},
                {"stage": "| json", "by": "row by row", "labels": ["n"]},
            ],
            "made": "row by row",
        }
    ],
    "streams": {"considered": 1200, "matching": 3},
    "blocks": {"considered": 9, "skipped": {"outOfTime": 4, "noMatchingStream": 0}},
    "units": {
        "considered": 12,
        "read": {"blocks": 2, "memory": 1},
        "linesNotRead": {"timesSufficed": 0, "ofTomorrow": 2},
        "skipped": {"outOfTime": 0, "noMatchingStream": 6, "limitReached": 1},
    },
    "lines": {"read": 4000, "bytes": 3_145_728, "compressedBytes": 512},
    "entries": [{"step": "matched by streams and time", "entries": 4000}, {"step": "returned", "entries": 2}],
    "stages": [
        {"stage": "parse query", "seconds": 0.001, "cpuSeconds": 0.0005},
        {"stage": "read lines", "seconds": 1.25, "cpuSeconds": 0.5},
    ],
    "ofTomorrow": True,
}
TEXT = """\
Query     {app="web"} |= "x" | json

Plan of   {app="web"} |= "x" | json
  {app="web"}  index
  |= "x"       columns     line needs 'x' or 'why'
  | json       row by row  looks for n
  What comes through is made row by row.

Streams   3 of 1,200 match
Blocks    9
          4 skipped: out of the time range
Units     12 pieces of the other blocks and of memory
          2 read: of blocks
          1 read: of memory
          2 lines not read: ofTomorrow
          6 skipped: no matching stream in the time range
          1 skipped: the limit was reached without them
Lines     4,000 read, 3.0 MiB; 512 B from disk

Entries
matched by streams and time  4,000
returned                         2

Time              ms  CPU ms
parse query      1.0     0.5
read lines   1,250.0   500.0
all threads  1,251.0   500.5
"""


def body(explain: Any = EXPLAIN) -> bytes:
    answer = json.loads(streams_body([({"app": "web"}, [(2 * SECOND, "two"), (1 * SECOND, "one")])]))
    answer["data"]["explain"] = explain
    return json.dumps(answer).encode()


def test_the_explanation_is_printed_after_the_answer_on_stderr() -> None:
    with canned_server(lambda _: Told(body=body())) as server:
        done = weir("query", "{}", "--from", "0", "-o", "raw", "--explain", "--addr", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "two\none\n", TEXT)


def test_without_an_output_it_is_the_output() -> None:
    with canned_server(lambda _: Told(body=body())) as server:
        done = weir("query", "{}", "--from", "0", "-o", "none", "--explain", "--addr", server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, TEXT, "")
        done = weir("query", "{}", "--from", "0", "-o", "none", "--addr", server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_metric_query_is_explained_likewise() -> None:
    answer = json.dumps({"data": {"resultType": "matrix", "result": [], "explain": EXPLAIN}}).encode()
    with canned_server(lambda _: Told(body=answer)) as server:
        done = weir("query", "rate({}[1m])", "--explain", "--addr", server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", TEXT)
        done = weir("query", "rate({}[1m])", "--explain", "-o", "none", "--addr", server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, TEXT, "")


def test_only_the_first_page_is_explained() -> None:
    pages = [body(), streams_body([({"app": "web"}, [(1 * SECOND, "one")])])]
    with canned_server(lambda _: Told(body=pages.pop(0))) as server:
        done = weir("query", "{}", "--from", "0", "-o", "raw", "--explain", "--addr", server.url)
        assert [asked.params.get("explain") for asked in server.asked] == [["true"], None]
    assert (done.returncode, done.stderr) == (0, TEXT)


def test_it_is_not_asked_for_unless_wanted() -> None:
    with canned_server(lambda _: Told(body=streams_body([]))) as server:
        assert weir("query", "{}", "--addr", server.url).returncode == 0
        assert "explain" not in server.asked[0].params


def test_a_server_that_does_not_explain_is_said_to() -> None:
    with canned_server(lambda _: Told(body=streams_body([]))) as server:
        done = weir("query", "{}", "--explain", "--addr", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "weir: the server does not explain queries\n")


@pytest.mark.parametrize("output", ["raw", "none"])
def test_a_query_cannot_move_the_cursor_of_a_terminal(output: str) -> None:
    hostile = EXPLAIN | {"query": '{app="\x1b[2J"}'}
    with canned_server(lambda _: Told(body=body(hostile))) as server:
        code, screen = on_terminal("query", "{}", "--from", "0", "-o", output, "--explain", "--addr", server.url)
    assert code == 0
    assert "\x1b[2J" not in screen
    assert r'Query     {app="\x1b[2J"}' in screen


def test_an_explanation_of_another_shape_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match=r"data\.explain"):
        decode_query(body({"query": 1}))


def test_a_query_without_entries_has_no_plan() -> None:
    answer = decode_query(body(EXPLAIN | {"plans": [], "stages": [], "entries": []}))
    assert answer.explanation is not None
    lines = list(explanation_lines(answer.explanation))
    assert not any(line.startswith("Plan") for line in lines)
    assert lines[-1].split() == ["all", "threads", "0.0", "0.0"]
