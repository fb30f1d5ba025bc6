"""The whole bench, as scenarios: each loads servers of its own and gives some of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.asking import last_lines, many_entries, query_row
from bench.compaction import beside_compaction
from bench.dashboard import dashboard
from bench.doors import by_json, by_log, by_otlp
from bench.floors import ScanFloor, codec_floor
from bench.forward import by_forward
from bench.growth import growing_lines, growing_streams
from bench.ingest import compacted_disk, fresh_load, load, main_rows, metadata_rows, smaller_rows
from bench.lines import Lines, all_lines
from bench.measured import Measured, over_floor
from bench.payloads import Payloads, payloads
from bench.processors import ALL, on
from bench.queries import Query, everywhere, parsing, scans
from bench.rows import ROWS
from bench.server import MeasuredServer
from bench.small_pushes import small_pushes
from bench.starting import starts
from bench.tail import live_tail
from bench.volume import volumes

TRIPLES = 500_000
"""Lines of each app: 1.5 M lines, 361 MB of payload."""
PER_REQUEST = 5_000
INGESTS = 2
"""Loads of all lines; the one that cost least counts."""


@dataclass(frozen=True)
class Inputs:
    """What the scenarios share: made when first asked for.

    Attributes:
        folder: for data directories.
        triples: lines of each app.
        wanted: whether a row of this name is to be measured.
    """

    folder: Path
    triples: int
    wanted: Callable[[str], bool]

    @cached_property
    def lines(self) -> Lines:
        """All lines."""
        return all_lines(self.triples)

    @cached_property
    def pushed(self) -> Payloads:
        """All lines, PER_REQUEST a request."""
        return payloads(self.lines, PER_REQUEST)

    def any_of(self, names: tuple[str, ...]) -> bool:
        """Whether one of these rows is wanted."""
        return any(map(self.wanted, names))


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some rows that are measured together.

    Attributes:
        rows: their names.
        run: measures them; it may leave out what is not wanted.
        everywhere: on all processors.
    """

    rows: tuple[str, ...]
    run: Callable[[Inputs], Iterator[Measured]]
    everywhere: bool = False


def _named(*beginnings: str) -> tuple[str, ...]:
    return tuple(row.name for row in ROWS if row.name.startswith(beginnings))


_LOAD = (
    *_named("ingest, 5,000 lines a request, in blocks", "peak RSS", "bytes written per line, 5,000"),
    "disk after flush, of payload",
)
_LAST = _named("last 100 lines")
_ENTRIES = _named("log query of 5,000")
_DASHBOARD = _named("dashboard")
_VOLUMES = _named("volume")
_COMPACTED = ("disk after compaction with index, of payload", "needle (id), all, compacted")
_SCANS = _named("count ", "regex", "needle")
_PARSING = (*(query.row for query in parsing()), everywhere().row)


def measure(inputs: Inputs) -> Iterator[Measured]:
    """Every wanted row, in the order in which it is measured."""
    for scenario in _scenarios():
        if inputs.any_of(scenario.rows):
            with on(ALL) if scenario.everywhere else nullcontext():
                found = [made for made in scenario.run(inputs) if inputs.wanted(made.name)]
            yield from found


def _scenarios() -> tuple[Scenario, ...]:
    asked = (*_SCANS, *_PARSING, *_LAST, *_ENTRIES, *_DASHBOARD, *_VOLUMES)
    small = _named("small pushes")
    return (
        Scenario(_named("start to ready", "idle RSS"), lambda inputs: starts(inputs.folder), everywhere=True),
        Scenario((*_LOAD, *asked, *_COMPACTED), _all_lines),
        Scenario(_named("ingest, 5,000 lines a request, all"), _load_everywhere, everywhere=True),
        Scenario(
            _named("ingest, 100", "ingest, 1 ", "bytes written per line, 1"),
            lambda inputs: smaller_rows(inputs.folder, inputs.lines, inputs.wanted),
        ),
        Scenario(
            _named("ingest with structured", "disk after flush with structured"),
            lambda inputs: metadata_rows(inputs.folder, inputs.lines),
        ),
        Scenario(small, lambda inputs: iter([small_pushes(inputs.folder, inputs.lines)])),
        Scenario(_named("ingest by OTLP"), lambda inputs: iter([by_otlp(inputs.folder, inputs.lines)])),
        Scenario(_named("ingest by JSON"), lambda inputs: iter([by_json(inputs.folder, inputs.lines)])),
        Scenario(_named("ingest by Forward"), lambda inputs: by_forward(inputs.folder, inputs.lines)),
        Scenario(_named("POST /log"), lambda inputs: iter([by_log(inputs.folder, inputs.lines)]), everywhere=True),
        Scenario(_named("live tail"), lambda inputs: live_tail(inputs.folder, inputs.lines), everywhere=True),
        Scenario(_named("compaction: "), _beside_compaction),
        Scenario(_named("growth 0.3"), lambda inputs: growing_lines(inputs.folder, inputs.lines, inputs.pushed)),
        Scenario(_named("growth 10"), lambda inputs: growing_streams(inputs.folder, inputs.lines)),
    )


def _all_lines(inputs: Inputs) -> Iterator[Measured]:
    """Ingest at PER_REQUEST, and the queries over what it left."""
    ingesting = inputs.any_of(_LOAD)
    loads = [fresh_load(inputs.folder / f"load-{number}", inputs.pushed) for number in range(INGESTS - 1) if ingesting]
    with MeasuredServer(inputs.folder / "load") as server:
        loads.append(load(server, inputs.pushed.bodies))
        if ingesting:
            floor = codec_floor(inputs.pushed.bodies)
            yield from main_rows(min(loads, key=lambda made: made.cpu), inputs.pushed, floor)
        queries = scans(inputs.lines)
        yield from _queries(server, inputs, (*(one for one in queries if one.row not in _COMPACTED), *parsing()))
        if inputs.any_of(_VOLUMES):
            yield from volumes(server, inputs.lines)
        if inputs.any_of(_ENTRIES):
            yield many_entries(server, inputs.lines)
        with on(ALL, server):
            yield from _queries(server, inputs, (everywhere(),))
            if inputs.any_of(_LAST):
                yield last_lines(server, inputs.lines)
        if inputs.any_of(_COMPACTED):
            yield compacted_disk(server, inputs.pushed)
            yield from _queries(server, inputs, tuple(one for one in queries if one.row in _COMPACTED))
        with on(ALL, server):
            if inputs.any_of(_DASHBOARD):
                yield from dashboard(server, inputs.lines)


def _load_everywhere(inputs: Inputs) -> Iterator[Measured]:
    """Ingest at PER_REQUEST on all processors."""
    made = fresh_load(inputs.folder / "load-everywhere", inputs.pushed)
    yield over_floor("ingest, 5,000 lines a request, all processors", made.cpu, codec_floor(inputs.pushed.bodies))


def _beside_compaction(inputs: Inputs) -> Iterator[Measured]:
    """What pushes and a query cost while blocks are compacted."""
    query = next(one for one in scans(inputs.lines) if one.row == "count with literal filter, all")
    yield from beside_compaction(inputs.folder, inputs.lines, inputs.pushed, query)


def _queries(server: MeasuredServer, inputs: Inputs, queries: tuple[Query, ...]) -> Iterator[Measured]:
    asked = [query for query in queries if inputs.wanted(query.row)]
    if asked:
        floors = ScanFloor(inputs.lines)
        for query in asked:
            yield query_row(server, query, inputs.lines, floors)
