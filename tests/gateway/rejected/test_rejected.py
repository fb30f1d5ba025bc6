"""GET /weir/v1/rejected of a real server: every door says what it refused."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import msgpack
import pytest
from starlette.requests import Request

from config import Settings
from config.settings import Tenancy
from gateway.auth import GRANT, Grant, Scope
from gateway.rejected.journal import Journal, Sender
from gateway.rejected.routes import refusals, sees_strangers
from tests.server import ServerProcess, running_server, wait_until

NOW = time.time_ns()
HOUR = 3600 * 10**9
PORT = re.compile(r"forward=127\.0\.0\.1:(\d+)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("rejected")
    settings = folder / "weir.yml"
    settings.write_text(
        """
tenancy: {enabled: true}
forward: {tenant: fluent}
limits: {max_line_size: 100, max_label_names_per_series: 3}
overrides:
  limited: {max_streams_per_user: 1}
  slow: {ingestion_rate_mb: 0.001, ingestion_burst_size_mb: 0.001}
  ordered: {out_of_order_window: 1m}
  blocked: {block_ingestion_until: 2099-01-01T00:00:00Z}
  strict: {enforced_labels: [team]}
"""
    )
    with running_server(folder / "data", "--config", str(settings), "--forward", "127.0.0.1:0") as running:
        yield running


def post(server: ServerProcess, tenant: str, path: str, **what: Any) -> httpx.Response:
    return _ask("POST", server, tenant, path, **what)


def get(server: ServerProcess, tenant: str, path: str, **params: str) -> httpx.Response:
    return _ask("GET", server, tenant, path, params=params)


def _ask(method: str, server: ServerProcess, tenant: str, path: str, **what: Any) -> httpx.Response:
    headers = {"User-Agent": "agent/1.2"} | ({"X-Scope-OrgID": tenant} if tenant else {}) | what.pop("headers", {})
    return httpx.request(method, server.url + path, headers=headers, **what)


def push(server: ServerProcess, tenant: str, labels: dict[str, str], *lines: tuple[int, str]) -> httpx.Response:
    body = {"streams": [{"stream": labels, "values": [[str(ts), line] for ts, line in lines]}]}
    return post(server, tenant, "/loki/api/v1/push", json=body)


def rejected(server: ServerProcess, tenant: str, **params: Any) -> dict[str, dict[str, Any]]:
    """What was refused of a tenant alone, by reason."""
    found = get(server, tenant, "/weir/v1/rejected", **params).raise_for_status().json()
    return {one["reason"]: one for one in found["rejected"] if one["tenant"] == tenant}


def test_a_line_that_was_refused_is_shown_with_who_sent_it(server: ServerProcess) -> None:
    before = time.time_ns()
    answer = push(server, "one", {"app": "web"}, (NOW, "fine"), (NOW + 1, "x" * 101), (NOW + 2, "y" * 102))
    assert answer.status_code == 400
    (found,) = rejected(server, "one").values()
    assert (found["reason"], found["lines"], found["bytes"], found["requests"]) == ("line_too_long", 2, 203, 0)
    assert "limits.max_line_size" in found["advice"]
    assert before < int(found["first"]) == int(found["last"]) < time.time_ns()
    (sample,) = found["samples"]
    assert (sample["door"], sample["client"], sample["userAgent"]) == ("loki", "127.0.0.1", "agent/1.2")
    assert sample["stream"] == {"app": "web", "service_name": "web"}
    assert (sample["line"], sample["lineBytes"], sample["timestamp"]) == ("x" * 101, 101, str(NOW + 1))
    assert sample["error"].startswith("max entry size '100' bytes exceeded for stream")
    assert sample["count"] == 2


LABELS = {"a": "1", "b": "2", "c": "3", "d": "4"}
REFUSED = [
    ("two", {"app": "a"}, [(NOW + 24 * HOUR, "x")], "too_far_in_future", 1),
    ("two", LABELS, [(NOW, "x"), (NOW, "y")], "max_label_names_per_series", 2),
    ("two", {"app": "a"}, [(0, "x")], "timestamp_before_epoch", 1),
    ("strict", {"app": "a"}, [(NOW, "x")], "missing_enforced_labels", 1),
    ("blocked", {"app": "a"}, [(NOW, "x")], "blocked_ingestion", 1),
    ("slow", {"app": "a"}, [(NOW + n, "x" * 99) for n in range(20)], "rate_limited", 20),
    ("ordered", {"app": "a"}, [(NOW, "x"), (NOW - HOUR, "late")], "too_far_behind", 1),
]


@pytest.mark.parametrize(("tenant", "labels", "lines", "reason", "count"), REFUSED)
def test_every_reason_has_a_sample(
    server: ServerProcess, tenant: str, labels: dict[str, str], lines: list[tuple[int, str]], reason: str, count: int
) -> None:
    answer = push(server, tenant, labels, *lines)
    found = rejected(server, tenant, reason=reason)
    assert list(found) == [reason]
    assert found[reason]["lines"] == count
    (sample,) = found[reason]["samples"]
    assert set(labels) <= set(sample["stream"])
    assert sample["line"] == lines[-1 if reason == "too_far_behind" else 0][1]
    assert sample["error"] == answer.text.rstrip("\n")[:512]
    assert found[reason]["requests"] == 0, "a push that is told of line by line is not told of once more"


def test_streams_over_the_limit_are_shown_one_by_one(server: ServerProcess) -> None:
    push(server, "limited", {"app": "first"}, (NOW, "x"))
    for app in ("second", "third"):
        assert push(server, "limited", {"app": app}, (NOW, app)).status_code == 429
    found = rejected(server, "limited")["stream_limit"]
    assert [sample["stream"]["app"] for sample in found["samples"]] == ["third", "second"]


def test_a_selector_chooses_streams_and_keeps_what_came_to_none(server: ServerProcess) -> None:
    for app in ("a", "b"):
        push(server, "chosen", {"app": app}, (NOW, "x" * 101))
    post(server, "chosen", "/loki/api/v1/push", content=b"nonsense")
    found = rejected(server, "chosen", query='{app="a"}')
    assert [sample["stream"]["app"] for sample in found["line_too_long"]["samples"]] == ["a"]
    assert found["bad_request"]["samples"][0]["stream"] is None
    assert list(rejected(server, "chosen", query='{app="c"}')) == ["bad_request"]
    assert rejected(server, "chosen", since="1h")
    assert get(server, "chosen", "/weir/v1/rejected", query="{").status_code == 400


REQUESTS = [
    ("/loki/api/v1/push", b"{nope", {"Content-Type": "application/json"}, "bad_request", "loki", "readFieldHash"),
    ("/loki/api/v1/push", b"x", {"Content-Type": "text/plain", "Content-Encoding": "br"}, "bad_request", "loki", ""),
    ("/otlp/v1/logs", b"x", {"Content-Type": "text/plain"}, "bad_request", "otlp", "content type"),
    ("/log", b'{"level": "info", "message": "m"}', {}, "bad_request", "log", "service is missing"),
    ("/loki/v1/push", b"{}", {"Content-Type": "application/json"}, "wrong_path", "http", "POST /loki/v1/push"),
    ("/loki/api/v1/push", b'{"streams": []}', {"Content-Type": "application/json"}, "no_streams", "loki", "at least"),
]


@pytest.mark.parametrize(("path", "body", "headers", "reason", "door", "text"), REQUESTS)
def test_a_request_that_failed_whole_is_shown_with_its_text(
    server: ServerProcess, path: str, body: bytes, headers: dict[str, str], reason: str, door: str, text: str
) -> None:
    tenant = f"r{REQUESTS.index((path, body, headers, reason, door, text))}"
    assert post(server, tenant, path, content=body, headers=headers).status_code >= 400
    found = rejected(server, tenant)
    assert list(found) == [reason]
    (sample,) = found[reason]["samples"]
    assert (found[reason]["requests"], sample["door"], sample["line"]) == (1, door, None)
    assert text in sample["error"]


def test_entries_of_log_are_shown_with_their_json(server: ServerProcess) -> None:
    entries = [{"level": "info", "message": "m", "service": "s"}, {"level": "loud", "message": "m", "service": "s"}]
    assert post(server, "entries", "/log", json=entries).status_code == 202
    found = rejected(server, "entries")["bad_field"]
    (sample,) = found["samples"]
    assert (found["lines"], found["requests"]) == (1, 0)
    assert '"loud"' in sample["line"]
    assert sample["error"].startswith("level: level is not one of")


def test_requests_without_a_tenant_are_counted_for_all_and_shown_to_none(server: ServerProcess) -> None:
    assert push(server, "", {"app": "a"}, (NOW, "x")).status_code == 401
    (found,) = get(server, "anybody", "/weir/v1/rejected").json()["rejected"]
    assert (found["reason"], found["tenant"], found["requests"], found["samples"]) == ("no_tenant", "", 1, [])
    (found,) = get(server, "anybody", "/weir/v1/why").json()["rejected"]
    assert (found["reason"], found["samples"]) == ("no_tenant", [])


def asking(grant: Grant | None, *, tenancy: bool) -> Request:
    gateway = SimpleNamespace(settings=Settings(tenancy=Tenancy(enabled=tenancy)))
    scope = {"type": "http", "headers": [], "app": SimpleNamespace(state=SimpleNamespace(gateway=gateway))}
    return Request(scope | ({GRANT: grant} if grant else {}))


@pytest.mark.parametrize(
    ("scopes", "tenant", "tenancy", "sees"),
    [
        (None, "", False, True),
        (None, "", True, False),
        ([Scope.QUERY], "", True, False),
        ([Scope.QUERY], "", False, True),
        ([Scope.QUERY, Scope.ADMIN], "", True, True),
        ([Scope.QUERY, Scope.ADMIN], "a", True, False),
        ([Scope.QUERY, Scope.ADMIN], "a", False, False),
    ],
)
def test_who_sees_what_is_nobodys(scopes: list[Scope] | None, tenant: str, *, tenancy: bool, sees: bool) -> None:
    grant = None if scopes is None else Grant(key="key", scopes=frozenset(scopes), tenant=tenant, until=0, secret=b"")
    assert sees_strangers(asking(grant, tenancy=tenancy)) == sees


def test_samples_of_nobodys_are_left_out_of_what_others_see() -> None:
    journal = Journal()
    journal.whole("", Sender("loki", "10.0.0.1"), "no_tenant", "no org id")
    (all_of_it,) = refusals(journal, ["a"], strangers=True)
    (counted,) = refusals(journal, ["a"], strangers=False)
    assert (len(all_of_it.entries), len(counted.entries)) == (1, 0)
    assert counted.told()["requests"] == 1


def test_what_is_refused_of_queries_is_not_shown(server: ServerProcess) -> None:
    assert get(server, "asking", "/loki/api/v1/query_range", query="{").status_code == 400
    assert get(server, "asking", "/nothing/here").status_code == 404
    assert rejected(server, "asking") == {}


def test_forward_shows_what_it_drops_and_what_validation_refuses(server: ServerProcess) -> None:
    found = PORT.search(server.log_text)
    assert found is not None
    port = int(found[1])
    with socket.create_connection(("127.0.0.1", port)) as sender:
        sender.sendall(msgpack.packb(["app.web", NOW // 10**9, {"log": "x" * 101}]))
        sender.sendall(msgpack.packb(["app.web", [5]]))
        sender.sendall(msgpack.packb(["app.web", [], {"fluent_signal": 1}]))
        sender.sendall(b"\xc1")
        assert wait_until(lambda: len(rejected(server, "fluent")) >= 4)
    told = rejected(server, "fluent")
    (sample,) = told["line_too_long"]["samples"]
    assert (sample["door"], sample["client"], sample["line"]) == ("forward", "127.0.0.1", "x" * 101)
    others = {name: one for name, one in told.items() if name != "line_too_long"}
    assert all(name.startswith("forward_") and one["samples"] for name, one in others.items()), told
    assert "'app.web'" in told["forward_signal"]["samples"][0]["error"]
