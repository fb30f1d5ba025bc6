"""An export takes as much memory for a long answer as for a short one."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Self

import httpx
import pytest

from gateway.export.records import Format, Layout
from logql import Direction, Matcher, Unit, parse_log
from logql.walk import Span, walk
from storage.batch import Labels
from storage.reading import Survey
from tests.batch_unit import BatchUnit
from tests.logql.memory_source import Stored, batch_of
from tests.server import running_server

T = 1_700_000_000_000_000_000
JSON = {"Content-Type": "application/json"}
STREAM: Labels = (("app", "a"),)


@dataclass
class Units:
    """A source of units that are there already."""

    units: list[BatchUnit]

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[Unit]:
        del tenant, matchers, start, end, direction, survey
        yield from self.units


def go_on() -> None:
    pass


def test_a_walk_of_ten_times_as_many_units_takes_no_more_memory() -> None:
    units = [
        BatchUnit(batch_of([Stored(STREAM, 1000 * place + at, b"x" * 100) for at in range(1000)]), place)
        for place in range(60)
    ]

    def peak(count: int) -> int:
        lines = 0
        tracemalloc.start()
        try:
            pieces = walk(
                Units(units[:count]), "", parse_log('{app="a"}'), Span(0, 10**9), go_on, piece=1 << 16, room=4000
            )
            for piece in pieces:
                lines += sum(records.count(b"\n") for records, _ in Layout(Format.NDJSON).records(piece.entries))
                del piece
            assert lines == 1000 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(6)
    assert peak(60) < 1.3 * peak(6)


class Peak:
    """The most memory of its own that a process had while a block ran, in bytes; a context manager."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._status = Path(f"/proc/{pid}/status")
        self._done = Event()
        self._thread = Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            rows = dict(row.split(":", 1) for row in self._status.read_text().splitlines())
            self.bytes = max(self.bytes, int(rows["RssAnon"].split()[0]) << 10)
            if self._done.wait(0.02):
                return


@pytest.mark.soak
def test_memory_of_a_server_does_not_grow_with_what_it_exports(tmp_path: Path) -> None:
    """Four times the lines, 1.2 million of them, and less than 100 MB more."""
    streams, each, rounds = 50, 200, 120
    fast = ("--set", "limits.ingestion_rate_mb=1000", "--set", "limits.ingestion_burst_size_mb=1000")
    with running_server(tmp_path / "data", *fast) as server, httpx.Client(base_url=server.url, timeout=120) as client:
        for number in range(rounds):
            first = number * each
            body = [
                {
                    "stream": {"app": f"a{stream}"},
                    "values": [
                        [str(T + (first + at) * 10**8 + stream), f"{first + at} " + "lorem ipsum " * 20]
                        for at in range(each)
                    ],
                }
                for stream in range(streams)
            ]
            client.post("/loki/api/v1/push", content=json.dumps({"streams": body}), headers=JSON).raise_for_status()
        client.post("/flush").raise_for_status()

        def peak(share: int) -> int:
            end = T + rounds * each * 10**8 // share
            params = {"query": '{app=~".+"}', "start": str(T), "end": str(end)}
            lines = 0
            with Peak(server.pid) as seen, client.stream("GET", "/weir/v1/export", params=params) as answer:
                for line in answer.iter_lines():
                    lines += line.startswith('{"ts"')
            assert lines == streams * rounds * each // share
            return seen.bytes

        peak(4)
        short = peak(4)
        assert peak(1) < short + (100 << 20)
