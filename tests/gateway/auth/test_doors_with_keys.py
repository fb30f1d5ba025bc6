"""A server whose auth.enabled is on: every route, every way to give a key, and what each key may."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from gateway.app import routes
from gateway.auth import Scope, ScopedRoute, SocketRoute
from storage import KeySecret, open_keys
from tests.gateway.auth.some_keys import add_key, make_record, revoke
from tests.server import ServerProcess, running_server, wait_until
from tests.websocket import NO_CLOSE_FRAME, Socket

OPEN = {"/ready", "/health"}
GOOD: dict[str, str] = {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("auth") / "data"
    for scope in ("push", "query", "admin"):
        GOOD[scope] = add_key(data, (scope,))  # before any server has been here
    GOOD["shop"] = add_key(data, tenant="shop")
    with running_server(data, "--set", "auth.enabled=true", "--forward", "127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as made:
        yield made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def asked(route: ScopedRoute) -> str:
    return re.sub(r"{\w+}", "x", route.path)


EVERY = [(method, route) for route in routes() for method in sorted(route.methods or ())]


def metric(client: httpx.Client, sample: str) -> float:
    page = client.get("/metrics", headers=bearer(GOOD["admin"])).text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(sample + " "))


def test_no_route_answers_without_a_key_but_ready_and_health(client: httpx.Client) -> None:
    answered = set()
    for method, route in EVERY:
        for headers in ({}, bearer("weir_0123456789_" + "A" * 43)):
            answer = client.request(method, asked(route), headers=headers)
            if answer.status_code != 401:
                answered.add(route.path)
                continue
            assert answer.headers["www-authenticate"].startswith('Bearer realm="weir", Basic realm="weir"')
            assert "this needs a key" in answer.text or answer.text == "this key is not known here\n"
    assert answered == OPEN


def test_each_route_wants_its_scope(client: httpx.Client) -> None:
    for method, route in EVERY:
        wanted = {Scope.STATUS: {"query", "admin"}, Scope.OPEN: {"push", "query", "admin"}}.get(
            route.permission, {route.permission.value}
        )
        refused = set()
        for scope in ("push", "query", "admin"):
            answer = client.request(method, asked(route), headers=bearer(GOOD[scope]))
            assert answer.status_code != 401, route.path
            # With its scope it came to the endpoint, which may well find it wrong.
            if answer.status_code == 403 and answer.text.startswith("this needs a key with the scope"):
                assert answer.text.endswith(f"has {scope}\n")
                refused.add(scope)
        assert refused == {"push", "query", "admin"} - wanted, f"{method} {route.path}"


@pytest.mark.parametrize("path", ["/", "/nope", "/loki/api/v1/push/", "/ready/", "/READY", "/health/x"])
def test_what_is_no_route_says_so_to_those_alone_who_have_a_key(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers=bearer(GOOD["push"])).status_code == 404


def test_no_path_leads_around_the_gate(client: httpx.Client) -> None:
    for path in ("//config", "/ready//../config", "/ready/../config", "/./config", "/ready%2f..%2fconfig", "/config?x"):
        answer = client.get(path, headers={"X-Scope-OrgID": "shop"})
        assert answer.status_code == 401, path
        assert "data_dir" not in answer.text
    moved = client.get("/loki/api/v1/label/a%2F/values", headers=bearer(GOOD["query"]))
    assert moved.status_code == 301
    assert client.get("/loki/api/v1/label/a%2F/values").status_code == 401
    assert client.post("/ready").status_code == 401
    assert client.request("OPTIONS", "/loki/api/v1/push").status_code == 401


@pytest.mark.parametrize("route", [route for route in routes() if isinstance(route, SocketRoute)], ids=str)
def test_a_websocket_wants_a_key_with_its_scope(server: ServerProcess, route: SocketRoute) -> None:
    query = {"query": '{app="x"}'}
    with Socket(server.url, route.path, query) as refused:
        assert refused.status == 401
        assert "www-authenticate" in refused.headers
    with Socket(server.url, route.path, query, bearer(GOOD["push"])) as refused:
        assert refused.status == 403
        assert "scope query" in refused.read_refusal()
    with Socket(server.url, route.path, query, {"X-API-Key": GOOD["query"]}) as taken:
        assert taken.status == 101
    with Socket(server.url, "/nope", query) as refused:
        assert refused.status == 401


def test_there_is_no_fluent_forward_without_a_shared_key(server: ServerProcess, client: httpx.Client) -> None:
    assert "Fluent Forward is off: auth.enabled is on" in server.log_text
    assert metric(client, "weir_forward_listening") == 0


def test_every_way_to_give_a_key(client: httpx.Client) -> None:
    key = GOOD["query"]

    def status(**headers: str) -> int:
        return client.get("/loki/api/v1/labels", headers=headers).status_code

    assert status(Authorization=f"Bearer {key}") == 200
    assert status(authorization=f"bearer {key}") == 200
    assert status(Authorization="Basic " + b64encode(f"any:{key}".encode()).decode()) == 200
    assert status(Authorization="Basic " + b64encode(f":{key}".encode()).decode()) == 200
    assert client.get("/loki/api/v1/labels", auth=("grafana", key)).status_code == 200
    assert status(**{"X-API-Key": key}) == 200
    # A proxy may want its own password of the same request.
    assert status(**{"X-API-Key": key, "Authorization": "Basic " + b64encode(b"proxy:secret").decode()}) == 200
    assert status(Authorization=key) == 401
    assert status(Authorization="Basic " + b64encode(f"{key}:".encode()).decode()) == 401
    assert status(**{"X-API-Key": "no", "Authorization": f"Bearer {key}"}) == 401
    assert client.get("/loki/api/v1/labels", params={"api_key": key, "access_token": key}).status_code == 401


def push(client: httpx.Client, key: str, line: str, tenant: str | None = None) -> httpx.Response:
    body: dict[str, Any] = {"streams": [{"stream": {"app": "auth"}, "values": [[str(time.time_ns()), line]]}]}
    headers = bearer(key) | ({"X-Scope-OrgID": tenant} if tenant is not None else {})
    return client.post("/loki/api/v1/push", json=body, headers=headers)


def lines(client: httpx.Client, key: str, tenant: str | None = None) -> list[str]:
    headers = bearer(key) | ({"X-Scope-OrgID": tenant} if tenant is not None else {})
    answer = client.get("/loki/api/v1/query_range", params={"query": '{app="auth"}'}, headers=headers)
    assert answer.status_code == 200, answer.text
    return sorted(value[1] for stream in answer.json()["data"]["result"] for value in stream["values"])


def test_the_tenant_of_a_key_is_the_tenant_even_where_there_are_none(client: httpx.Client) -> None:
    assert push(client, GOOD["push"], "of the default tenant").status_code == 204
    assert push(client, GOOD["shop"], "of the shop").status_code == 204
    assert push(client, GOOD["shop"], "of the shop too", "shop").status_code == 204
    for other in ("other", "fake", "shop|other", "shop|shop", "", "SHOP"):
        refused = push(client, GOOD["shop"], "of nobody", other)
        assert (refused.status_code, refused.text) == (403, refused.text)
        assert "is for the tenant shop" in refused.text
    assert lines(client, GOOD["shop"]) == lines(client, GOOD["shop"], "shop") == ["of the shop", "of the shop too"]
    assert lines(client, GOOD["query"]) == ["of the default tenant"]
    assert client.get("/loki/api/v1/labels", headers=bearer(GOOD["shop"]) | {"X-Scope-OrgID": "a"}).status_code == 403


@pytest.mark.parametrize("tenant", ["", "fake", "other"])
def test_a_header_given_twice_cannot_name_another_tenant(client: httpx.Client, tenant: str) -> None:
    headers = [("Authorization", f"Bearer {GOOD['shop']}"), ("X-Scope-OrgID", "shop"), ("X-Scope-OrgID", tenant)]
    assert client.get("/loki/api/v1/labels", headers=headers).status_code == 403


def test_other_doors_push_to_the_tenant_of_the_key_too(client: httpx.Client) -> None:
    entry = {"level": "info", "message": "through /log", "service": "auth"}
    assert client.post("/log", json=entry, headers=bearer(GOOD["shop"])).status_code == 202
    found = client.get(
        "/loki/api/v1/query_range", params={"query": '{service_name="auth"}'}, headers=bearer(GOOD["shop"])
    )
    assert "through /log" in found.text
    others = client.get(
        "/loki/api/v1/query_range", params={"query": '{service_name="auth"}'}, headers=bearer(GOOD["query"])
    )
    assert "through /log" not in others.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/config", 403),
        ("GET", "/metrics", 403),
        ("POST", "/flush", 403),
        ("POST", "/log_level", 403),
        ("GET", "/services", 403),
        ("GET", "/loki/api/v1/status/buildinfo", 200),
        ("GET", "/loki/api/v1/delete", 200),
    ],
)
def test_a_key_for_one_tenant_is_not_for_what_is_about_all_of_them(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, headers=bearer(GOOD["shop"]))
    assert answer.status_code == status
    assert status == 200 or "for the tenant shop alone" in answer.text


def test_a_delete_says_whose_key_asked_for_it(client: httpx.Client) -> None:
    params = {"query": '{app="nothing"}', "start": "1", "end": "2"}
    assert client.post("/loki/api/v1/delete", params=params, headers=bearer(GOOD["admin"])).status_code == 204
    (found,) = client.get("/loki/api/v1/delete", headers=bearer(GOOD["admin"])).json()
    assert f"key {GOOD['admin'].split('_')[1]}" in json.dumps(found)


def test_a_running_server_sees_new_rotated_and_revoked_keys(server: ServerProcess, client: httpx.Client) -> None:
    def status(key: str) -> int:
        return client.get("/loki/api/v1/labels", headers=bearer(key)).status_code

    new = add_key(server.data_dir)
    assert wait_until(lambda: status(new) == 200)
    other, record = make_record()
    with closing(open_keys(server.data_dir)) as table:
        table.rotate(new.split("_")[1], KeySecret(record.secrets[0].hash, b"", 1), time.time_ns())
    assert wait_until(lambda: status(new) == 401)
    answer = client.get("/loki/api/v1/labels", headers=bearer(new))
    assert answer.text == "this key has been replaced by a new one\n"
    assert status(other) == 401  # its text has another id in it
    revoke(server.data_dir, GOOD["query"])
    assert wait_until(lambda: status(GOOD["query"]) == 401)
    assert client.get("/loki/api/v1/labels", headers=bearer(GOOD["query"])).text == "this key was revoked\n"
    GOOD["query"] = add_key(server.data_dir, ("query",))
    assert wait_until(lambda: status(GOOD["query"]) == 200)


def test_a_tail_ends_when_its_key_is_revoked(server: ServerProcess, client: httpx.Client) -> None:
    key, kept = add_key(server.data_dir, ("query",)), GOOD["query"]
    assert wait_until(lambda: client.get("/loki/api/v1/labels", headers=bearer(key)).status_code == 200)
    with (
        Socket(server.url, "/loki/api/v1/tail", {"query": '{app="auth"}'}, bearer(key)) as tail,
        Socket(server.url, "/loki/api/v1/tail", {"query": '{app="auth"}'}, bearer(kept)) as other,
    ):
        assert (tail.status, other.status) == (101, 101)
        revoke(server.data_dir, key)
        tail.wait(lambda: tail.code is not None)
        assert tail.code == NO_CLOSE_FRAME
        pings = other.pings
        other.wait(lambda: other.pings > pings + 1)
        assert other.code is None


def test_refusals_are_counted_and_told_but_do_not_fill_the_log(server: ServerProcess, client: httpx.Client) -> None:
    before = metric(client, 'weir_auth_failures_total{door="http",reason="unknown"}')
    for _ in range(50):
        client.post("/loki/api/v1/push", headers=bearer("weir_0000000000_x"), content=b"x")
    assert metric(client, 'weir_auth_failures_total{door="http",reason="unknown"}') == before + 50
    assert metric(client, "weir_auth_keys") >= 4
    assert metric(client, "weir_auth_keys_last_read_successful") == 1
    said = [line for line in server.log_text.splitlines() if "reason=unknown" in line]
    assert 1 <= len(said) <= 3  # one a minute
    assert not any(key in server.log_text for key in GOOD.values())
    noted = client.get("/weir/v1/rejected", headers=bearer(GOOD["query"])).json()["rejected"]
    assert "no_key" in {each["reason"] for each in noted}
    assert all(each["advice"] for each in noted)


def test_a_big_push_is_refused_before_it_is_read(client: httpx.Client) -> None:
    answer = client.post("/loki/api/v1/push", content=b"x" * (8 << 20), headers=bearer("weir_0000000000_x"))
    assert answer.status_code == 401
