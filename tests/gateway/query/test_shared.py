"""One run for identical queries in flight, and results that are kept for the next query."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from gateway.query.errors import QueryCancelled
from gateway.query.pool import QueryPool, Ticket
from gateway.query.shared import SharedRuns
from tests.gateway.world import World
from tests.server import running_server

RANGE = "/loki/api/v1/query_range"
ASKED = {"query": 'sum(rate({app="a"}[1m]))', "start": "60", "end": "120", "step": "60"}


class Gate:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.open = threading.Event()

    def work(self, ticket: Ticket) -> int:
        self.runs += 1
        while not self.open.wait(0.005):
            ticket.check()
        return self.runs


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def held(release: threading.Event) -> None:
    assert release.wait(20)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is not the test's to signal
            await asyncio.sleep(0.002)


def test_a_run_goes_on_when_who_began_it_leaves_and_ends_with_the_last(gate: Gate) -> None:
    async def main() -> None:
        pool, runs = QueryPool(2, 2), SharedRuns[int]()
        gone = [asyncio.get_running_loop().create_future() for _ in range(3)]
        asked = [asyncio.ensure_future(runs.run("key", pool, 60, gate.work, each)) for each in gone]
        await until(lambda: gate.runs == 1)
        gone[0].set_result(None)
        with pytest.raises(QueryCancelled):
            await asked[0]
        gate.open.set()
        assert await asked[1] == 1
        assert await asked[2] == 1
        assert (runs.begun, runs.joined) == (1, 2)
        gate.open.clear()
        for each in gone:
            each.cancel()
        last = asyncio.get_running_loop().create_future()
        alone = asyncio.ensure_future(runs.run("key", pool, 60, gate.work, last))
        await until(lambda: gate.runs == 2)
        last.set_result(None)
        with pytest.raises(QueryCancelled):
            await alone
        # Its thread ends at the next check, and nobody is given what it was about to come to.
        await until(lambda: pool.running == 0)
        gate.open.set()
        never = asyncio.get_running_loop().create_future()
        assert await runs.run("key", pool, 60, gate.work, never) == 3
        pool.close()

    asyncio.run(main())


def test_who_asks_after_a_delete_joins_nothing_that_began_before(gate: Gate) -> None:
    async def main() -> None:
        pool, runs = QueryPool(2, 2), SharedRuns[int]()
        gone = [asyncio.get_running_loop().create_future() for _ in range(3)]
        before = asyncio.ensure_future(runs.run("key", pool, 60, gate.work, gone[0]))
        await until(lambda: gate.runs == 1)
        runs.part()
        after = [asyncio.ensure_future(runs.run("key", pool, 60, gate.work, each)) for each in gone[1:]]
        await until(lambda: gate.runs == 2)
        gate.open.set()
        await asyncio.gather(before, *after)
        assert (runs.begun, runs.joined) == (2, 1)
        for each in gone:
            each.cancel()
        pool.close()

    asyncio.run(main())


def test_an_error_is_shared_and_not_kept() -> None:
    async def main() -> None:
        pool, runs, release = QueryPool(2, 2), SharedRuns[int](), threading.Event()

        def fails(_: Ticket) -> int:
            release.wait(20)
            raise ValueError("no")

        never = asyncio.get_running_loop().create_future()
        asked = [asyncio.ensure_future(runs.run("key", pool, 60, fails, never)) for _ in range(3)]
        await until(lambda: runs.joined == 2)
        release.set()
        assert [str(each) for each in await asyncio.gather(*asked, return_exceptions=True)] == ["no"] * 3
        assert await runs.run("key", pool, 60, lambda _: 5, never) == 5
        pool.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("others", "runs"),
    [
        ([{}] * 5, 1),
        ([{"end": "180"}], 2),
        ([{"query": 'sum(rate({app="b"}[1m]))'}], 2),
        ([{"step": "30"}], 2),
        ([{"start": "", "end": "7200"}] * 2, 3),
    ],
    ids=["the same", "another end", "another query", "another step", "a start by the clock"],
)
def test_requests_share_a_run_if_their_answers_are_equal(world: World, others: list[dict[str, str]], runs: int) -> None:
    release = threading.Event()
    world.store.before_scan = lambda: held(release)
    world.store.add({"app": "a"}, (70 * 10**9, b"x"), (80 * 10**9, b"y"))

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
            asked = [asyncio.ensure_future(client.get(RANGE, params=ASKED | more)) for more in ({}, *others)]
            shared = world.gateway.runs
            await until(lambda: shared.begun + shared.joined == len(asked))
            release.set()
            return await asyncio.gather(*asked)

    answers = asyncio.run(main())
    assert {answer.status_code for answer in answers} == {200}
    assert world.gateway.runs.begun == runs
    if runs == 1:
        results = [answer.json()["data"]["result"] for answer in answers]
        assert results == [results[0]] * len(results)
        assert results[0][0]["values"][-1][1] != "0"


def test_a_long_answer_is_given_to_each(world: World) -> None:
    release = threading.Event()
    world.store.before_scan = lambda: held(release)
    world.store.add({"app": "a"}, *((70 * 10**9 + at, b"%d" % at * 200) for at in range(4000)))
    asking = {"query": '{app="a"}', "start": "60", "end": "120", "limit": "4000"}

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
            asked = [asyncio.ensure_future(client.get(RANGE, params=asking)) for _ in range(3)]
            await until(lambda: world.gateway.runs.joined == 2)
            release.set()
            return await asyncio.gather(*asked)

    bodies = [answer.json()["data"]["result"] for answer in asyncio.run(main())]
    assert len(bodies[0][0]["values"]) == 4000
    assert bodies[1:] == bodies[:1] * 2


def figure(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split(" ")[1])
    raise AssertionError(f"no {name}")


def ask(url: str, query: str, *, no_cache: bool = False) -> list[object]:
    parameters = urlencode({"query": query, "start": "1000000000", "end": "1000000600", "step": "60"})
    headers = {"Cache-Control": "no-cache"} if no_cache else {}
    request = urllib.request.Request(f"{url}{RANGE}?{parameters}", headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: list[object] = json.loads(answer.read())["data"]["result"]
        return found


def test_twenty_identical_queries_are_run_once_and_results_are_kept(tmp_path: Path) -> None:
    slow = 'sum by (n) (count_over_time({app="a"} | line_format "{{ __line__ }} %s" | regexp "(?P<n>x[0-9])" [1m]))'
    limits = {
        "WEIR_QUERY__MAX_CONCURRENT": "1",
        "WEIR_LIMITS__REJECT_OLD_SAMPLES": "false",
    }
    with running_server(tmp_path / "data", env=limits) as server:
        values = [[str((1_000_000_000 + at % 600) * 10**9 + at), f"x{at % 7}"] for at in range(30_000)]
        body = json.dumps({"streams": [{"stream": {"app": "a"}, "values": values}]}).encode()
        for path, data in (("/loki/api/v1/push", body), ("/flush", b"")):
            sent = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})
            urllib.request.urlopen(sent, timeout=60).close()
        # One query has the only place, so the twenty wait for it together.
        with ThreadPoolExecutor(21) as clients:
            first = clients.submit(ask, server.url, slow % "first")
            answers = list(clients.map(lambda _: ask(server.url, slow % "same"), range(20)))
        assert answers == [answers[0]] * 20
        assert len(first.result()) == 7
        assert figure(server.url, "weir_query_runs_total") + figure(server.url, "weir_query_joined_total") == 21
        assert figure(server.url, "weir_query_runs_total") <= 3
        missed = figure(server.url, "weir_result_cache_misses_total")
        assert ask(server.url, slow % "same") == answers[0]
        assert figure(server.url, "weir_result_cache_hits_total") > 0
        hits = figure(server.url, "weir_result_cache_hits_total")
        assert ask(server.url, slow % "same", no_cache=True) == answers[0]
        assert figure(server.url, "weir_result_cache_misses_total") == missed
        assert figure(server.url, "weir_result_cache_hits_total") == hits
        assert 0 < figure(server.url, "weir_result_cache_bytes") <= 64 << 20
