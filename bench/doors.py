"""The doors besides snappy protobuf: OTLP, JSON pushes, POST /log."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from bench.floors import LEVEL, codec_floor, cpu_of, json_floor
from bench.ingest import check_count
from bench.lines import Lines, first_of
from bench.measured import Measured, over_floor
from bench.payloads import PODS, payloads, times
from bench.pushing import JSON, PROTOBUF
from bench.server import MeasuredServer
from gateway.push.otlp_messages import LogsRequest

CONNECTIONS = 4
RUNS = 4
"""Loads of a door; the one that cost least counts. The floor is taken again before each of them, as what a core gives
changes while other processes run."""
WARM = 3
"""Requests that are sent and flushed before each load, and that its floor leaves out: what a server does once (loading
its kernels, building the parser of queries) took a tenth of what 60,000 records take."""
RECORDS = 60_000
RECORDS_A_REQUEST = 1_000
TRIPLES = 50_000
"""Lines of each app pushed as JSON."""
LINES_A_REQUEST = 5_000
LOG_CONNECTIONS = 64
LOG_WARM_UP = 500
LOG_REQUESTS = 3_000
LOG_RUNS = 5


def otlp_bodies(lines: Sequence[bytes], per_request: int, seed: int = 11) -> list[bytes]:
    """ExportLogsServiceRequests of an instrumented web service: what its SDK sends, uncompressed as it does."""
    rng = random.Random(seed)
    when = times(len(lines))
    bodies = []
    for first in range(0, len(lines), per_request):
        request = LogsRequest()
        logs = request.resource_logs.add()
        for key, text in (
            ("service.name", "otlp"),
            ("service.instance.id", f"pod-{first // per_request % PODS}"),
            ("host.name", "web-1"),
            ("telemetry.sdk.language", "python"),
            ("telemetry.sdk.version", "1.45.2"),
        ):
            logs.resource.attributes.add(key=key.encode()).value.string_value = text.encode()
        scoped = logs.scope_logs.add()
        scoped.scope.name = b"shop.orders"
        for place, line in enumerate(lines[first : first + per_request], first):
            record = scoped.log_records.add(
                time_unix_nano=when[place],
                observed_time_unix_nano=when[place] + rng.randrange(100_000),
                severity_number=9,
                severity_text=b"INFO",
                trace_id=rng.randbytes(16),
                span_id=rng.randbytes(8),
                flags=1,
            )
            record.body.string_value = line
            add = record.attributes.add
            add(key=b"http.request.method").value.string_value = rng.choice((b"GET", b"POST"))
            add(key=b"http.route").value.string_value = b"/api/orders/{id}"
            add(key=b"http.response.status_code").value.int_value = rng.choice((200, 201, 404, 500))
            add(key=b"user.id").value.string_value = b"%d" % rng.randrange(100_000)
            add(key=b"duration").value.double_value = rng.random()
        bodies.append(request.SerializeToString())
    return bodies


def otlp_floor(bodies: Sequence[bytes]) -> float:
    """CPU-seconds to parse and zstd-1-compress OTLP bodies that came uncompressed: `codec` for them."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)

    def work() -> None:
        for body in bodies:
            LogsRequest.FromString(body)
            compressor.compress(body)

    return cpu_of(work)


def by_otlp(folder: Path, lines: Lines) -> Measured:
    """OTLP, until all is in blocks."""
    part = lines["json"][: RECORDS + WARM * RECORDS_A_REQUEST]
    bodies = otlp_bodies(part, RECORDS_A_REQUEST)
    sent = _Sent(bodies, PROTOBUF, "/otlp/v1/logs", len(part), 'service_name="otlp"')
    cost = _load(folder / "otlp", sent, lambda: otlp_floor(bodies[WARM:]))
    return over_floor(
        "ingest by OTLP, 1,000 records a request",
        cost.whole,
        cost.floor,
        cpu_us_per_line=cost.whole / (len(part) - WARM * RECORDS_A_REQUEST) * 1e6,
        x_codec_before_flush=cost.received / cost.floor,
    )


