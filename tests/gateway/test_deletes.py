"""Deletes over HTTP, with a real server: what is answered, what is seen afterwards, what `weir delete` says of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server, wait_until

SECOND = 1_000_000_000
DELETE = "/loki/api/v1/delete"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that can call deletes off for an hour, for many tenants."""
    sets = ["deletes.cancel_period=1h", "tenancy.enabled=true", "overrides.none.deletion_mode=disabled"]
    with running_server(tmp_path_factory.mktemp("patient") / "data", *flags(sets)) as server:
        yield server


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that carries deletes out at once."""
    sets = ["deletes.cancel_period=0s", "tenancy.enabled=true", "log.format=json"]
    sets += ["overrides.hides.deletion_mode=filter-only"]
    with running_server(tmp_path_factory.mktemp("prompt") / "data", *flags(sets)) as server:
        yield server


def flags(sets: list[str]) -> list[str]:
    return [word for each in sets for word in ("--set", each)]


class Tenant:
    """Requests of one tenant, whose entries are of the last hour."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        self.name = name
        self.client = httpx.Client(base_url=server.url, headers={"X-Scope-OrgID": name}, timeout=60)
        self.since = time.time_ns() - 3600 * SECOND

    def push(self, app: str, *lines: str, at: int = 0, **metadata: str) -> None:
        values = [[str(self.since + at + n), line, metadata] for n, line in enumerate(lines)]
        answer = self.client.post("/loki/api/v1/push", json={"streams": [{"stream": {"app": app}, "values": values}]})
        assert answer.status_code == 204, answer.text

    def lines(self, query: str = '{app=~".+"}') -> list[str]:
        params = {"query": query, "start": str(self.since), "limit": "1000", "direction": "forward"}
        answer = self.client.get("/loki/api/v1/query_range", params=params)
        assert answer.status_code == 200, answer.text
        found = [(int(ts), line) for each in answer.json()["data"]["result"] for ts, line in each["values"]]
        return [line for _, line in sorted(found)]

    def count(self) -> int:
        answer = self.client.get("/loki/api/v1/query", params={"query": 'sum(count_over_time({app=~".+"}[2h]))'})
        return sum(int(each["value"][1]) for each in answer.json()["data"]["result"])

    def delete(self, query: str, method: str = "POST", **params: str) -> httpx.Response:
        return self.client.request(method, DELETE, params={"query": query, "start": str(self.since)} | params)

    def deleted(self, query: str, **params: str) -> str:
        answer = self.delete(query, **params)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        return str(answer.headers["x-delete-request-id"])

    def listed(self, **params: str) -> list[dict[str, Any]]:
        answer = self.client.get(DELETE, params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        found: list[dict[str, Any]] = answer.json()
        return found

    def cancel(self, request_id: str, **params: str) -> tuple[int, str]:
        answer = self.client.delete(DELETE, params={"request_id": request_id} | params)
        return answer.status_code, answer.text

    def weir(self, *args: str) -> tuple[int, str, str]:
        done = weir(*args, "--addr", self.server.url, "--org-id", self.name)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def tenant(patient: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Tenant]:
    made = Tenant(patient, re.sub("[^a-z0-9]", "-", request.node.name))
    yield made
    made.client.close()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("flushed", [False, True])
def test_nobody_sees_what_is_deleted_once_it_is_answered(tenant: Tenant, method: str, *, flushed: bool) -> None:
    tenant.push("a", "one", "two")
    tenant.push("b", "three", at=10)
    if flushed:
        tenant.client.post("/flush")
    assert tenant.delete('{app="a"}', method).status_code == 204
    assert (tenant.lines(), tenant.count()) == (["three"], 1)
    tenant.push("a", "one")
    assert (tenant.lines(), tenant.count()) == (["one", "three"], 2)
    stats = tenant.client.get("/loki/api/v1/index/stats", params={"query": '{app=~".+"}', "start": str(tenant.since)})
    assert (stats.json()["streams"], stats.json()["entries"]) == (2, 2)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ('{app="a"} |= "x"', ["b x", '{"level":"error"}', '{"level":"info"}']),
        ('{app=~".+"} |~ "^.x" != "b"', ["b x", '{"level":"error"}', '{"level":"info"}', "a x"]),
        ('{app="a"} | json | level="error"', ["a x", "ax", "b x", '{"level":"info"}']),
        ('{app="a"} | json', ["b x"]),
        ('{app="a"} | trace="7"', ["ax", "b x", '{"level":"error"}', '{"level":"info"}']),
        ('{app="a"} | line_format "{{.trace}}" |= "7"', ["ax", "b x", '{"level":"error"}', '{"level":"info"}']),
        ("{}", []),
    ],
)
def test_filters_of_all_kinds_choose_what_goes(tenant: Tenant, query: str, left: list[str]) -> None:
    tenant.push("a", "a x", trace="7")
    tenant.push("a", "ax", '{"level":"error"}', '{"level":"info"}', at=5)
    tenant.push("b", "b x", at=9)
    told = json.loads(tenant.delete(query, "GET", dry_run="true").content)
    before = len(tenant.lines())
    tenant.deleted(query)
    assert sorted(tenant.lines()) == sorted(left)
    assert told["entries"] == before - len(left)


