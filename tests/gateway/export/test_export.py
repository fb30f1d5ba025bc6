"""Exports of a real server: every line once, whatever happens to the data, and a mark at the end."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess, wait_until

T = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
WIDE = {"start": str(T - 3600 * SECOND), "end": str(T + 3600 * SECOND)}

Record = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flags = ["--set", "tenancy.enabled=true", "--set", "query.max_exports=2", "--set", "compaction.enabled=false"]
    with ServerProcess(tmp_path_factory.mktemp("export") / "data", *flags) as running:
        yield running


_open: list[Client] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Clients are closed when their test ends."""
    yield
    while _open:
        _open.pop().http.close()


class Client:
    """One tenant's."""

    def __init__(self, server: ServerProcess, tenant: str) -> None:
        self.http = httpx.Client(base_url=server.url, headers={"X-Scope-OrgID": tenant}, timeout=60)
        _open.append(self)

    def push(
        self, labels: Mapping[str, str], entries: Sequence[tuple[int, str] | tuple[int, str, dict[str, str]]]
    ) -> None:
        values = [[str(ts), *rest] for ts, *rest in entries]
        answer = self.http.post("/loki/api/v1/push", json={"streams": [{"stream": labels, "values": values}]})
        assert answer.status_code == 204, answer.text

    def get(self, path: str = "/weir/v1/export", **params: str) -> httpx.Response:
        return self.http.get(path, params={**WIDE, **params})

    def export(self, query: str = '{app=~".+"}', **params: str) -> tuple[list[Record], list[Record]]:
        """Records and marks."""
        answer = self.get(query=query, **params)
        assert answer.status_code == 200, answer.text
        return split(answer.text)

    def pages(self, limit: int, between: Sequence[Any] = (), **params: str) -> list[Record]:
        found: list[Record] = []
        cursor: dict[str, str] = {}
        turns = list(between)
        while True:
            records, marks = self.export(limit=str(limit), **params, **cursor)
            assert len(records) <= limit
            found += records
            assert marks[-1]["complete"]
            if not marks[-1]["more"]:
                return found
            cursor = {"cursor": marks[-1]["cursor"]}
            if turns:
                turns.pop(0)()


def split(text: str) -> tuple[list[Record], list[Record]]:
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if "mark" not in row], [row["mark"] for row in rows if "mark" in row]


def names(records: Sequence[Record]) -> list[str]:
    return [record["line"] for record in records]


def tied(client: Client, count: int) -> list[str]:
    """Lines of four streams at three times, and what they are in order of (ts, arrival) by stream."""
    for number in range(count):
        app = f"app{number % 4}"
        client.push({"app": app}, [(T + number % 3, f"{app} {number}")])
    return [f"app{number % 4} {number}" for number in range(count)]


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pages_have_every_line_once_while_memory_goes_to_blocks_and_blocks_are_joined(
    server: ServerProcess, direction: str
) -> None:
    client = Client(server, f"pages-{direction}")
    wanted = tied(client, 30)
    flush = lambda: client.http.post("/flush")  # noqa: E731
    compact = lambda: client.http.post("/weir/v1/compact")  # noqa: E731
    in_memory = client.export(direction=direction)[0]
    assert sorted(names(in_memory)) == sorted(wanted)
    found = client.pages(4, [flush, client_push_late(client), flush, compact], direction=direction)
    # What came late stands before or behind, and is seen or not: nothing else is.
    assert [record for record in found if record["line"] != "late"] == in_memory
    assert [record for record in client.export(direction=direction)[0] if record["line"] != "late"] == in_memory
    assert client.pages(1, direction=direction) == client.export(direction=direction)[0]
    assert client.pages(7, direction=direction) == client.export(direction=direction)[0]


def client_push_late(client: Client) -> Any:
    return lambda: client.push({"app": "late"}, [(T - 1, "late"), (T + 9, "late")])


