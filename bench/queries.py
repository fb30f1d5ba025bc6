"""The queries of the bench, and what their answers must be, told from the generated lines alone."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from bench.lines import APPS, Lines
from bench.payloads import SPREAD, START, times

STEP = 60_000_000_000
"""ns between the points of an answer, and the range of every query's windows."""

Totals = dict[str, float]
"""The sum of a series' points, by the value of the label it is grouped by ("" if by none)."""


@dataclass(frozen=True, slots=True)
class Query:
    """One row's query.

    Attributes:
        row: name.
        text: LogQL, for the range of all lines in steps of STEP.
        apps: whose lines it covers.
        truth: what the answer's points sum up to.
        scale: by which a point is multiplied to be a count.
        note: for the row.
    """

    row: str
    text: str
    apps: tuple[str, ...]
    truth: Callable[[Lines], Totals]
    scale: float = 1.0
    note: str = ""

    def parameters(self) -> dict[str, str | int]:
        """Of /loki/api/v1/query_range. Windows are open at their begin, so that the first is (START, START + STEP]."""
        return {"query": self.text, "start": START + STEP, "end": START + SPREAD, "step": "60s"}


def totals(result: Iterable[dict[str, object]], scale: float = 1.0) -> Totals:
    """What a matrix sums up to. Raises ValueError for a series with more than one label."""
    found: Totals = {}
    for series in result:
        metric, values = series["metric"], series["values"]
        assert isinstance(metric, dict)
        assert isinstance(values, list)
        if len(metric) > 1:
            raise ValueError(f"a series of more labels than asked for: {metric}")
        found["".join(metric.values())] = sum(float(value) for _, value in values) * scale
    return found


def differ(found: Totals, expected: Totals) -> bool:
    """Whether two totals are not the same but for rounding."""
    return found.keys() != expected.keys() or not np.allclose(
        [found[key] for key in expected], list(expected.values()), rtol=1e-6
    )


def _counted(keep: Callable[[bytes], object] | None) -> Callable[[Lines], Totals]:
    def truth(lines: Lines) -> Totals:
        counts = {
            app: len(kind) if keep is None else sum(1 for line in kind if keep(line)) for app, kind in lines.items()
        }
        return {app: float(count) for app, count in counts.items() if count}

    return truth


def _grouped(app: str, key: Callable[[bytes], str]) -> Callable[[Lines], Totals]:
    return lambda lines: dict(Counter(map(key, lines[app])))


def _slow(lines: Lines) -> Totals:
    return {"": float(sum(json.loads(line)["duration_ms"] > 1000 for line in lines["json"]))}


def _p99(lines: Lines) -> Totals:
    """The sum over all windows of each service's 99th percentile, linear between ranks as Prometheus has it."""
    windows: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for when, line in zip(times(len(lines["json"])), lines["json"], strict=True):
        read = json.loads(line)
        windows[read["service"], (when - START - 1) // STEP].append(read["duration_ms"])
    found: defaultdict[str, float] = defaultdict(float)
    for (service, _), values in windows.items():
        found[service] += float(np.quantile(values, 0.99))
    return dict(found)


def _filtered(row: str, line_filter: str, keep: Callable[[bytes], object] | None, note: str = "") -> Query:
    text = f'sum by (app) (count_over_time({{env="prod"}} {line_filter} [1m]))'
    return Query(row, text, APPS, _counted(keep), note=note)


def _regex(row: str, regex: str) -> Query:
    return _filtered(row, f"|~ `{regex}`", re.compile(regex.encode()).search)


def scans(lines: Lines) -> tuple[Query, ...]:
    """Queries without a parser, over every line."""
    middle = lines["json"][len(lines["json"]) // 2]
    needle: str = json.loads(middle)["trace_id"]
    return (
        _filtered("count per minute, no filter, all", "", None),
        _filtered(
            "count with literal filter, all", '|= "connection refused"', lambda line: b"connection refused" in line
        ),
        _regex("regex filter, all", "connection (refused|reset|closed)"),
        _filtered(
            "needle (id), all, compacted",
            f'|= "{needle}"',
            lambda line: needle.encode() in line,
            note="there is no text index yet: every line was read",
        ),
        _regex("regex without a literal, all", "[^a-z][45][0-9]{2}[^0-9]"),
        _regex("regex, any case, all", "(?i)timeout waiting"),
    )


def parsing() -> tuple[Query, ...]:
    """Queries that parse each line."""
    return (
        Query(
            "JSON: filter on number, count",
            'sum(count_over_time({app="json"} | json | duration_ms > 1000 [1m]))',
            ("json",),
            _slow,
        ),
        Query(
            "JSON: count by level",
            'sum by (level) (count_over_time({app="json"} | json [1m]))',
            ("json",),
            _grouped("json", lambda line: str(json.loads(line)["level"])),
        ),
        Query(
            "logfmt: count by level",
            'sum by (level) (count_over_time({app="logfmt"} | logfmt [1m]))',
            ("logfmt",),
            _grouped("logfmt", lambda line: line.partition(b" level=")[2].partition(b" ")[0].decode()),
        ),
        Query(
            "pattern: rate by status",
            'sum by (status) (rate({app="nginx"} | pattern '
            '`<ip> - - <_> "<method> <path> <_>" <status> <size> <_>` [1m]))',
            ("nginx",),
            _grouped("nginx", lambda line: line.split(b'" ', 2)[1].partition(b" ")[0].decode()),
            scale=STEP / 1e9,
        ),
        Query(
            "JSON unwrap p99 by service",
            'quantile_over_time(0.99, {app="json"} | json | unwrap duration_ms [1m]) by (service)',
            ("json",),
            _p99,
        ),
    )


def everywhere() -> Query:
    """One of those that parse, to be measured on all processors."""
    return replace(parsing()[0], row="JSON: filter on number, count, all processors")
