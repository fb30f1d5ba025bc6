"""Labels, series, index stats, status pages, paths and encodings as clients ask for them; what a push becomes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.clients_cases.cases import (
    BASE,
    RANGE,
    WINDOW,
    Check,
    ClientCase,
    data_of,
    names,
    status,
    streams,
    web,
)

L = "/loki/api/v1"
LONG_AGO = {"start": "1000000000", "end": "1000003600"}
LABELS = ("app", "env", "job", "n", "service_name")


def series(*expected: dict[str, str]) -> Check:
    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert list(body) == ["status", "data"]
        assert sorted(body["data"], key=str) == sorted(expected, key=str)

    return check


def index_stats(answer: httpx.Response) -> None:
    figures = answer.json()
    assert set(figures) == {"streams", "chunks", "bytes", "entries"}
    assert all(type(value) is int for value in figures.values())
    assert (figures["streams"], figures["entries"]) == (1, 30)
    assert figures["bytes"] >= sum(len(line) for _, line, _ in web())
    assert figures["chunks"] >= 1


def buildinfo(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    info = answer.json()
    assert set(info) == {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"}
    assert all(isinstance(value, str) for value in info.values())


def text(code: int, body: str) -> Check:
    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.text) == (code, body)

    return check


def formatted(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {"status": "success", "data": '{app="web"} |= "x"'}


def not_formatted(answer: httpx.Response) -> None:
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert body["status"] == "invalid-query"
    assert body["error"].startswith("parse error at line 1, col 2: syntax error")


def encoded(expected: str | None) -> Check:
    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == expected

    return check


def nothing_in(member: str) -> Check:
    """Prometheus' form of a list of rules or alerts, without one."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200
        assert answer.json() == {"status": "success", "data": {member: []}, "errorType": "", "error": ""}

    return check


WEB = {"app": "web", "env": "prod", "service_name": "web"}
PB = {"app": "pb", "env": "dev", "job": "pb", "service_name": "pb"}
TEXT = {"app": "text", "env": "dev", "service_name": "text"}
ALL = [{**one["stream"], "service_name": one["stream"]["app"]} for one in streams()]
GZIP = {"Accept-Encoding": "gzip"}

