"""The lines around an entry, of a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess, running_server

T = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000

Context = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("context") / "data") as running:
        push(running, "a", [(T + number // 4, f"a {number}") for number in range(20)])
        push(running, "b", [(T + number // 4, f"b {number}") for number in range(20)])
        httpx.post(f"{running.url}/flush").raise_for_status()
        push(running, "a", [(T + 2, "a late"), (T - 40 * DAY, "a long ago"), (T + 40 * DAY, "a far off")])
        yield running


def push(server: ServerProcess, app: str, entries: list[tuple[int, str]]) -> None:
    values = [[str(ts), line] for ts, line in entries]
    streams = [{"stream": {"app": app, "env": "x"}, "values": values}]
    httpx.post(f"{server.url}/loki/api/v1/push", json={"streams": streams}).raise_for_status()


@pytest.fixture(scope="module")
def context(server: ServerProcess) -> Iterator[Context]:
    with httpx.Client(base_url=server.url) as client:

        def ask(**params: Any) -> dict[str, Any]:
            answer = client.get("/weir/v1/context", params=params)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()["data"]
            return found

        yield ask


@pytest.fixture(scope="module")
def whole(server: ServerProcess) -> list[dict[str, Any]]:
    window = {"start": str(T - 50 * DAY), "end": str(T + 50 * DAY), "query": '{env="x"}', "format": "ndjson"}
    text = httpx.get(f"{server.url}/weir/v1/export", params=window).text
    rows = [httpx.Response(200, text=line).json() for line in text.splitlines()]
    return [row for row in rows if "mark" not in row]


def lines(found: dict[str, Any]) -> list[str]:
    return [entry["line"] for entry in found["entries"]]


def test_every_entry_has_its_own_place_among_equals(context: Context, whole: list[dict[str, Any]]) -> None:
    """From each entry's cursor the lines around it are those that stand around it in the order of all."""
    around = context(query='{env="x"}', ts=T + 2, of="all", before=100, after=100)
    assert lines(around) == [row["line"] for row in whole]
    for at, entry in enumerate(around["entries"]):
        found = context(query='{env="x"}', cursor=entry["cursor"], of="all", before=3, after=2)
        assert lines(found) == [row["line"] for row in whole[max(0, at - 3) : at + 3]]
        assert found["at"] == min(3, at)
        assert found["entries"][found["at"]] == entry


def test_the_lines_of_the_entrys_stream_alone(context: Context, whole: list[dict[str, Any]]) -> None:
    own = [row["line"] for row in whole if row["labels"]["app"] == "a"]
    assert "a late" in own
    found = context(stream='{app="a", env="x", service_name="a"}', ts=T + 2, before=5, after=5)
    at = own.index("a 8")
    assert lines(found) == own[at - 5 : at + 6]
    assert found["at"] == 5
    again = context(query='{env="x"}', cursor=found["entries"][3]["cursor"], before=1, after=1)
    assert lines(again) == own[at - 3 : at]


def test_what_is_shown_may_be_another_query_than_what_found_the_entry(context: Context) -> None:
    entry = context(stream='{app="a", env="x", service_name="a"}', ts=T, before=0, after=0)["entries"][0]
    found = context(query='{app="b"} |= "b 1"', cursor=entry["cursor"], of="all", before=2, after=2)
    assert found["at"] is None
    assert len(found["entries"]) <= 4
    assert all(line.startswith("b 1") for line in lines(found))


def test_a_time_without_an_entry_is_a_place_too(context: Context) -> None:
    found = context(query='{env="x"}', ts=T - DAY, of="all", before=2, after=2)
    assert (lines(found)[0], found["at"], len(found["entries"])) == ("a long ago", None, 3)


def test_what_cannot_be_read_is_refused(server: ServerProcess) -> None:
    for params, text in (
        ({"query": '{env="x"}'}, "say which entry"),
        ({"query": '{env="x"}', "ts": "soon"}, "could not parse 'ts' parameter"),
        ({"query": '{env="x"}', "cursor": "abc"}, "could not parse 'cursor' parameter"),
        ({"query": '{env="x"}', "ts": str(T - 1)}, "no entry has that time"),
        ({"stream": '{env=~"x"}', "ts": str(T)}, "'stream' has to be a label set"),
        ({"query": '{env="x"}', "ts": str(T), "before": "-1"}, "before must not be negative"),
        ({"query": '{env="x"}', "ts": str(T), "before": "99999"}, "max entries limit"),
    ):
        answer = httpx.get(f"{server.url}/weir/v1/context", params=params)
        assert (answer.status_code, text in answer.text) == (400, True), answer.text
