"""The app as a whole: routing, scopes, paths, admin pages, failures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import logs
from gateway.app import routes
from gateway.auth import Scope, ScopedRoute
from gateway.state import Phase
from storage.errors import BatchIdConflict, StorageError, StorageUnavailable
from tests.gateway.world import World

HTTP_CASES = json.loads((Path(__file__).parent / "data" / "http_misc.json").read_text())
PUSH = {"streams": [{"stream": {"app": "a"}, "values": [["1795168800000000000", "x"]]}]}


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", "json", lambda _level: None, stream)
    return stream


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_route_has_a_scope() -> None:
    for each in routes():
        assert isinstance(each, ScopedRoute), each
        assert isinstance(each.permission, Scope), each


def test_a_route_that_writes_is_not_open() -> None:
    assert {each.path for each in routes() if each.permission is Scope.OPEN} == {"/health", "/ready"}


@pytest.mark.parametrize("case", HTTP_CASES, ids=[case["id"] for case in HTTP_CASES])
def test_what_is_not_served_is_answered_as_recorded(world: World, case: dict[str, object]) -> None:
    answer = world.ask(str(case["method"]), str(case["path"]))
    assert answer.status_code in case["status"]  # type: ignore[operator]
    if answer.status_code == 404:
        assert answer.text == "404 page not found\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
    else:
        assert answer.text == ""


def test_doubled_slashes_do_not_matter(world: World) -> None:
    assert world.get("http://weir//loki/api/v1/labels").status_code == 200
    assert world.ask("POST", "http://weir//loki//api/v1/push", json=PUSH).status_code == 204


def test_a_slash_that_was_escaped_is_redirected(world: World) -> None:
    answer = world.get("/loki/api/v1/label/city%2F/values", start="1")
    assert (answer.status_code, answer.text) == (301, "")
    assert answer.headers["location"] == "/loki/api/v1/label/city/values?start=1"
    assert "content-type" not in answer.headers


def test_the_path_prefix_is_taken_off_and_not_required(make_world: Callable[..., World]) -> None:
    world = make_world(server={"path_prefix": "/logs"})
    assert world.get("/logs/ready").text == "ready\n"
    assert world.get("/ready").text == "ready\n"
    assert world.get("/logsready").status_code == 404


def test_ready_says_why_not(world: World) -> None:
    assert world.get("/ready").text == "ready\n"
    world.gateway.phase = Phase.STOPPING
    answer = world.get("/ready")
    assert (answer.status_code, answer.text) == (503, "Application is stopping\n")
    world.gateway.phase = Phase.STARTING
    world.gateway.progress = "replaying the WAL: 1 of 2 segments, 7 entries"
    answer = world.get("/ready")
    assert (answer.status_code, answer.text) == (
        503,
        "Ingester not ready: replaying the WAL: 1 of 2 segments, 7 entries\n",
    )


def test_until_the_store_is_open_the_doors_say_503(world: World) -> None:
    world.gateway._store = None
    world.gateway.phase = Phase.STARTING
    query = world.get("/loki/api/v1/labels")
    assert (query.status_code, query.text) == (503, "not ready: opening the store")
    assert int(query.headers["retry-after"]) > 0
    push = world.ask("POST", "/loki/api/v1/push", json=PUSH)
    assert (push.status_code, push.text) == (503, "not ready: opening the store\n")
    assert world.get("/metrics").status_code == 200
    assert world.metric("loki_ingester_wal_replay_active") == 1


def test_buildinfo_is_what_grafana_reads(world: World) -> None:
    answer = world.get("/loki/api/v1/status/buildinfo")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "version": "1.2.3",
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }


def test_config_shows_what_is_in_force(make_world: Callable[..., World]) -> None:
    world = make_world(log={"level": "warn"})
    whole = world.get("/config")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert "level: warn" in whole.text
    assert "path_prefix" in whole.text
    difference = world.get("/config", mode="diff").text
    assert "level: warn" in difference
    assert "path_prefix" not in difference
    assert "level: info" in world.get("/config", mode="defaults").text


def test_flush_answers_when_the_store_has_flushed(world: World) -> None:
    for method in ("GET", "POST"):
        assert world.ask(method, "/flush").status_code == 204
    assert world.store.flushed == 2


def test_compaction_answers_when_the_store_has_compacted(world: World) -> None:
    assert world.ask("POST", "/weir/v1/compact").status_code == 204
    assert world.store.compacted == 1


def test_services_lists_modules(world: World) -> None:
    assert "store => Running\n" in world.get("/services").text


def test_the_log_level_can_be_read_and_set(world: World, log: io.StringIO) -> None:
    assert world.get("/log_level").json() == {"message": "Current log level is info"}
    answer = world.ask("POST", "/log_level", data={"log_level": "error"})
    assert answer.json() == {"status": "success", "message": "Log level set to error"}
    assert world.get("/log_level").json() == {"message": "Current log level is error"}
    bad = world.ask("POST", "/log_level?log_level=loud")
    assert bad.status_code == 400
    assert bad.json() == {"status": "failed", "message": 'unrecognized log level "loud"'}
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (StorageUnavailable("the disk is full", retry_after=7), 503, "7"),
        (BatchIdConflict("another batch has this id"), 409, None),
        (StorageError("no"), 500, None),
    ],
)
def test_what_the_store_refuses_has_its_status(
    world: World, refusal: StorageError, status: int, retry_after: str | None
) -> None:
    world.store.refusal = refusal
    answer = world.ask("POST", "/loki/api/v1/push", json=PUSH)
    assert (answer.status_code, answer.text) == (status, f"{refusal}\n")
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_unexpected_exception_is_a_plain_500_and_one_traceback_in_the_log(world: World, log: io.StringIO) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret detail")

    world.store.before_scan = fail
    answer = world.get("/loki/api/v1/query_range", query='{app="a"}')
    assert (answer.status_code, answer.text) == (500, "internal server error")
    lines = logged(log)
    assert [line["level"] for line in lines] == ["error"]
    assert "secret detail" in str(lines[0]["traceback"])
    assert world.metric("loki_panic_total") == 1


def test_a_failed_request_is_one_line_of_the_log_and_a_good_one_none(world: World, log: io.StringIO) -> None:
    world.get("/ready")
    assert log.getvalue() == ""
    world.get("/loki/api/v1/query_range", query="{")
    (line,) = logged(log)
    assert line["msg"] == "request failed"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/loki/api/v1/query_range", 400)
    assert str(line["error"]).startswith("parse error at line 1, col 2")


def test_requests_are_counted_by_route(world: World) -> None:
    world.get("/loki/api/v1/label/a/values")
    world.get("/loki/api/v1/label/b/values")
    world.get("/nowhere")
    labels = 'method="GET",route="loki_api_v1_label_name_values",status_code="200"'
    assert world.metric(f'loki_request_duration_seconds_count{{{labels},ws="false"}}') == 2
    assert world.metric(f"loki_querier_request_duration_seconds_count{{{labels}}}") == 2
    assert (
        world.metric('loki_request_duration_seconds_count{method="GET",route="other",status_code="404",ws="false"}')
        == 1
    )


def test_a_push_is_counted(world: World) -> None:
    assert world.ask("POST", "/loki/api/v1/push", json=PUSH, headers={"User-Agent": "agent/1.2"}).status_code == 204
    assert world.metric('loki_distributor_received_lines_total{tenant="fake"}') == 1
    assert world.metric('weir_push_requests_total{client="agent",tenant="fake"}') == 1


def test_tenants_are_required_and_kept_apart_where_tenancy_is_on(make_world: Callable[..., World]) -> None:
    world = make_world(tenancy={"enabled": True, "several": False})
    for path, method in (("/loki/api/v1/labels", "GET"), ("/loki/api/v1/push", "POST")):
        answer = world.ask(method, path)
        assert (answer.status_code, answer.text) == (401, "no org id\n")
    assert world.get("/ready").status_code == 200
    assert world.get("/loki/api/v1/status/buildinfo").status_code == 200
    bad = world.ask("GET", "/loki/api/v1/labels", headers={"X-Scope-OrgID": "a|b"})
    assert (bad.status_code, bad.text) == (400, "multiple org IDs present")
    assert world.ask("POST", "/loki/api/v1/push", json=PUSH, headers={"X-Scope-OrgID": "t1"}).status_code == 204
    asked = {"start": "1795168800", "end": "1795172400"}
    mine = world.ask("GET", "/loki/api/v1/series", params=asked, headers={"X-Scope-OrgID": "t1"}).json()
    assert [labels["app"] for labels in mine["data"]] == ["a"]
    assert world.ask("GET", "/loki/api/v1/series", params=asked, headers={"X-Scope-OrgID": "t2"}).json()["data"] == []


def test_the_tenant_header_is_ignored_where_tenancy_is_off(world: World) -> None:
    assert world.ask("GET", "/loki/api/v1/labels", headers={"X-Scope-OrgID": "a/../b"}).status_code == 200


def test_values_in_the_log_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", lambda _level: None, stream)
    import logging

    logs.event(logging.getLogger("weir.test"), logging.INFO, "seen", value='a\nlevel=error msg="\x1b[31m')
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r'level=info msg=seen value="a\nlevel=error msg=\"\u001b[31m"')
