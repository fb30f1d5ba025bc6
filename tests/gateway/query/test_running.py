"""Queries at work: listed, stopped, and told of when they were slow."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from gateway.auth import Scope
from gateway.errors import failure
from gateway.query.errors import QueryCancelled, QueryStopped, UnknownQuery
from gateway.query.pool import QueryPool, Ticket
from gateway.query.running import About, RunningQueries
from gateway.query.shared import SharedRuns
from gateway.query.slow import KEPT, SlowQueries, SlowQuery, summary
from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server, wait_until

T0 = (time.time_ns() // 10**9 - 600) * 10**9
LINES = 60_000
HEAVY = 'quantile_over_time(0.5, {app="a"} | json | line_format "{{.a}}{{.b}}" | x!="y" | unwrap a [1m])'
"""Decided row by row: seconds of work."""


class Gate:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.ended_by: list[type[Exception]] = []

    def work(self, ticket: Ticket) -> int:
        try:
            while not self.open.wait(0.002):
                ticket.check()
        except (QueryStopped, QueryCancelled) as error:
            self.ended_by.append(type(error))
            raise
        return 5


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is not the test's to signal
            await asyncio.sleep(0.002)


def about(tenant: str = "t", query: str = "q") -> About:
    return About(tenant, "range", lambda: {"query": [query]}, "-", "", "")


def begin(
    runs: SharedRuns[int], pool: QueryPool, listed: RunningQueries, gate: Gate, key: str, tenant: str = "t"
) -> asyncio.Future[int]:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begun(run: Any) -> None:
        listed.add(about(tenant, key), run.ticket, run.task, lambda: run.waiting)

    return asyncio.ensure_future(runs.run(key, pool, 60, gate.work, gone, begun))


def states(listed: RunningQueries, *tenants: str) -> dict[str, tuple[str, int]]:
    return {one["query"]: (one["state"], one["requests"]) for one in listed.of(tenants or ("t",))}


def test_runs_are_listed_while_they_wait_and_run_with_how_many_want_them(gate: Gate) -> None:
    async def main() -> None:
        pool, runs, listed = QueryPool(1, 1), SharedRuns[int](), RunningQueries()
        asked = [begin(runs, pool, listed, gate, key) for key in ("first", "first", "second")]
        await until(lambda: pool.running == 1 and pool.waiting == 1)
        assert states(listed) == {"first": ("running", 2), "second": ("waiting", 1)}
        assert states(listed, "other") == {}
        gate.open.set()
        assert await asyncio.gather(*asked) == [5, 5, 5]
        await until(lambda: not len(listed))
        pool.close()

    asyncio.run(main())


def test_all_who_wait_for_a_run_that_is_stopped_are_told_and_its_thread_ends(gate: Gate) -> None:
    async def main() -> None:
        pool, runs, listed = QueryPool(1, 1), SharedRuns[int](), RunningQueries()
        asked = [begin(runs, pool, listed, gate, "key") for _ in range(3)]
        await until(lambda: pool.running == 1)
        number = listed.of(("t",))[0]["id"]
        listed.stop(number, ("t",))
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(error) for error in errors] == [str(QueryStopped(number))] * 3
        assert failure(QueryStopped(number), Scope.QUERY).status == 422
        await until(lambda: not pool.running and not len(listed))
        assert gate.ended_by == [QueryStopped]
        with pytest.raises(UnknownQuery):
            listed.stop(number, ("t",))
        pool.close()

    asyncio.run(main())


def test_a_run_that_waits_for_a_place_can_be_stopped_and_others_go_on(gate: Gate) -> None:
    async def main() -> None:
        pool, runs, listed = QueryPool(1, 1), SharedRuns[int](), RunningQueries()
        first, second = (begin(runs, pool, listed, gate, key) for key in ("first", "second"))
        await until(lambda: pool.running == 1 and pool.waiting == 1)
        listed.stop(listed.of(("t",))[1]["id"], ("t",))
        with pytest.raises(QueryStopped):
            await second
        assert (pool.running, pool.waiting, len(listed)) == (1, 0, 1)
        gate.open.set()
        assert await first == 5
        pool.close()

    asyncio.run(main())


def test_a_tenant_sees_and_stops_its_own_runs_only(gate: Gate) -> None:
    async def main() -> None:
        pool, runs, listed = QueryPool(2, 2), SharedRuns[int](), RunningQueries()
        asked = begin(runs, pool, listed, gate, "both", tenant="a|b")
        await until(lambda: pool.running == 1)
        assert states(listed, "a") == {}
        (one,) = listed.of(("a", "b"))
        with pytest.raises(UnknownQuery):
            listed.stop(one["id"], ("a",))
        gate.open.set()
        assert await asked == 5
        pool.close()

    asyncio.run(main())


def test_a_run_that_nobody_waits_for_is_listed_until_its_thread_has_ended() -> None:
    release = threading.Event()

    def stubborn(_: Ticket) -> int:
        release.wait(20)
        return 1

    async def main() -> None:
        pool, listed = QueryPool(1, 1), RunningQueries()
        ticket = Ticket(60)
        task = asyncio.ensure_future(pool.run(ticket, lambda: stubborn(ticket)))
        listed.add(about(), ticket, task)
        await until(lambda: ticket.at_work)
        task.cancel()
        await until(task.done)
        assert states(listed) == {"q": ("ending", 1)}
        release.set()
        await until(lambda: not len(listed))
        pool.close()

    asyncio.run(main())


def test_the_last_slow_queries_are_kept() -> None:
    slow = SlowQueries()
    for number in range(KEPT + 3):
        slow.add(SlowQuery("t", about(query=str(number)).told(), 0.0, 6.0, 0.0, 200, "", None))
    slow.add(SlowQuery("other", about("other").told(), 0.0, 6.0, 0.0, 504, "too long", None))
    found = slow.of(("t",))
    assert slow.count == KEPT + 4
    assert [found[0]["query"], found[-1]["query"], len(found)] == [str(KEPT + 2), "4", KEPT - 1]


# -- a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # Every query is slow here.
    flags = ("--set", "query.log_slower_than=1ns", "--set", "query.max_concurrent=1")
    with running_server(tmp_path_factory.mktemp("running") / "data", *flags) as running:
        values = [[str(T0 + n * 10**6), json.dumps({"a": n, "b": "x" * 20})] for n in range(LINES)]
        body = {"streams": [{"stream": {"app": "a"}, "values": values}]}
        httpx.post(f"{running.url}/loki/api/v1/push", json=body, timeout=60).raise_for_status()
        httpx.post(f"{running.url}/flush", timeout=60).raise_for_status()
        yield running


def ask(server: ServerProcess, query: str, **headers: str) -> httpx.Response:
    params = {"query": query, "start": str(T0), "end": str(T0 + 120 * 10**9), "step": "30"}
    return httpx.get(f"{server.url}/loki/api/v1/query_range", params=params, headers=headers, timeout=120)


def running(server: ServerProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/weir/v1/queries").raise_for_status().json()["queries"]
    return found


def slow(server: ServerProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/weir/v1/queries/slow").raise_for_status().json()["queries"]
    return found


def test_a_query_is_listed_and_stopped_by_the_command(server: ServerProcess) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(server, HEAVY, **{"X-Query-Tags": "Source=test", "User-Agent": "me/1"}))
    )
    asking.start()
    try:
        seen: list[dict[str, Any]] = []

        def at_work() -> bool:
            seen[:] = running(server)
            return bool(seen) and seen[0]["state"] == "running"

        assert wait_until(at_work)
        (one,) = seen
        assert (one["query"], one["kind"], one["tenant"], one["requests"]) == (HEAVY, "range", "fake", 1)
        assert (one["client"], one["userAgent"], one["tags"]) == ("127.0.0.1", "me/1", "Source=test")
        assert one["parameters"]["step"] == "30"
        printed = weir("queries", "--addr", server.url)
        assert one["id"] in printed.stdout
        assert HEAVY in printed.stdout
        done = weir("queries", "--cancel", one["id"], "--addr", server.url)
        assert (done.returncode, done.stderr) == (0, f"weir: query {one['id']} is stopped\n")
    finally:
        asking.join(60)
    assert (answers[0].status_code, answers[0].text) == (422, str(QueryStopped(one["id"])))
    assert wait_until(lambda: not running(server))
    again = httpx.delete(f"{server.url}/weir/v1/queries/{one['id']}")
    assert again.status_code == 404
    refused = weir("queries", "--cancel", "nothing", "--addr", server.url)
    assert (refused.returncode, "has ended, or never was" in refused.stderr) == (1, True)
    (told,) = [each for each in slow(server) if each["query"] == HEAVY]
    assert told["status"] == 422
    explain = told["explain"]
    assert explain["plans"][0]["made"] == "row by row"
    skipped = explain["units"]["skipped"]
    assert (skipped["limitReached"], skipped["notComeTo"] >= 0) == (0, True)
    line = next(line for line in reversed(server.log_text.splitlines()) if "slow query" in line and HEAVY[:20] in line)
    assert f" lines={explain['entries'][0]['entries']} " in line
    assert " units=0 " not in line


def test_a_slow_query_is_kept_with_what_it_did(server: ServerProcess) -> None:
    query = 'sum by (a) (count_over_time({app="a"} | json | b="nothing" [30s]))'
    ask(server, query).raise_for_status()
    told = slow(server)[0]
    assert (told["query"], told["status"], told["error"]) == (query, 200, "")
    explain = told["explain"]
    assert explain["entries"][0]["entries"] == LINES
    assert explain["units"]["read"]["blocks"] == explain["units"]["considered"] > 0
    assert explain["lines"]["read"] == LINES
    assert explain["lines"]["compressedBytes"] > 0
    assert all("cpuSeconds" not in stage for stage in explain["stages"])
    assert {"read lines", "stages by columns", "other"} <= {stage["stage"] for stage in explain["stages"]}
    line = next(line for line in reversed(server.log_text.splitlines()) if "slow query" in line)
    assert summary(explain)[:40] in line
    # What an earlier query came to is used, and told of.
    ask(server, query).raise_for_status()
    explain = slow(server)[0]["explain"]
    assert explain["units"]["linesNotRead"]["keptSufficed"] == explain["units"]["considered"]
    assert explain["units"]["skipped"]["limitReached"] == 0
    assert explain["lines"]["read"] == 0
    printed = weir("queries", "--slow", "--addr", server.url)
    assert printed.returncode == 0
    assert query in printed.stdout
    assert "what an earlier query came to was enough" in printed.stdout


def test_requests_that_are_no_queries_are_not_slow_ones(server: ServerProcess) -> None:
    before = len(slow(server))
    httpx.get(f"{server.url}/loki/api/v1/labels").raise_for_status()
    assert len(slow(server)) == before