def test_a_cursor_is_good_after_a_restart_and_for_other_queries(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        client = Client(server, "t")
        tied(client, 12)
        records, marks = client.export(limit="5")
        whole = client.export()[0]
        server.kill()
        server.start()
        again = Client(server, "t")
        assert again.export()[0] == whole
        assert again.export(cursor=marks[-1]["cursor"])[0] == whole[5:]
        others = again.export('{app="app1"}', cursor=marks[-1]["cursor"])[0]
        assert others == [record for record in whole[5:] if record["labels"]["app"] == "app1"]
        assert records == whole[:5]


def test_a_cursor_of_an_entry_that_was_deleted_goes_on_behind_it(server: ServerProcess) -> None:
    client = Client(server, "deleted")
    client.push({"app": "a"}, [(T, f"line {number}") for number in range(6)])
    _, marks = client.export(limit="3")
    window = {"start": str(T - 1), "end": str(T + 1)}
    params = {"query": '{app="a"} |= "line 2"', **window}
    assert client.http.post("/loki/api/v1/delete", params=params).status_code == 204
    assert names(client.export()[0]) == ["line 0", "line 1", "line 3", "line 4", "line 5"]
    assert names(client.export(cursor=marks[-1]["cursor"])[0]) == ["line 3", "line 4", "line 5"]


def test_records_have_labels_metadata_and_what_was_parsed(server: ServerProcess) -> None:
    client = Client(server, "records")
    client.push({"app": "a"}, [(T, 'v=1 "q" <b>\n\u2028', {"trace": "x"}), (T + 1, "v=2")])
    fields = {"app": "a", "detected_level": "unknown", "service_name": "a"}
    records, marks = client.export('{app="a"} | logfmt')
    first = records[0]
    assert first["ts"] == str(T)
    assert first["line"] == 'v=1 "q" <b>\n\u2028'
    assert first["parsed"]["v"] == "1"
    assert first["structuredMetadata"]["trace"] == "x"
    assert first["labels"].items() <= fields.items()
    assert "trace" not in records[1].get("structuredMetadata", {})
    together = client.export('{app="a"} | logfmt', labels="together")[0]
    assert together[0]["labels"] == first["labels"] | first["structuredMetadata"] | first["parsed"]
    assert marks[-1] | {"cursor": ""} == {"complete": True, "more": False, "lines": 2, "ts": str(T + 1), "cursor": ""}
    assert split(client.get(query='{app="a"}', marks="off").text)[1] == []


def test_csv_has_a_head_cells_and_marks_that_no_line_can_be(server: ServerProcess) -> None:
    client = Client(server, "csv")
    client.push({"app": "a", "odd": 'x,"y"'}, [(T, 'one, "two"\n#three'), (T + 1, "plain")])
    answer = client.get(query='{app="a"}', format="csv", columns="odd,none")
    word = answer.headers["x-weir-mark"]
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    marks = [json.loads(row[1]) for row in rows if row[0] == word]
    assert [row for row in rows if row[0] != word] == [
        ["ts", "odd", "none", "line"],
        [str(T), 'x,"y"', "", 'one, "two"\n#three'],
        [str(T + 1), 'x,"y"', "", "plain"],
    ]
    assert marks[-1]["complete"]
    bare = client.get(query='{app="a"}', format="csv", marks="off", cursor=marks[-1]["cursor"])
    assert bare.text == ""
    assert "x-weir-mark" not in bare.headers
    labels = list(csv.reader(io.StringIO(client.get(query='{app="a"}', format="csv", marks="off").text, newline="")))
    assert json.loads(labels[1][1])["odd"] == 'x,"y"'


def test_several_tenants_are_exported_as_one(server: ServerProcess) -> None:
    for tenant in ("one", "two"):
        Client(server, tenant).push({"app": "a"}, [(T + number, f"{tenant} {number}") for number in range(3)])
    both = Client(server, "one|two")
    records, _ = both.export()
    assert sorted(names(records)) == sorted(f"{tenant} {number}" for tenant in ("one", "two") for number in range(3))
    assert {record["labels"]["__tenant_id__"] for record in records} == {"one", "two"}
    assert both.pages(2) == records


def test_what_cannot_be_read_is_refused(server: ServerProcess) -> None:
    client = Client(server, "refused")
    for params, text in (
        ({"query": '{app="a"}', "cursor": "x"}, "could not parse 'cursor' parameter"),
        ({"query": 'rate({app="a"}[1m])'}, "only log selector is supported"),
        ({"query": '{app="a"}', "format": "xml"}, "invalid format 'xml'"),
        ({"query": '{app="a"}', "columns": "a"}, "columns are of format=csv"),
        ({"query": '{app="a"}', "format": "csv", "columns": "a,a"}, "columns have to be different"),
        ({"query": '{app="a"}', "limit": "-1"}, "limit must be a positive value"),
    ):
        answer = client.get(**params)
        assert (answer.status_code, text in answer.text) == (400, True), answer.text


def filled(client: Client, lines: int) -> None:
    """So much that a socket's buffers cannot hold it."""
    long = "x" * 1000
    for first in range(0, lines, 2000):
        some = range(first, first + 2000)
        client.push({"app": "a"}, [(T + number, f"{number} {long}") for number in some])


def listed(client: Client) -> list[Record]:
    found: list[Record] = client.http.get("/weir/v1/queries").json()["queries"]
    return found


def test_an_export_holds_a_place_can_be_stopped_and_looks_cut_then(server: ServerProcess) -> None:
    client = Client(server, "places")
    filled(client, 40_000)
    params = {**WIDE, "query": '{app="a"}'}
    with client.http.stream("GET", "/weir/v1/export", params=params) as first:
        other = Client(server, "places")
        with other.http.stream("GET", "/weir/v1/export", params=params) as second:
            third = Client(server, "places")
            refused = third.get(query='{app="a"}')
            assert refused.status_code == 429
            assert "2 exports are running" in refused.text
            running = listed(third)
            assert [one["kind"] for one in running] == ["export", "export"]
            for one in running:
                assert third.http.delete(f"/weir/v1/queries/{one['id']}").status_code == 204
            for answer in (first, second):
                with pytest.raises(httpx.RemoteProtocolError):
                    for _ in answer.iter_bytes():
                        pass
    assert wait_until(lambda: not listed(third))
    records, marks = third.export()
    assert (len(records), marks[-1]["complete"]) == (40_000, True)
    assert [mark["lines"] for mark in marks] == sorted(mark["lines"] for mark in marks)
    assert len(marks) > 10
    middle = marks[4]
    assert third.export(cursor=middle["cursor"])[0] == records[middle["lines"] :]


def test_a_client_that_goes_gives_its_place_back(server: ServerProcess) -> None:
    client = Client(server, "goes")
    filled(client, 20_000)
    for _ in range(4):
        with client.http.stream("GET", "/weir/v1/export", params={**WIDE, "query": '{app="a"}'}) as answer:
            assert next(answer.iter_bytes())
        client = other = Client(server, "goes")
        assert wait_until(lambda other=other: not listed(other))  # type: ignore[misc]
    assert len(client.export()[0]) == 20_000


def test_what_comes_and_is_flushed_while_an_export_runs_does_not_show(server: ServerProcess) -> None:
    client, other = Client(server, "stable"), Client(server, "stable")
    filled(client, 20_000)
    with client.http.stream("GET", "/weir/v1/export", params={**WIDE, "query": '{app="a"}'}) as answer:
        chunks = answer.iter_bytes()
        start = next(chunks)
        other.http.post("/flush")
        other.push({"app": "a"}, [(T + SECOND, "new")])
        other.http.post("/flush")
        other.http.post("/weir/v1/compact")
        text = (start + b"".join(chunks)).decode()
    records, marks = split(text)
    assert [int(record["ts"]) for record in records] == list(range(T, T + 20_000))
    assert marks[-1]["complete"]
    assert names(other.export(cursor=marks[-1]["cursor"])[0]) == ["new"]


def test_gzip_is_sent_to_who_takes_it(server: ServerProcess) -> None:
    client = Client(server, "gzip")
    client.push({"app": "a"}, [(T, "line")])
    answer = client.get(query='{app="a"}')
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.http.get(
        "/weir/v1/export", params={**WIDE, "query": '{app="a"}'}, headers={"Accept-Encoding": "identity"}
    )
    assert "content-encoding" not in plain.headers
    assert plain.text == answer.text


def test_queries_are_answered_while_exports_wait_for_their_clients(server: ServerProcess) -> None:
    client = Client(server, "beside")
    filled(client, 20_000)
    with client.http.stream("GET", "/weir/v1/export", params={**WIDE, "query": '{app="a"}'}):
        done = threading.Event()
        found = Client(server, "beside").get("/loki/api/v1/query_range", query='{app="a"}', limit="1")
        done.set()
        assert found.json()["data"]["result"]
