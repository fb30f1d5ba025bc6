"""The query API over a store in memory: shapes, bytes, limits, ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.query.errors import QueryCancelled
from tests.gateway.world import World

T0 = 1_795_168_800 * 10**9
END = T0 + 3600 * 10**9
RANGE = {"start": str(T0), "end": str(END)}
STATS = json.loads((Path(__file__).parent / "data" / "stats_keys.json").read_text())


def fill(world: World) -> None:
    world.store.add(
        {"app": "web", "env": "prod"},
        (T0, b"first <tag> & \xff"),
        (T0 + 1, b'second "quoted"', {"trace": b"t1"}),
        (T0 + 2, b"third"),
    )
    world.store.add({"app": "db", "dc": "e&u"}, (T0 + 1, b"x"))


def query(world: World, text: str, **params: Any) -> httpx.Response:
    return world.get("/loki/api/v1/query_range", query=text, **{**RANGE, **params})


def wait_for(happened: threading.Event) -> None:
    assert happened.wait(60)


def body_without_stats(answer: httpx.Response) -> bytes:
    return re.sub(rb'"stats":\{.*\}\}\}\n$', b'"stats":STATS}}', answer.content)


def test_streams_are_written_as_loki_writes_them(world: World) -> None:
    fill(world)
    answer = query(world, '{app="web"}', direction="forward")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert body_without_stats(answer) == (
        rb'{"status":"success","data":{"resultType":"streams","result":['
        # `{..., trace="t1"}` before `{...}`: streams are sorted by the text of their labels, and "," is before "}".
        rb'{"stream":{"app":"web","env":"prod","trace":"t1"},'
        rb'"values":[["1795168800000000001","second \"quoted\""]]},'
        rb'{"stream":{"app":"web","env":"prod"},'
        rb'"values":[["1795168800000000000","first \u003ctag\u003e \u0026 \ufffd"],["1795168800000000002","third"]]}],'
        rb'"stats":STATS}}'
    )


def test_categorize_labels_keeps_metadata_beside_the_line(world: World) -> None:
    fill(world)
    flags = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    answer = world.ask("GET", "/loki/api/v1/query_range", params={"query": '{env="prod"}', **RANGE}, headers=flags)
    assert body_without_stats(answer) == (
        rb'{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":['
        rb'{"stream":{"app":"web","env":"prod"},"values":[["1795168800000000002","third",{}],'
        rb'["1795168800000000001","second \"quoted\"",{"structuredMetadata":{"trace":"t1"}}],'
        rb'["1795168800000000000","first \u003ctag\u003e \u0026 \ufffd",{}]]}],"stats":STATS}}'
    )


def test_unknown_flags_are_echoed_and_change_nothing(world: World) -> None:
    fill(world)
    flags = {"X-Loki-Response-Encoding-Flags": "foo"}
    answer = world.ask("GET", "/loki/api/v1/query_range", params={"query": '{app="db"}', **RANGE}, headers=flags)
    data = answer.json()["data"]
    assert data["encodingFlags"] == ["foo"]
    assert data["result"] == [{"stream": {"app": "db", "dc": "e&u"}, "values": [[str(T0 + 1), "x"]]}]


def test_an_empty_answer_has_an_empty_list(world: World) -> None:
    data = query(world, '{app="nothing"}').json()["data"]
    assert (data["resultType"], data["result"]) == ("streams", [])


def keys_of(value: Any) -> Any:
    return {name: keys_of(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_stats_have_every_key_of_lokis(world: World) -> None:
    assert keys_of(query(world, '{app="web"}').json()["data"]["stats"]) == STATS


def test_stats_equal_what_was_read(world: World) -> None:
    fill(world)
    stats = query(world, '{app="web"} |= "quoted"').json()["data"]["stats"]
    lines = len(b"first <tag> & \xff") + len(b'second "quoted"') + len(b"third")
    metadata = len("trace") + len("t1")
    assert stats["summary"]["totalLinesProcessed"] == 3
    assert stats["summary"]["totalBytesProcessed"] == lines + metadata
    assert stats["summary"]["totalEntriesReturned"] == 1
    assert stats["summary"]["totalPostFilterLines"] == 1
    assert stats["ingester"]["store"]["chunk"]["headChunkLines"] == 3
    assert world.metric('loki_logql_querystats_bytes_processed_total{tenant="fake"}') == lines + metadata


def test_get_and_posted_form_say_the_same_and_the_form_wins(world: World) -> None:
    fill(world)
    expected = query(world, '{app="db"}').json()["data"]["result"]
    path = "/loki/api/v1/query_range"
    posted = world.ask("POST", path, data={"query": '{app="db"}', **RANGE})
    mixed = world.ask("POST", path + '?query={app="web"}', data={"query": '{app="db"}', **RANGE})
    assert posted.json()["data"]["result"] == mixed.json()["data"]["result"] == expected


def test_a_json_body_is_no_form(world: World) -> None:
    answer = world.ask("POST", "/loki/api/v1/query_range", json={"query": '{app="db"}'})
    assert (answer.status_code, answer.text) == (400, "parse error : syntax error: unexpected $end")


def test_a_form_over_10_mib_is_refused(world: World) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = world.ask("POST", "/loki/api/v1/labels", content=b"x" * (10 * 1024 * 1024 + 1), headers=headers)
    assert (answer.status_code, answer.text) == (413, "http: request body too large")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"query": "{"}, "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"),
        ({"query": '{app="a"}', "limit": "0"}, "limit must be a positive value"),
        (
            {"query": '{app="a"}', "limit": "5001"},
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        ),
        (
            {"query": '{app="a"}', "start": "1", "end": "2880001"},
            "the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)",
        ),
    ],
)
def test_errors_are_plain_text_without_a_newline(world: World, params: dict[str, str], text: str) -> None:
    answer = world.get("/loki/api/v1/query_range", **params)
    assert (answer.status_code, answer.text) == (400, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_parquet_is_not_offered(world: World) -> None:
    headers = {"Accept": "application/vnd.apache.parquet"}
    assert world.ask("GET", "/loki/api/v1/query_range", headers=headers).status_code == 400


def test_max_query_lookback_hides_what_is_older(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_query_lookback": 3600 * 10**9})
    fill(world)
    # The data is from 2026-11-20; whether that is in the future or long past, an hour before now it is not.
    past = {"start": "1000000000", "end": "1000003600"}
    assert world.get("/loki/api/v1/query_range", query='{app="web"}', **past).json()["data"]["result"] == []
    labels = world.get("/loki/api/v1/labels", **past)
    assert (labels.status_code, labels.text) == (
        400,
        "this data is no longer available, it is past now - max_query_lookback (1h)",
    )


def test_big_answers_are_compressed_for_those_who_ask(world: World) -> None:
    fill(world)
    asked = {"query": '{app="web"}', **RANGE}
    path = "/loki/api/v1/query_range"
    packed = world.ask("GET", path, params=asked, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json()["data"]["result"] == query(world, '{app="web"}').json()["data"]["result"]
    for header in ("identity", "gzip;q=0", "br"):
        assert (
            "content-encoding" not in world.ask("GET", path, params=asked, headers={"Accept-Encoding": header}).headers
        )
    small = world.ask("GET", "/loki/api/v1/labels", params=RANGE, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers
    assert gzip.decompress(gzip.compress(small.content)) == small.content


def test_label_names_and_values(world: World) -> None:
    fill(world)
    for path in ("/loki/api/v1/labels", "/loki/api/v1/label", "/api/prom/label"):
        assert world.get(path, **RANGE).content == b'{"status":"success","data":["app","dc","env"]}\n'
    assert world.get("/loki/api/v1/labels", query='{app="web"}', **RANGE).json()["data"] == ["app", "env"]
    assert world.get("/loki/api/v1/label/app/values", **RANGE).json()["data"] == ["db", "web"]
    assert world.get("/api/prom/label/app/values", **RANGE).json()["data"] == ["db", "web"]
    assert world.get("/loki/api/v1/label/d%63/values", **RANGE).content == b'{"status":"success","data":["e&u"]}\n'


def test_no_names_is_an_answer_without_data(world: World) -> None:
    for path in ("/loki/api/v1/labels", "/loki/api/v1/label/nope/values"):
        assert world.get(path, **RANGE).content == b'{"status":"success"}\n'


def test_names_are_those_of_the_whole_day(world: World) -> None:
    fill(world)
    before = {"start": str(T0 - 7200 * 10**9), "end": str(T0 - 3600 * 10**9)}
    assert world.get("/loki/api/v1/labels", **before).json()["data"] == ["app", "dc", "env"]
    assert world.get("/loki/api/v1/series", **before).json()["data"] == []


def test_label_questions_take_selectors_only(world: World) -> None:
    answer = world.get("/loki/api/v1/label/app/values", query='{app="a"} |= "x"', **RANGE)
    assert (answer.status_code, answer.text) == (400, "only label matchers are supported")


def test_series(world: World) -> None:
    fill(world)
    db, web = {"app": "db", "dc": "e&u"}, {"app": "web", "env": "prod"}
    for params in ({}, {"match[]": "{}"}, {"match": "{ }"}, {"match[]": ['{app="db"}', '{env="prod"}', '{app="db"}']}):
        assert world.get("/loki/api/v1/series", **RANGE, **params).json() == {"status": "success", "data": [db, web]}
    assert world.get("/api/prom/series", **RANGE, **{"match[]": '{app="db"}'}).json()["data"] == [db]
    assert world.get("/loki/api/v1/series", **RANGE, match='{app="no"}').content == b'{"status":"success","data":[]}\n'
    posted = world.ask("POST", "/loki/api/v1/series", data={**RANGE, "match[]": ['{app="db"}', '{app="web"}']})
    assert posted.json()["data"] == [db, web]


def test_everything_beside_a_selector_is_refused(world: World) -> None:
    answer = world.get("/loki/api/v1/series", **{"match[]": ["{}", '{app="a"}']})
    assert (answer.status_code, answer.text) == (400, "0 matchers in group: {}")


def test_a_range_backwards_is_refused(world: World) -> None:
    backwards = {"start": str(END), "end": str(T0)}
    assert query(world, '{app="a"}', **backwards).text == "end timestamp must not be before or equal to start time"
    for path in ("/loki/api/v1/labels", "/loki/api/v1/series"):
        answer = world.get(path, **backwards)
        assert (answer.status_code, answer.text) == (
            400,
            "this data is no longer available, it is past now - max_query_lookback (0s)",
        )


def test_a_query_past_its_time_is_a_504(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"query_timeout": 20_000_000})
    released = threading.Event()
    world.store.before_scan = lambda: wait_for(released)
    answer = query(world, '{app="a"}')
    released.set()
    assert answer.status_code == 504
    assert answer.text.startswith("request timed out, decrease the duration of the request")
    assert (
        world.metric('loki_logql_querystats_latency_seconds_count{range="range",status_code="504",type="limited"}') == 1
    )


def test_a_client_that_leaves_ends_its_query(world: World) -> None:
    fill(world)
    started, released = threading.Event(), threading.Event()
    ended_by: list[type[BaseException]] = []

    def wait() -> None:
        started.set()
        assert released.wait(60)

    world.store.before_scan = wait
    pool_run = world.gateway.queries.run

    async def watched_run(ticket: Any, work: Callable[[], Any]) -> Any:
        def watched() -> Any:
            try:
                return work()
            except BaseException as error:
                ended_by.append(type(error))
                raise

        return await pool_run(ticket, watched)

    world.gateway.queries.run = watched_run  # type: ignore[method-assign]

    async def main() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.to_thread(started.wait, 60)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/loki/api/v1/query_range",
            "raw_path": b"/loki/api/v1/query_range",
            "query_string": b"query=%7Bapp%3D%22web%22%7D&start=1795168800&end=1795172400",
            "headers": [],
            "client": ("127.0.0.1", 1),
        }
        await world.app(scope, receive, send)
        released.set()
        async with asyncio.timeout(30):
            while world.gateway.queries.running:  # noqa: ASYNC110 - the pool counts, it does not notify
                await asyncio.sleep(0.001)
        return sent

    assert asyncio.run(main()) == []
    assert ended_by == [QueryCancelled]
    assert (
        world.metric('loki_logql_querystats_latency_seconds_count{range="range",status_code="499",type="limited"}') == 1
    )