def test_a_delete_of_a_time_has_both_its_ends(tenant: Tenant) -> None:
    tenant.push("a", *"abcdef")
    tenant.deleted('{app="a"}', start=str(tenant.since + 1), end=str(tenant.since + 3))
    assert tenant.lines() == ["a", "e", "f"]


def test_a_tenant_deletes_its_own_lines_alone(patient: ServerProcess, tenant: Tenant) -> None:
    other = Tenant(patient, "another")
    for each in (tenant, other):
        each.push("a", "x")
    request_id = tenant.deleted("{}")
    assert (tenant.lines(), other.lines()) == ([], ["x"])
    assert other.listed() == []
    assert other.cancel(request_id) == (404, "could not find delete request with given id\n")
    assert httpx.get(f"{patient.url}{DELETE}").status_code == 401
    other.client.close()


def test_what_is_called_off_comes_back(tenant: Tenant) -> None:
    tenant.push("a", "x", "y")
    request_id = tenant.deleted('{app="a"} |= "x"')
    assert tenant.lines() == ["y"]
    assert tenant.cancel(request_id) == (204, "")
    assert (tenant.lines(), tenant.count()) == (["x", "y"], 2)
    assert tenant.cancel(request_id) == (404, "could not find delete request with given id\n")
    assert tenant.listed() == []
    (told,) = tenant.listed(all="true")
    assert (told["status"], told["ended_at"] >= told["created_at"]) == ("cancelled", True)


