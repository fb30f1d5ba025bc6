"""logcli's requests: pages that lose and double nothing, and the recorded output of the real command."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.asking import Outcome
from tests.conformance.cases import Case, cases
from tests.conformance.listed import FILE, read, surprises
from tests.conformance.states import STATES, fresh_server
from tests.e2e.logcli import SECOND, Entry, InvalidBatchSize, Logcli, Refused, Samples
from tests.e2e.logcli_command import run
from tests.server import ServerProcess, running_server

START = 1_795_168_800 * SECOND
END = START + 3600 * SECOND
LISTED = read(FILE.read_text("utf-8"))
TIES = 3
"""Entries of each stream that share a timestamp."""


def entries() -> list[Entry]:
    """Three streams, 3 x 3 entries at each of 40 moments, in the order in which they are pushed."""
    return [
        Entry(START + moment * SECOND, (("app", "paged"), ("n", str(stream))), f"{moment}-{stream}-{tie} é")
        for moment in range(40)
        for stream in range(3)
        for tie in range(TIES)
    ]


PUSHED = entries()


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the entries: the first half in blocks, the rest in memory."""
    with running_server(tmp_path_factory.mktemp("logcli") / "data") as server:
        half = len(PUSHED) // 2
        push(server.url, PUSHED[:half])
        httpx.post(f"{server.url}/flush").raise_for_status()
        push(server.url, PUSHED[half:])
        yield server


@pytest.fixture
def logcli(paged: ServerProcess) -> Iterator[Logcli]:
    with Logcli(paged.url) as client:
        yield client


def push(url: str, pushed: Sequence[Entry]) -> None:
    streams = [
        {"stream": dict(labels), "values": [[str(entry.ts), entry.line] for entry in group]}
        for labels, group in groupby(sorted(pushed, key=lambda entry: entry.labels), key=lambda entry: entry.labels)
    ]
    answer = httpx.post(f"{url}/loki/api/v1/push", json={"streams": streams})
    assert answer.status_code == 204, answer.text


def lines(client: Logcli, query: str = '{app="paged"}', **options: Any) -> list[Entry]:
    pages = client.query(query, START, END, **options)
    return [entry for page in pages if isinstance(page, list) for entry in page]


def key(found: Sequence[Entry]) -> list[tuple[int, str]]:
    return [(entry.ts, entry.line) for entry in found]


def in_direction(pushed: Sequence[Entry], *, forward: bool) -> list[int]:
    return sorted((entry.ts for entry in pushed), reverse=not forward)


# 9 entries share a timestamp: 10 is the least page that gets past one.
@pytest.mark.parametrize("batch", [10, 11, 17, 18, 19, 100, 1000])
@pytest.mark.parametrize("forward", [False, True])
def test_all_lines_come_once_and_in_order_whatever_the_page(logcli: Logcli, batch: int, *, forward: bool) -> None:
    found = lines(logcli, limit=0, batch=batch, forward=forward)
    assert Counter(key(found)) == Counter(key(PUSHED))
    assert [entry.ts for entry in found] == in_direction(PUSHED, forward=forward)
    for (_, stream), ties in by_stream(found).items():
        arrived = [entry.line for entry in PUSHED if (entry.ts, dict(entry.labels)["n"]) == (_, stream)]
        assert [entry.line for entry in ties] == (arrived if forward else arrived[::-1])
    assert len(logcli.sent) >= len(PUSHED) / batch


