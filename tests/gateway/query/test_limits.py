"""What a tenant's queries are held to."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from gateway import logs
from gateway.query.limits import binary_size
from gateway.query.tags import clean_tags, wants_partial
from tests.gateway.world import World

S = 10**9
T0 = 1_795_168_800 * S
RANGE = {"start": str(T0), "end": str(T0 + 3600 * S), "step": "600"}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("info", "json", lambda _: None, stream)
    yield stream
    logs.configure("info", "text", lambda _: None)


def refusal(world: World, query: str, **params: str) -> str:
    answer = world.get("/loki/api/v1/query_range", query=query, **{**RANGE, **params})
    assert answer.status_code == 400, answer.text
    return answer.text


def test_limits_are_each_tenants_own(make_world: Callable[..., World]) -> None:
    world = make_world(tenancy={"enabled": True}, overrides={"small": {"max_entries_limit_per_query": 5}})
    asked = {"query": '{app="a"}', "limit": "6"}
    for tenant, status in (("small", 400), ("other", 200)):
        answer = world.ask("GET", "/loki/api/v1/query_range", params=asked, headers={"X-Scope-OrgID": tenant})
        assert answer.status_code == status


def test_the_limit_on_entries_is_not_for_metric_queries(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_entries_limit_per_query": 5})
    assert world.get("/loki/api/v1/query_range", query='rate({app="a"}[1m])', limit="6", **RANGE).status_code == 200


@pytest.mark.parametrize("query", ['{app="a"}', 'rate({app="a"}[1m])', "vector(1)"])
def test_a_range_that_is_too_long_is_refused(make_world: Callable[..., World], query: str) -> None:
    world = make_world(limits={"max_query_length": "30m"})
    assert refusal(world, query) == "the query time range exceeds the limit (query length: 1h0m0s, limit: 30m)"


@pytest.mark.parametrize("query", ['{app="a"}', 'rate({app="a"}[1m])'])
def test_too_many_points_are_refused_for_log_queries_too(world: World, query: str) -> None:
    assert refusal(world, query, step="0.3") == (
        "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"
    )


def test_a_range_vector_that_is_too_long_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_query_range": "1h"})
    assert refusal(world, 'rate({app="a"}[2h])') == "[interval] value exceeds limit: [2h] > [1h]"


@pytest.mark.parametrize("query", ['{app="a",env="b"}', 'rate({team="x"}[1m]) + rate({app="a",env="b"}[1m])'])
def test_what_a_selector_must_have(make_world: Callable[..., World], query: str) -> None:
    missing = make_world(limits={"required_labels": ["team"]})
    assert refusal(missing, query) == (
        "stream selector is missing required matchers [team], labels present in the query were [app, env]"
    )
    few = make_world(limits={"minimum_labels_number": 3})
    assert refusal(few, query).startswith("stream selector has less label matchers than required: (present: [")
    many = make_world(limits={"max_streams_matchers_per_query": 1})
    assert refusal(many, query) == "max streams matchers per query exceeded, matchers-count > limit (2 > 1)"


def test_a_query_that_would_read_too_much_is_refused_before_it_reads(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_query_bytes_read": "1KB"})
    world.store.add({"app": "a"}, (T0, b"x" * 600), (T0 + 1, b"x" * 600))
    assert world.get("/loki/api/v1/query_range", query='{app="a"}', **{**RANGE, "end": str(T0 + 1)}).status_code == 200
    assert refusal(world, '{app="a"}').startswith(
        "the query would read too many bytes (query: 1.2 KiB, limit: 1.0 KiB); consider adding more specific"
    )
    # Two selectors are read twice, and a window reaches before the start.
    later = {"start": str(T0 + 60 * S), "end": str(T0 + 60 * S)}
    assert "(query: 2.3 KiB," in refusal(world, 'rate({app="a"}[1m]) / rate({app="a"}[2m])', **later)


@pytest.mark.parametrize(
    ("size", "text"),
    [(9, "9 B"), (10, "10 B"), (1024, "1.0 KiB"), (1234, "1.2 KiB"), (12 << 30, "12 GiB"), (1 << 60, "1.0 EiB")],
)
def test_sizes_are_written_as_loki_writes_them(size: int, text: str) -> None:
    assert binary_size(size) == text


def test_lookback_hides_what_is_older_wherever_a_query_reaches(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_query_lookback": "1h"})
    now = time.time_ns()
    world.store.add({"app": "a"}, (now - 7200 * S, b"old"), (now - 1800 * S, b"new"))
    recent = {"start": str(now - 10_800 * S), "end": str(now), "step": "60"}
    (stream,) = world.get("/loki/api/v1/query_range", query='{app="a"}', **recent).json()["data"]["result"]
    assert [line for _, line in stream["values"]] == ["new"]
    (sample,) = world.get("/loki/api/v1/query", query='count_over_time({app="a"}[3h])').json()["data"]["result"]
    assert sample["value"][1] == "1"
    (series,) = world.get("/loki/api/v1/query_range", query="vector(1)", **recent).json()["data"]["result"]
    assert series["values"][0][0] * S >= now - 3700 * S
    assert world.get("/loki/api/v1/index/stats", query='{app="a"}', **recent).json()["entries"] == 1


@pytest.mark.parametrize(
    ("path", "query", "kind"),
    [
        ("query_range", '{app="a"}', "streams"),
        ("query_range", "vector(1)", "matrix"),
        ("query", "vector(1)", "vector"),
    ],
)
def test_a_query_out_of_sight_is_answered_with_nothing(
    make_world: Callable[..., World], path: str, query: str, kind: str
) -> None:
    world = make_world(limits={"max_query_lookback": "1h"})
    past = {"start": "1000000000", "end": "1000003600", "time": "1000000000", "step": "60"}
    data = world.get(f"/loki/api/v1/{path}", query=query, **past).json()["data"]
    assert (data["resultType"], data["result"]) == (kind, [])


@pytest.mark.parametrize(
    "query",
    ['{app="a"}', '{app="a"} | logfmt', 'count_over_time({app="a"} |= "x" [1h])', 'sum(rate({app="a"} | json [1h]))'],
)
def test_a_query_over_its_memory_is_a_400_that_names_both_figures(make_world: Callable[..., World], query: str) -> None:
    world = make_world(query={"max_memory": "10KB"})
    world.store.add({"app": "a"}, *((T0 + n, b"x" * 100) for n in range(1000)))
    text = refusal(world, query, limit="1000")
    assert text.startswith("the query needs more memory than a query may use (used: ")
    assert "bytes, allowed: 10240 bytes)" in text


def test_tags_are_cleaned_and_read() -> None:
    assert clean_tags('Source=grafana,Feature="x"\n{y}') == "Source=grafana,Feature=_x_y_"
    assert wants_partial("a=b, SOURCE = Grafana-Lokiexplore-App")
    assert not wants_partial("Source=grafana,Source=grafana-lokiexplore-app")
    assert not wants_partial("")


def test_a_failed_query_is_logged_with_its_tags(world: World, log: io.StringIO) -> None:
    headers = {"X-Query-Tags": "Source=logvolhist,x=\n"}
    params = {"query": 'rate({app="a"})', "start": "7", "step": "5"}
    world.ask("GET", "/loki/api/v1/query_range", params=params, headers=headers)
    (line,) = (json.loads(text) for text in log.getvalue().splitlines())
    assert (line["msg"], line["status"], line["tenant"]) == ("request failed", 400, "fake")
    assert (line["query"], line["asked"], line["tags"]) == (
        'rate({app="a"})',
        "start=7 step=5",
        "Source=logvolhist,x=_",
    )


def test_a_slow_query_is_logged_with_its_tags(make_world: Callable[..., World], log: io.StringIO) -> None:
    world = make_world(query={"log_slower_than": 1})
    world.store.add({"app": "a"}, (T0, b"x"))
    headers = {"X-Query-Tags": "Source=grafana"}
    world.ask("GET", "/loki/api/v1/query_range", params={"query": '{app="a"}', **RANGE}, headers=headers)
    (line,) = (json.loads(text) for text in log.getvalue().splitlines())
    assert (line["msg"], line["tags"], line["lines"], line["bytes"]) == ("slow query", "Source=grafana", 1, 1)


def test_a_dashboard_of_twenty_panels_is_answered_whole(make_world: Callable[..., World]) -> None:
    world = make_world(query={"max_concurrent": 2, "threads": 2})
    world.store.add({"app": "a"}, (T0, b"x"))

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
            params = {"query": 'sum(count_over_time({app="a"}[5m]))', **RANGE}
            return list(
                await asyncio.gather(*(client.get("/loki/api/v1/query_range", params=params) for _ in range(20)))
            )

    answers = asyncio.run(main())
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.text.partition('"stats"')[0] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("query", "lines"),
    [('count_over_time({app="a"} | logfmt | x!="1" [1h])', 20_000), ('{app="a"} | logfmt | x="1"', 100_000)],
)
def test_a_client_that_leaves_frees_its_query_between_two_looks(world: World, query: str, lines: int) -> None:
    # One unit: a query that looked for its end only between units would send all of it through the stages.
    world.store.add({"app": "a"}, *((T0 + n, b"x=2 y=3 z=4 " * 10) for n in range(lines)))
    started = threading.Event()
    world.store.before_scan = started.set

    async def main(*, leaves: bool) -> float:
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await asyncio.to_thread(started.wait, 60)
            # The scan has begun; reading the unit is the fake store's loop, which no query waits for in the end.
            while not world.gateway.queries.running:  # noqa: ASYNC110 - the pool counts, it does not notify
                await asyncio.sleep(0.001)
            if not leaves:
                await over.wait()
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            assert not leaves, "nobody is there"

        params = httpx.QueryParams({"query": query, **RANGE})
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/loki/api/v1/query_range",
            "raw_path": b"/loki/api/v1/query_range",
            "query_string": str(params).encode(),
            "headers": [],
            "client": ("127.0.0.1", 1),
        }
        began = time.monotonic()
        await world.app(scope, receive, send)
        over.set()
        if not leaves:
            return time.monotonic() - began
        left = time.monotonic()
        async with asyncio.timeout(30):
            while world.gateway.queries.running:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        return time.monotonic() - left

    whole = asyncio.run(main(leaves=False))
    started.clear()
    freed = asyncio.run(main(leaves=True))
    assert freed < whole / 2