def test_the_list_has_lokis_fields_and_ours(tenant: Tenant) -> None:
    tenant.push("a", "x")
    start = int(time.time()) - 7200
    request_id = tenant.deleted('{app="a"}', start=str(start), end=str(start + 7000))
    later = tenant.deleted('{app="nobody"} |= "z"', max_interval="1h")
    first, second = tenant.listed()
    assert {key: first[key] for key in ("request_id", "query", "status", "user_id")} == {
        "request_id": request_id,
        "query": '{app="a"}',
        "status": "received",
        "user_id": tenant.name,
    }
    assert first["requested_by"].startswith("127.0.0.1 python-httpx/")
    text = tenant.client.get(DELETE).text
    assert f'"start_time":{start},"end_time":{start + 7000},' in text  # logcli reads whole seconds alone
    assert abs(first["created_at"] - time.time()) < 60
    assert first["due_at"] == pytest.approx(first["created_at"] + 3600, abs=0.01)
    assert (first["blocks"], first["blocks_left"], first["started_at"], first["ended_at"]) == (1, 1, 0, 0)
    assert first["bytes"] == first["bytes_left"] > 0
    assert (second["request_id"], second["status"], second["blocks"]) == (later, "processed", 0)
    near = tenant.listed(start=str(start - 10), end=str(start + 1))
    assert [each["request_id"] for each in near] == [request_id]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"query": ""}, "query not set"),
        ({"query": '{app="a"} |= '}, "invalid query expression"),
        ({"query": '{app="a"} |~ "("'}, "invalid query expression"),
        ({"query": '{app=~"("}'}, "invalid query expression"),
        ({"start": ""}, "start time not set"),
        ({"start": "yesterday"}, "invalid start time: require unix seconds or RFC3339 format"),
        ({"end": "today"}, "invalid end time: require unix seconds or RFC3339 format"),
        ({"end": "2200-01-01T00:00:00Z"}, "deletes in the future are not allowed"),
        ({"start": "1700000000", "end": "1700000000"}, "start time can't be greater than or equal to end time"),
        ({"max_interval": "1d"}, "invalid max_interval: valid time units are 's', 'm', 'h'"),
        ({"max_interval": "25h"}, "max_interval can't be greater than 24h0m0s"),
        (
            {"start": "1700000000", "end": "1700000060", "max_interval": "2m"},
            "max_interval can't be greater than the interval to be deleted (1m0s)",
        ),
    ],
)
def test_what_is_wrong_is_told_as_loki_tells_it(tenant: Tenant, params: dict[str, str], text: str) -> None:
    for method, more in (("POST", {}), ("GET", {"dry_run": "true"})):
        answer = (
            tenant.delete('{app="a"} |= "x"', method, **params, **more)
            if "query" not in params
            else (tenant.client.request(method, DELETE, params={"start": str(tenant.since)} | params | more))
        )
        assert (answer.status_code, answer.text) == (400, f"{text}\n")
    assert tenant.listed() == []


@pytest.mark.parametrize("method", ["DELETE", "GET", "POST", "PUT"])
def test_where_deletes_are_disabled_nothing_of_them_is_answered(patient: ServerProcess, method: str) -> None:
    params = {"query": '{app="a"}', "start": "1700000000", "request_id": "x"}
    with Tenant(patient, "none").client as client:
        answer = client.request(method, DELETE, params=params)
        assert (answer.status_code, answer.text) == (403, "deletion is not available for this tenant\n")
        if method == "GET":
            assert client.get("/loki/api/v1/cache/generation_numbers").status_code == 403


def test_the_generation_number_changes_with_what_deletes_hide(tenant: Tenant) -> None:
    def number() -> str:
        answer = tenant.client.get("/loki/api/v1/cache/generation_numbers")
        assert answer.headers["content-type"] == "application/json"
        found = answer.json()
        assert isinstance(found, str)
        return found

    assert number() == ""
    tenant.push("a", "one")
    params = {"query": '{app="a"}', "start": str(tenant.since)}
    delete_id = tenant.client.post(DELETE, params=params).headers["x-delete-request-id"]
    first = int(number())
    assert int(number()) == first
    assert tenant.client.delete(DELETE, params={"request_id": delete_id}).status_code == 204
    assert int(number()) > first


def test_a_delete_sent_again_is_the_first_one_until_there_is_more_to_delete(tenant: Tenant) -> None:
    tenant.push("a", "one")
    params = {"query": '{app="a"}', "start": str(tenant.since), "end": str(time.time_ns())}
    ids = [tenant.client.post(DELETE, params=params).headers["x-delete-request-id"] for _ in range(2)]
    assert ids[0] == ids[1]
    assert [each["request_id"] for each in tenant.client.get(DELETE).json()] == ids[:1]
    tenant.push("a", "two", at=5)
    assert tenant.lines() == ["two"]
    assert tenant.client.post(DELETE, params=params).headers["x-delete-request-id"] != ids[0]
    assert tenant.lines() == []