def by_stream(found: Sequence[Entry]) -> dict[tuple[int, str], list[Entry]]:
    """Entries by timestamp and stream, each in the order in which they came."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in found:
        groups.setdefault((entry.ts, dict(entry.labels)["n"]), []).append(entry)
    return groups


@pytest.mark.parametrize("limit", [1, 5, 9, 10, 25, 359, 360, 361])
@pytest.mark.parametrize("forward", [False, True])
def test_a_limit_gives_the_same_first_lines_in_one_page_and_in_many(
    logcli: Logcli, limit: int, *, forward: bool
) -> None:
    whole = lines(logcli, limit=limit, forward=forward)
    paged_through = lines(logcli, limit=limit, batch=10, forward=forward)
    # An answer is sorted by stream, so which lines come is the server's choice among ties, not their order.
    assert Counter(key(paged_through)) == Counter(key(whole))
    assert [entry.ts for entry in whole] == in_direction(PUSHED, forward=forward)[:limit]
    assert not Counter(key(whole)) - Counter(key(PUSHED))


@pytest.mark.parametrize("forward", [False, True])
def test_more_lines_with_one_timestamp_than_a_page_holds_end_the_command(logcli: Logcli, *, forward: bool) -> None:
    with pytest.raises(InvalidBatchSize):
        lines(logcli, limit=0, batch=9, forward=forward)


def test_pages_of_a_filtered_and_parsed_query(logcli: Logcli) -> None:
    query = '{app="paged"} |= "-1-" | pattern "<moment>-<_>" | moment > 9 | label_format tens="{{div .moment 10}}"'
    found = lines(logcli, query, limit=0, batch=10, forward=True)
    wanted = [entry for entry in PUSHED if entry.line.split("-")[1] == "1" and int(entry.line.split("-")[0]) > 9]
    assert key(found) == key(wanted)
    assert {dict(entry.labels)["tens"] for entry in found} == {"1", "2", "3"}


def test_a_page_of_five_thousand(tmp_path: Path) -> None:
    pushed = [Entry(START + n * 1000, (("app", "big"),), f"line {n}") for n in range(12_000)]
    with running_server(tmp_path / "data") as server, Logcli(server.url, compress=True) as logcli:
        push(server.url, pushed)
        assert key(lines(logcli, '{app="big"}', limit=0, batch=4999, forward=True)) == key(pushed)
        # One line at the edge is asked for again: 4999 + 1 is the most that a server allows by default.
        assert [sent["limit"] for sent in logcli.sent] == ["4999", "5000", "5000", "5000"]
        with pytest.raises(Refused, match=r"max_entries_limit_per_query \(5001 > 5000\)"):
            lines(logcli, '{app="big"}', limit=0, batch=5000)


def test_step_and_interval_are_seconds(logcli: Logcli) -> None:
    [matrix] = logcli.query('sum(count_over_time({app="paged"}[10s]))', START, START + 30 * SECOND, step=10)
    assert matrix == Samples(
        "matrix",
        [{"metric": {}, "values": [[START // SECOND, "9"], *([START // SECOND + n, "90"] for n in (10, 20, 30))]}],
    )
    # A window ends with its last moment and begins behind its first.
    thinned = lines(logcli, '{app="paged",n="0"}', limit=0, interval=10, forward=True)
    assert [(entry.ts - START) // SECOND for entry in thinned] == [0, 10, 20, 30]
    assert [sent.get("step", sent.get("interval")) for sent in logcli.sent][:2] == ["10", "10"]


def test_an_instant_query_gives_seconds_for_vectors_and_milliseconds_for_scalars(logcli: Logcli) -> None:
    now = START + 100 * SECOND
    vector = logcli.instant_query('sum by (n) (count_over_time({app="paged"}[1h]))', now)
    assert sorted(vector.result, key=lambda sample: str(sample["metric"]["n"])) == [
        {"metric": {"n": str(n)}, "value": [now // SECOND, "120"]} for n in range(3)
    ]
    assert logcli.instant_query("1+1", now) == Samples("scalar", [now // 10**6, "2"])


def test_labels_values_and_series(logcli: Logcli) -> None:
    assert logcli.labels(START, END) == ["app", "n", "service_name"]
    assert logcli.labels(START, END, "n") == ["0", "1", "2"]
    assert logcli.labels(START, END, "nothing") == []
    streams = [{"app": "paged", "n": str(n), "service_name": "paged"} for n in range(3)]
    for matchers in ((), ("{}",), ('{n="0"}', '{n=~"1|2"}', '{n="2"}')):
        assert sorted(logcli.series(START, END, *matchers), key=str) == streams
    assert logcli.series(START, END, '{n="3"}') == []


def test_stats_are_those_of_what_is_stored(logcli: Logcli) -> None:
    figures = logcli.stats('{app="paged"}', START, END)
    assert (figures["streams"], figures["entries"]) == (3, len(PUSHED))
    assert figures["bytes"] >= sum(len(entry.line.encode()) for entry in PUSHED)
    assert figures["chunks"] > 0


def test_options_that_are_headers(paged: ServerProcess) -> None:
    with Logcli(paged.url, org_id="someone", query_tags="Source=logcli,x=y", compress=True, nocache=True) as client:
        assert len(lines(client, limit=2, batch=20)) == 2


def test_a_refusal_carries_the_servers_words(logcli: Logcli) -> None:
    with pytest.raises(Refused, match="error response from server: parse error at line 1, col 5: syntax error"):
        lines(logcli, "sum(")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fresh_server(tmp_path_factory.mktemp("logcli-recorded") / "data") as server:
        STATES["half and half"](server)
        yield server.url


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases("logcli")])
def test_the_real_commands_output(recorded: str, case: Case) -> None:
    found = surprises(LISTED, [Outcome(case, difference(case, *run(recorded, case.request["args"])))])
    assert not found, found[0]


def difference(case: Case, code: int, stdout: str) -> str | None:
    """How the output differs from the recorded one; None if it does not."""
    compare, expected = case.request.get("compare", {}), case.expect["stdout"]
    if code != case.expect["rc"]:
        return f"exit code {code}, expected {case.expect['rc']}"
    wanted, got = (comparable(text, compare) for text in (expected, stdout))
    return None if wanted == got else f"got {got!r}, expected {wanted!r}"


def comparable(text: str, compare: dict[str, bool]) -> Any:
    if compare.get("json_lines"):
        return [json.loads(line) for line in text.split("\n") if line]
    if compare.get("json_doc"):
        return sorted(json.dumps(one, sort_keys=True) for one in json.loads(text))
    return sorted(text.split("\n")) if compare.get("unordered_lines") else text
