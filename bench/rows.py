"""Every row of the bench: its name, what its figure is, and what it must reach.

`must` is the least that may ship, `aim` is what we are after; Loki's and VictoriaLogs' figures were measured on a
machine of the same kind with a payload of the same kind. A row with neither is there to be watched.
"""

from __future__ import annotations

from dataclasses import dataclass

CODEC = "x codec"
SCAN = "x scan"
OVER_FLOOR = (CODEC, SCAN)
"""Units that are CPU-seconds over a floor's CPU-seconds, and so mean the same on any machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        name: as printed and as in results.json.
        unit: of the figure.
        must: bound on the figure, or None.
        aim: likewise.
        loki: the figure of a real Loki, or None.
        victorialogs: that of VictoriaLogs, or None.
        more: more is better.
        means: what is measured, for docs/performance.md.
        part_of: the name under which the design has this row together with another, or nothing.
    """

    name: str
    unit: str
    must: float | None = None
    aim: float | None = None
    loki: float | None = None
    victorialogs: float | None = None
    more: bool = False
    means: str = ""
    part_of: str = ""

    def ok(self, figure: float | None) -> bool | None:
        """Whether a figure reaches `must`; None if there is nothing to compare."""
        if figure is None or self.must is None:
            return None
        return figure >= self.must if self.more else figure <= self.must


_DISK = "disk after flush / after compaction with index, of payload"
_START = "start to ready, empty; idle RSS"