def json_bodies(lines: Lines, per_request: int) -> list[bytes]:
    """The lines of all apps as JSON pushes, in the streams and the order of bench.payloads."""
    bodies = []
    when = times(len(next(iter(lines.values()))))
    for first in range(0, len(when), per_request):
        for app, own in lines.items():
            values: list[list[list[str]]] = [[] for _ in range(PODS)]
            for place, line in enumerate(own[first : first + per_request], first):
                values[place % PODS].append([str(when[place]), line.decode()])
            streams = [
                {"stream": {"app": app, "env": "prod", "pod": f"{app}-{pod}"}, "values": entries}
                for pod, entries in enumerate(values)
            ]
            bodies.append(json.dumps({"streams": streams}, separators=(",", ":"), ensure_ascii=False).encode())
    return bodies


def by_json(folder: Path, lines: Lines) -> Measured:
    """JSON pushes, until all is in blocks."""
    lines = first_of(lines, TRIPLES)
    count = sum(map(len, lines.values()))
    bodies = json_bodies(lines, LINES_A_REQUEST)
    packed = payloads(lines, LINES_A_REQUEST).bodies
    sent = _Sent(bodies, JSON, "/loki/api/v1/push", count, 'env="prod"')
    cost = _load(folder / "json", sent, lambda: codec_floor(packed[WARM:]))
    return over_floor(
        "ingest by JSON push, 5,000 lines a request",
        cost.whole,
        cost.floor,
        cpu_us_per_line=cost.whole / (count - WARM * LINES_A_REQUEST) * 1e6,
        x_codec_before_flush=cost.received / cost.floor,
        x_json_codec=cost.whole / json_floor(bodies[WARM:]),
    )


@dataclass(frozen=True, slots=True)
class _Sent:
    """What is sent to a new server.

    Attributes:
        bodies: requests, of which the first WARM do not count.
        media: their Content-Type.
        path: where they go.
        entries: lines in all of them.
        selector: of these lines, in braces.
    """

    bodies: Sequence[bytes]
    media: str
    path: str
    entries: int
    selector: str


@dataclass(frozen=True, slots=True)
class _Cost:
    """The least CPU-seconds of RUNS loads.

    Attributes:
        whole: with the flush.
        received: before it.
        floor: of the floor.
    """

    whole: float
    received: float
    floor: float


def _load(folder: Path, sent: _Sent, floor: Callable[[], float]) -> _Cost:
    """What a load costs. Raises RuntimeError if lines are missing."""
    best, least = (float("inf"), float("inf")), float("inf")
    for run in range(RUNS):
        least = min(least, floor())
        with MeasuredServer(folder.with_name(f"{folder.name}-{run}")) as server:
            server.push(tuple(sent.bodies[:WARM]), CONNECTIONS, sent.media, sent.path)
            server.flush()
            began = server.cpu()
            server.push(tuple(sent.bodies[WARM:]), CONNECTIONS, sent.media, sent.path)
            received = server.cpu() - began
            server.flush()
            best = min(best, (server.cpu() - began, received))
            check_count(server, sent.entries, sent.selector)
    return _Cost(*best, least)


def log_bodies(lines: Sequence[bytes]) -> list[bytes]:
    """A POST /log of one line each."""
    return [json.dumps({"level": "info", "message": line.decode(), "service": "bench"}).encode() for line in lines]


def by_log(folder: Path, lines: Lines) -> Measured:
    """POST /log, a line a request."""
    bodies = log_bodies(lines["json"][: LOG_WARM_UP + LOG_REQUESTS * LOG_RUNS])
    latencies: list[float] = []
    rate, cost = 0.0, float("inf")
    with MeasuredServer(folder / "log") as server:
        server.push(tuple(bodies[:LOG_WARM_UP]), LOG_CONNECTIONS, JSON, "/log")
        for first in range(LOG_WARM_UP, len(bodies), LOG_REQUESTS):
            part = tuple(bodies[first : first + LOG_REQUESTS])
            spent, began = server.cpu(), time.monotonic()
            latencies += server.push(part, LOG_CONNECTIONS, JSON, "/log")
            rate = max(rate, len(part) / (time.monotonic() - began))
            cost = min(cost, (server.cpu() - spent) / len(part))
    latencies.sort()
    further = {
        "requests_per_cpu_s": 1 / cost,
        "cpu_us_per_request": cost * 1e6,
        "median_ms": statistics.median(latencies) * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
    }
    name = "POST /log: 1 line a request, 64 connections, requests per second"
    return Measured(name, rate, cost * LOG_REQUESTS, further=further)