def test_a_dry_run_tells_streams_lines_and_bytes_and_deletes_nothing(tenant: Tenant) -> None:
    for flush in (True, False):
        tenant.push("a", *(f"line {n}" for n in range(10)), at=int(flush) * 100)
        tenant.push("b", "another", at=int(flush) * 100 + 50)
        if flush:
            tenant.client.post("/flush")
    everything = tenant.delete("{}", "GET", dry_run="true")
    assert everything.json() == {"streams": 2, "entries": 22, "bytes": 20 * len("line 0") + 2 * len("another")}
    some = tenant.delete('{app=~".+"} |= "7"', "GET", dry_run="true")
    assert some.json() == {"streams": 1, "entries": 2, "bytes": 2 * len("line 7")}
    none = tenant.delete('{app="c"}', "GET", dry_run="true")
    assert none.json() == {"streams": 0, "entries": 0, "bytes": 0}
    refused = tenant.delete("{}", "POST", dry_run="true")
    assert (refused.status_code, refused.text) == (400, "dry_run is for GET: a POST or PUT deletes\n")
    assert (len(tenant.lines()), tenant.listed()) == (22, [])


def test_a_delete_is_carried_out_told_and_counted(prompt: ServerProcess) -> None:
    tenant = Tenant(prompt, "carried-out")
    tenant.push("a", *(f"secret {n}" for n in range(500)))
    tenant.push("b", "stays")
    request_id = tenant.deleted('{app=~".+"} |= "secret"')
    assert tenant.lines() == ["stays"]
    assert wait_until(lambda: tenant.listed()[0]["status"] == "processed")
    (told,) = tenant.listed()
    assert (told["blocks_left"], told["bytes_left"]) == (0, 0)
    assert told["created_at"] <= told["started_at"] <= told["ended_at"]
    assert tenant.lines() == ["stays"]
    status, text = tenant.cancel(request_id)
    assert (status, text) == (400, "deletion of request which is in process or already processed is not allowed\n")
    page = tenant.client.get("/metrics").text
    assert 'weir_delete_requests{status="processed",tenant="carried-out"} 1.0' in page
    assert 'loki_compactor_delete_requests_processed_total{user="carried-out"} 1.0' in page
    assert 'loki_compactor_delete_requests_received_total{user="carried-out"} 1.0' in page
    assert "loki_compactor_pending_delete_requests_count 0.0" in page
    steps = [line for line in map(json.loads, prompt.log_text.splitlines()) if line.get("id") == request_id]
    assert [line["msg"] for line in steps] == ["delete accepted", "delete started", "delete processed"]
    assert all(line["query"] == '{app=~".+"} |= "secret"' and line["who"] for line in steps)
    tenant.client.close()


# -- the command


def test_with_filter_only_lines_are_hidden_and_stay_on_disk(prompt: ServerProcess) -> None:
    hides, deletes = Tenant(prompt, "hides"), Tenant(prompt, "deletes")
    for tenant in (hides, deletes):
        tenant.push("a", "one")
        assert tenant.client.post("/flush").status_code == 204
        params = {"query": '{app="a"}', "start": str(tenant.since)}
        assert tenant.client.post(DELETE, params=params).status_code == 204
        assert tenant.lines() == []

    def status(tenant: Tenant) -> str:
        return str(tenant.client.get(DELETE).json()[0]["status"])

    assert wait_until(lambda: status(deletes) == "processed", 30)
    assert status(hides) == "received"
    assert len(list(prompt.data_dir.glob("blocks/hides/*/*.parquet"))) == 1
    assert list(prompt.data_dir.glob("blocks/deletes/*/*.parquet")) == []
    for tenant in (hides, deletes):
        tenant.client.close()