CASES = [
    ClientCase(
        23, f"{L}/labels", {"query": '{app="pb"}', **WINDOW}, names("app", "env", "job", "service_name"), "POST"
    ),
    *(ClientCase(23, f"{L}/labels", WINDOW, status(405), method) for method in ("HEAD", "PATCH", "OPTIONS")),
    ClientCase(31, f"{L}/labels", WINDOW, names(*LABELS)),
    ClientCase(31, f"{L}/labels", LONG_AGO, names()),
    ClientCase(32, f"{L}/labels", {"query": '{app="pb"}', **WINDOW}, names("app", "env", "job", "service_name")),
    ClientCase(33, f"{L}/label", WINDOW, names(*LABELS)),
    ClientCase(34, f"{L}/label/app/values", {"query": '{env="dev"}', **WINDOW}, names("pb", "text")),
    ClientCase(34, f"{L}/label/service%5Fname/values", WINDOW, names("many", "pb", "text", "web")),
    ClientCase(34, f"{L}/label/unheard_of/values", WINDOW, names()),
    ClientCase(35, f"{L}/label/__stream_shard__/values", {"query": '{app="web"}', **WINDOW}, names()),
    ClientCase(36, f"{L}/series", {"match[]": '{app="web"}', **WINDOW}, series(WEB)),
    ClientCase(36, f"{L}/series", {"match": ['{app="web"}', '{env="dev"}'], **WINDOW}, series(WEB, PB, TEXT)),
    ClientCase(36, f"{L}/series", {"match[]": ['{app="web"}', '{env="dev"}'], **WINDOW}, series(WEB, PB, TEXT), "POST"),
    ClientCase(36, f"{L}/series", {"match[]": '{app="nothing"}', **WINDOW}, series()),
    ClientCase(36, f"{L}/series", WINDOW, series(*ALL)),
    ClientCase(36, f"{L}/series", {"match": "{}", **WINDOW}, series(*ALL)),
    ClientCase(37, f"{L}/index/stats", {"query": '{app="web"}', **WINDOW}, index_stats),
    ClientCase(37, f"{L}/index/stats", {"query": '{app="web"}', **WINDOW}, index_stats, "POST"),
    ClientCase(50, f"{L}/status/buildinfo", {}, buildinfo),
    ClientCase(51, "/ready", {}, text(200, "ready\n")),
    ClientCase(52, f"{L}/format_query", {"query": '{  app = "web" }|="x"'}, formatted),
    ClientCase(52, f"{L}/format_query", {"query": "{"}, not_formatted),
    ClientCase(53, "/prometheus/api/v1/rules", {}, nothing_in("groups")),
    ClientCase(53, "/prometheus/api/v1/alerts", {}, nothing_in("alerts")),
    # Grafana takes this text for "there is no ruler", and any other for a fault.
    ClientCase(54, "/api/prom/rules/test/test", {}, text(404, "404 page not found\n")),
    ClientCase(55, f"{L}/rules", {}, text(404, "no rule groups found\n")),
    ClientCase(55, "/api/prom/rules", {}, text(404, "no rule groups found\n")),
    ClientCase(78, "/loki/api/v1/nothing/here", {}, text(404, "404 page not found\n")),
    ClientCase(78, f"{L}/labels/", WINDOW, status(404)),
    ClientCase(78, "//loki/api/v1/labels", WINDOW, names(*LABELS)),
    ClientCase(79, RANGE, {"query": '{app="web"}', **WINDOW}, encoded("gzip"), headers=GZIP),
    ClientCase(79, RANGE, {"query": '{app="web"}', **WINDOW}, encoded(None), headers={"Accept-Encoding": "identity"}),
    ClientCase(79, f"{L}/labels", WINDOW, encoded(None), headers=GZIP),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.path}")
def test_case(client: httpx.Client, case: ClientCase) -> None:
    case.check(case.ask(client))


def test_all_of_the_catalogue_about_metadata_is_asked() -> None:
    assert {case.number for case in CASES} == {23, *range(31, 38), *range(50, 56), 78, 79}


def pushed(client: httpx.Client, labels: dict[str, str], *entries: list[Any]) -> list[dict[str, Any]]:
    """Pushes entries of one stream a week before the data of the others; the streams that a query then gives."""
    week = 7 * 86_400 * 10**9
    moved = [[str(int(ts) - week), line] for ts, line in entries]
    answer = client.post("/loki/api/v1/push", json={"streams": [{"stream": labels, "values": moved}]})
    assert answer.status_code == 204, answer.text
    selector = "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
    window = {"start": str(BASE - week), "end": str(BASE - week + 10**9)}
    found: list[dict[str, Any]] = data_of(client.get(RANGE, params={"query": selector, **window}))["result"]
    return found


def test_case_71_a_line_sent_twice_is_one_row(client: httpx.Client) -> None:
    entry = [str(BASE), "twice"]
    for _ in range(2):
        [stream] = pushed(client, {"case": "71"}, entry, entry)
        assert [line for _, line in stream["values"]] == ["twice"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"case": "72", "app": "a", "job": "j"}, "a"),
        ({"case": "72", "job": "j"}, "j"),
        ({"case": "72", "service_name": "given", "app": "a"}, "given"),
        ({"case": "72b"}, "unknown_service"),
    ],
)
def test_case_72_a_stream_gets_a_service_name(client: httpx.Client, labels: dict[str, str], expected: str) -> None:
    found = pushed(client, labels, [str(BASE), "line"])
    assert expected in {stream["stream"]["service_name"] for stream in found}