ROWS = (
    Row(
        "ingest, 5,000 lines a request, in blocks",
        CODEC,
        3.0,
        2.2,
        11.0,
        12.0,
        means="1.5 M lines over 4 connections, snappy protobuf, until `/flush` returned",
    ),
    Row(
        "ingest, 100 lines a request",
        CODEC,
        6.0,
        4.0,
        means="300,000 of these lines, 100 a request, over 32 connections, as many agents send them; the floor is that "
        "of these bodies",
    ),
    Row(
        "small pushes: 1 JSON line, 32 connections, requests per CPU-second",
        "requests/CPU-s",
        3000,
        8000,
        8000,
        43000,
        more=True,
        means="a JSON push with one line, kept-alive connections that wait for each answer",
    ),
    Row(
        "count per minute, no filter, all",
        SCAN,
        0.1,
        0.05,
        9.0,
        0.1,
        means='`sum by (app) (count_over_time({env="prod"}[1m]))`, 50 steps, all lines',
    ),
    Row(
        "volume by app, all",
        SCAN,
        0.1,
        0.05,
        means='index/volume of `{env="prod"}`, all lines, in blocks',
    ),
    Row(
        "volume by pod, 50 steps, all",
        SCAN,
        0.1,
        0.05,
        means="index/volume_range, 30 series of 51 points",
    ),
    Row(
        "count with literal filter, all",
        SCAN,
        1.3,
        1.1,
        5.5,
        1.05,
        means='the same with `|= "connection refused"`',
    ),
    Row(
        "regex filter, all",
        SCAN,
        1.5,
        1.2,
        5.6,
        1.2,
        means='the same with `|~ "connection (refused|reset|closed)"`',
    ),
    Row(
        "needle (id), all, compacted",
        SCAN,
        0.1,
        0.02,
        5.2,
        0.02,
        means="the same for one trace id, which two lines hold",
    ),
    Row(
        "JSON: filter on number, count",
        SCAN,
        2.7,
        2.2,
        7.5,
        4.8,
        means='`sum(count_over_time({app="json"} | json | duration_ms > 1000 [1m]))`',
    ),
    Row(
        "JSON: count by level",
        SCAN,
        2.7,
        2.2,
        11.0,
        5.0,
        means='`sum by (level) (count_over_time({app="json"} | json [1m]))`',
    ),
    Row(
        "logfmt: count by level",
        SCAN,
        2.7,
        2.2,
        13.0,
        4.2,
        means='`sum by (level) (count_over_time({app="logfmt"} | logfmt [1m]))`',
    ),
    Row(
        "pattern: rate by status",
        SCAN,
        2.2,
        1.8,
        15.0,
        2.5,
        means='`sum by (status) (rate({app="nginx"} | pattern ... [1m]))`',
    ),
    Row(
        "JSON unwrap p99 by service",
        SCAN,
        4.0,
        3.0,
        17.0,
        10.0,
        means='`quantile_over_time(0.99, {app="json"} | json | unwrap duration_ms [1m]) by (service)`',
    ),
    Row(
        "last 100 lines, wall",
        "ms",
        20,
        10,
        10,
        means='`{env="prod"}`, backward, limit 100: the middle of 15 answers as the client sees them',
    ),
    Row(
        "disk after flush, of payload",
        "%",
        18.5,
        17,
        21,
        18.6,
        means="bytes of blocks over bytes of protobuf before snappy",
        part_of=_DISK,
    ),
    Row(
        "disk after compaction with index, of payload",
        "%",
        20,
        18,
        21,
        18.6,
        means="the same, compacted and with the text index",
        part_of=_DISK,
    ),
    Row(
        "patterns of lines, of the CPU of ingest",
        "%",
        15,
        5,
        means="CPU-seconds spent on what `/loki/api/v1/patterns` answers, over those of the first row's load",
    ),
    Row("peak RSS while loading", "MB", 500, 400, 700, 220, means="of the first row's server"),
    Row(
        "start to ready, empty",
        "s",
        3,
        1.5,
        30,
        2,
        means="the least of 3 starts, to the first 200 of `/ready`",
        part_of=_START,
    ),
    Row("idle RSS", "MB", 220, 170, 132, 11, means="a second after that start", part_of=_START),
    Row(
        "regex without a literal, all",
        SCAN,
        means='`|~ "[^a-z][45][0-9]{2}[^0-9]"`: nothing to look for first, RE2 reads every line',
    ),
    Row("regex, any case, all", SCAN, means='`|~ "(?i)timeout waiting"`'),
    Row(
        "ingest, 5,000 lines a request, all processors",
        CODEC,
        means="the first row's load where the server's threads run beside each other",
    ),
    Row(
        "JSON: filter on number, count, all processors",
        SCAN,
        means="that query where its two threads run beside each other",
    ),
    Row(
        "ingest, 100 lines a request, 4 connections",
        CODEC,
        means="the same over 4: a commit has two or three of them, and each wakes two threads",
    ),
    Row(
        "ingest, 1 line a request",
        CODEC,
        means="6,000 protobuf pushes of one line over 4 connections, flushed; the floor is that of these bodies",
    ),
    Row("bytes written per line, 5,000 lines a request", "bytes", means="WAL, blocks and catalog, as the disk sees it"),
    Row("bytes written per line, 100 lines a request", "bytes", means="likewise"),
    Row("bytes written per line, 1 line a request", "bytes", means="likewise; a write is a page at least"),
    Row(
        "ingest with structured metadata, 5,000 lines a request",
        CODEC,
        means="60,000 lines with trace_id, span_id and 8 of 200 further keys each, as OTLP brings them",
    ),
    Row(
        "disk after flush with structured metadata, of payload",
        "%",
        means="of that set",
    ),
    Row(
        "ingest by OTLP, 1,000 records a request",
        CODEC,
        8.0,
        means="60,000 records with trace and span id, severity and 5 attributes each, protobuf as the SDKs send it, in "
        "blocks; the floor parses and compresses these bodies",
    ),
    Row(
        "ingest by JSON push, 5,000 lines a request",
        CODEC,
        6.0,
        means="150,000 of the lines as JSON, in blocks; the floor is that of the same lines as snappy protobuf",
    ),
    Row(
        "ingest by Forward, packed, 1,000 events a chunk",
        CODEC,
        8.0,
        means="60,000 lines as Docker's events, over 4 connections with acks, in blocks; the floor is that of the "
        "lines as snappy protobuf",
    ),
    Row(
        "ingest by Forward, a message an event",
        CODEC,
        means="12,000 events, each a message that waits for its ack, likewise",
    ),
    Row(
        "POST /log: 1 line a request, 64 connections, requests per second",
        "requests/s",
        means="kept-alive connections that wait for each answer; a Go service claims 10,000 lines/s an instance",
    ),
    Row(
        "growth 0.3 to 3 M lines: CPU per line",
        "x",
        means="CPU per line of 3 M lines over that of their first 0.3 M, flushes included",
    ),
    Row("growth 0.3 to 3 M lines: peak RSS", "x", means="likewise"),
    Row(
        "growth 10 to 10,000 streams: CPU per line",
        "x",
        means="300,000 lines in 10,000 streams over the same lines in 10; a request of 5,000 lines names 5,000 streams",
    ),
    Row("growth 10 to 10,000 streams: peak RSS", "x", means="likewise"),
    Row(
        "log query of 5,000 entries, CPU",
        "ms",
        means='`{env="prod"}`, backward, limit 5,000: reading, sorting and encoding',
    ),
    Row(
        "dashboard: 20 queries at once, CPU over one after another",
        "x",
        1.3,
        1.0,
        means="20 different queries; the answers must be equal",
    ),
    Row(
        "dashboard: second refresh, CPU over the first",
        "x",
        0.1,
        0.05,
        means="20 graphs again for a range that has moved on by a step of 50, whose new lines were pushed before; the "
        "middle of 3; answers must be equal to those without what was kept",
    ),
    Row(
        "compaction: push p99 over that without",
        "x",
        1.3,
        1.1,
        means="50 pushes a second of 100 lines to a server that compacts 1.5 M lines, and to one that has the same and "
        "does not; all pushes of 5 turns of each together, a turn of one after one of the other",
    ),
    Row(
        "compaction: query CPU over that without",
        "x",
        1.3,
        1.1,
        means="in the same turns, the count with a literal filter over 1.5 M lines of another day, without the CPU of "
        "compaction's own thread; the middle of the turns' ratios",
    ),
    Row(
        "dashboard: push p99 meanwhile",
        "ms",
        100,
        means="50 pushes a second of 100 lines while the 20 queries run at once again and again",
    ),
    Row(
        "live tail: entry to frame, median",
        "ms",
        20,
        means="from when a push is made to when its lines are at a client's socket: 5,000 lines/s in pushes of 100, 20 "
        'tails of 5 different queries, one of them `| json | level="error"`',
    ),
    Row("live tail: entry to frame, p99", "ms", 100, means="likewise"),
)

_BY_NAME = {row.name: row for row in ROWS}


def row_named(name: str) -> Row:
    """The row of this name. Raises KeyError."""
    return _BY_NAME[name]