def test_the_command_deletes_lists_and_calls_off(tenant: Tenant) -> None:
    tenant.push("web", "password=1", "fine")
    tenant.push("db", "fine too", at=5)
    code, out, err = tenant.weir("delete", '{app="web"} |= "password="', "--since", "2h", "--dry-run")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"Streams +1\nLines +1\nBytes +10 \(.*\)\n", out)
    assert len(tenant.lines()) == 3
    code, out, err = tenant.weir("delete", '{app="web"} |= "password="', "--since", "2h")
    assert (code, "hidden now" in err) == (0, True)
    request_id = out.strip()
    assert tenant.lines() == ["fine", "fine too"]
    code, out, _ = tenant.weir("delete", "list")
    head, row = out.splitlines()
    assert (code, head.split()) == (0, ["ID", "STATUS", "ASKED", "FROM", "TO", "LEFT", "QUERY"])
    assert row.startswith(f"{request_id}  received  ")
    assert row.endswith('{app="web"} |= "password="')
    assert "1 files," in row
    assert tenant.weir("delete", "cancel", request_id) == (0, "", "")
    assert len(tenant.lines()) == 3
    assert tenant.weir("delete", "list") == (0, "", "")
    code, out, _ = tenant.weir("delete", "list", "--all", "-o", "jsonl")
    assert (code, json.loads(out)["status"]) == (0, "cancelled")
    code, _, err = tenant.weir("delete", "cancel", request_id)
    assert (code, err) == (1, "weir: could not find delete request with given id\n")


def test_the_command_deletes_what_is_older(tenant: Tenant) -> None:
    tenant.push("web", "old", at=-10 * SECOND)
    tenant.push("web", "new", at=1800 * SECOND)
    tenant.push("db", "old too", at=-20 * SECOND)
    code, out, _ = tenant.weir("delete", '{app="web"}', "--older-than", "1h", "--dry-run")
    assert (code, out.splitlines()[1].split()) == (0, ["Lines", "1"])
    tenant.since -= 60 * SECOND
    assert tenant.weir("delete", "--older-than", "1h")[0] == 0
    assert tenant.lines() == ["new"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (['{app="a"}'], "say of which time"),
        (["--since", "1h"], "say which lines"),
        (["--older-than", "7d", "--since", "1h"], "all by itself"),
        (["--older-than", "long"], "is no duration"),
        (["--older-than", "5200w"], "before 1970"),
        (['{app="a"}', "--from", "noon"], "is no time"),
    ],
)
def test_the_command_asks_nothing_of_a_server_for_a_wrong_line(args: list[str], text: str) -> None:
    done = weir("delete", *args, "--addr", "http://127.0.0.1:1")
    assert (done.returncode, text in done.stderr, done.stdout) == (2, True, "")


def test_the_window_of_the_command_leaves_its_end_out(tenant: Tenant) -> None:
    tenant.push("a", *"abcd")
    window = ["--from", str(tenant.since + 1), "--to", str(tenant.since + 3)]
    assert tenant.weir("delete", '{app="a"}', *window)[0] == 0
    assert tenant.lines() == ["a", "d"]


# -- whatever happens to the server


@pytest.mark.parametrize("without_index", [False, True])
def test_what_was_answered_is_deleted_after_a_kill(tmp_path: Path, *, without_index: bool) -> None:
    with ServerProcess(tmp_path / "data", *flags(["tenancy.enabled=true", "deletes.cancel_period=1h"])) as server:
        tenant = Tenant(server, "t")
        tenant.push("a", "flushed")
        tenant.client.post("/flush")
        tenant.push("a", "in memory", at=10)
        tenant.push("b", "stays", at=20)
        request_id = tenant.deleted('{app="a"}')
        server.kill()
        if without_index:
            for path in server.data_dir.glob("index.db*"):
                path.unlink()
        server.start()
        tenant.client.close()
        again = Tenant(server, "t")
        again.since = tenant.since
        assert again.lines() == ["stays"]
        assert [each["request_id"] for each in again.listed()] == [request_id]
        again.push("a", "in memory", at=10)
        assert again.lines() == ["in memory", "stays"]
        assert again.cancel(request_id)[0] == 204
        assert again.lines() == ["flushed", "in memory", "stays"]
        again.client.close()
