"""Counting what the doors do, and exposing it with storage's figures in Prometheus' text format.

One registry a server, nothing global. Label children are looked up once and kept: a push counts in ten of them.
"""

from __future__ import annotations

import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from config import Settings
from gateway.metric_families import family, histogram_family
from gateway.metric_names import ALL, Spec
from gateway.metrics_auth import auth_families
from gateway.metrics_collect import collector_families
from gateway.metrics_export import export_families
from gateway.metrics_forward import forward_families
from gateway.metrics_notify import notify_families
from gateway.metrics_patterns import pattern_families
from gateway.metrics_relay import relay_families
from gateway.metrics_storage import storage_families
from gateway.metrics_tail import tail_families
from gateway.relay.central import instance_families
from gateway.state import Gateway, Phase
from logql import Stats
from storage.batch import I64
from storage.figures import Histogram as PlainHistogram

_SPECS = {spec.name: spec for spec in ALL}
_CONTENT_TYPES = {"application/json", "application/x-protobuf"}
_ENCODINGS = {"", "snappy", "gzip", "deflate", "zstd", "lz4"}
_MAX_CLIENTS = 100
"""Distinct User-Agent products told apart: the header is anybody's to write, a label value stays for ever."""
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
_HOUR = 3_600_000_000_000
_MAX_LAG_MS = 1_000_000_000
"""A push whose newest entry is older is a backfill and says nothing about how far a client is behind (Loki)."""


class Metrics:
    """The counters of one server."""

    def __init__(self, version: str) -> None:
        # The _created series double the page and carry nothing a dashboard asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.version = version
        self.connections = 0
        self._retention_hours: Callable[[str], str] = lambda _tenant: ""
        self._clients: set[str] = set()
        self._push_stats: Tally[tuple[str, ...]] = Tally()
        self._zero_streams: Tally[tuple[str, ...]] = Tally()
        # Plain ones, counted on the event loop alone: the library's take a lock, and lines come by the thousand.
        self._message_bytes: dict[tuple[str, ...], tuple[PlainHistogram, PlainHistogram]] = {}
        self._requests: dict[tuple[str, ...], PlainHistogram] = {}
        self._pushed: dict[tuple[str, str, str], _Pushed] = {}
        self._line_bytes = PlainHistogram(_SPECS["loki_bytes_per_line"].buckets)
        ProcessCollector(registry=self.registry)
        self._querier_requests = self._histogram("loki_querier_request_duration_seconds")
        self._refused_connections = self._counter("weir_http_connections_refused_total")()
        self._panics = self._counter("loki_panic_total")()
        self._log_lines = self._counter("loki_internal_log_messages_total")
        self._sanitised = self._counter("loki_distributor_push_structured_metadata_sanitized_total")
        self._discarded_lines = self._counter("loki_discarded_samples_total")
        self._discarded_bytes = self._counter("loki_discarded_bytes_total")
        self._mutated_lines = self._counter("loki_mutated_samples_total")
        self._mutated_bytes = self._counter("loki_mutated_bytes_total")
        self._latency = self._histogram("loki_logql_querystats_latency_seconds")
        self._speed = self._histogram("loki_logql_querystats_bytes_processed_per_seconds")
        self._processed = self._counter("loki_logql_querystats_bytes_processed_total")
        self._units = self._counter("loki_logql_querystats_downloaded_chunk_total")
        self._memory_lines = self._counter("loki_logql_querystats_ingester_sent_lines_total")()
        self._queued = self._histogram("loki_query_scheduler_queue_duration_seconds")()

    def _counter(self, name: str) -> Callable[..., Counter]:
        spec = _SPECS[name]
        return _children(Counter(name, spec.help, spec.labels, registry=self.registry), spec)

    def _histogram(self, name: str) -> Callable[..., Histogram]:
        spec = _SPECS[name]
        return _children(Histogram(name, spec.help, spec.labels, registry=self.registry, buckets=spec.buckets), spec)

    def attach(self, gateway: Gateway) -> None:
        """Adds what is read from the gateway and its store when /metrics is asked for."""
        self._retention_hours = lambda tenant: retention_hours(gateway.settings, tenant)
        self.registry.register(_GatewayCollector(gateway, self))

    def expose(self) -> bytes:
        """The page of /metrics, Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def request_done(
        self, method: str, route: str, status: int, seconds: float, *, received: int, sent: int, query: bool
    ) -> None:
        """One HTTP request was answered.

        Args:
            method: of the request.
            route: its label.
            status: HTTP status of the answer.
            seconds: it took.
            received: bytes of its body that came.
            sent: bytes of the answer's body.
            query: whether it was for the query API.
        """
        method = method if method in _METHODS else "other"
        found = self._message_bytes.get((method, route))
        if found is None:
            request, response = (_SPECS[f"loki_{which}_message_bytes"].buckets for which in ("request", "response"))
            found = self._message_bytes[method, route] = PlainHistogram(request), PlainHistogram(response)
        found[0].observe(received)
        found[1].observe(sent)
        labels = (method, route, str(status), "false")
        durations = self._requests.get(labels)
        if durations is None:
            durations = self._requests[labels] = PlainHistogram(_SPECS["loki_request_duration_seconds"].buckets)
        durations.observe(seconds)
        if query:
            self._querier_requests(method, route, str(status)).observe(seconds)

    def socket_done(self, method: str, route: str, status: int, seconds: float) -> None:
        """A websocket ended: status 101, or that of the answer to its handshake."""
        labels = (method, route, str(status), "true")
        durations = self._requests.get(labels)
        if durations is None:
            durations = self._requests[labels] = PlainHistogram(_SPECS["loki_request_duration_seconds"].buckets)
        durations.observe(seconds)

    def connection_refused(self) -> None:
        """A connection over server.max_connections was turned away."""
        self._refused_connections.inc()

    def panic(self) -> None:
        """A request ended in an exception nobody expected."""
        self._panics.inc()

    def logged(self, level: str) -> None:
        """A line was logged."""
        self._log_lines(level).inc()

    def push_received(
        self,
        tenant: str,
        lines: I64,
        metadata_bytes: int,
        lag: int,
        user_agent: str,
        content_type: str,
        content_encoding: str,
        legacy: bool,
        door: str = "loki",
    ) -> None:
        """A push was decoded; figures as received, before validation.

        Args:
            tenant: whose.
            lines: int64[n], bytes of each line, uncompressed.
            metadata_bytes: of structured metadata.
            lag: ms that the newest entry is old.
            user_agent: the request's header, or "".
            content_type: media type without parameters.
            content_encoding: the request's header, or "".
            legacy: whether it came to /api/prom/push.
            door: the `format` label: loki, otlp or log.
        """
        lags = (lag,)
        self.pushes_received(
            tenant, lines, metadata_bytes, lags, user_agent, content_type, content_encoding, legacy, door
        )

    def pushes_received(
        self,
        tenant: str,
        lines: I64,
        metadata_bytes: int,
        lags: Sequence[int],
        user_agent: str,
        content_type: str,
        content_encoding: str,
        legacy: bool,
        door: str = "loki",
    ) -> None:
        """As `push_received`, for pushes of one sender; `lags` has ms for each of them, the rest is of all together."""
        count, client = len(lines), self._client(user_agent)
        pushed = self._pushed.get((tenant, client, door))
        if pushed is None:
            pushed = self._pushed[tenant, client, door] = _Pushed()
        pushed.requests += len(lags)
        pushed.lines += count
        pushed.bytes += (int(lines[0]) if count == 1 else int(lines.sum())) + metadata_bytes
        pushed.metadata_bytes += metadata_bytes
        self._line_bytes.observe_all(lines)
        for lag in lags:
            if 0 <= lag < _MAX_LAG_MS:
                pushed.lag = (pushed.lag or 0) + lag
        media = content_type if content_type in _CONTENT_TYPES else "other"
        encoding = content_encoding if content_encoding in _ENCODINGS else "other"
        self._push_stats[tenant, media, encoding, "legacy" if legacy else "v1", door] += len(lags)

    def _client(self, user_agent: str) -> str:
        product = user_agent.split("/", 1)[0].split(" ", 1)[0][:64] or "none"
        if product in self._clients:
            return product
        if len(self._clients) >= _MAX_CLIENTS:
            return "other"
        self._clients.add(product)
        return product

    def push_without_streams(self, tenant: str, *, validated: bool) -> None:
        """A push had no stream as it came, or none that passed validation."""
        self._zero_streams[tenant, "post-validation" if validated else "pre-validation"] += 1

    def sanitised(self, tenant: str, texts: int, door: str = "loki") -> None:
        """Names and values of structured metadata were changed."""
        self._sanitised(tenant, door).inc(texts)

    def discarded(
        self,
        reason: str,
        tenant: str,
        lines: int,
        bytes: int,  # noqa: A002 - as above
        door: str = "loki",
    ) -> None:
        """Lines were refused."""
        hours = self._retention_hours(tenant)
        self._discarded_lines(reason, tenant, hours, "", door).inc(lines)
        self._discarded_bytes(reason, tenant, hours, "", door).inc(bytes)

    def mutated(self, reason: str, tenant: str, lines: int, bytes: int) -> None:  # noqa: A002 - as above
        """Lines were changed; `bytes` were cut off."""
        self._mutated_lines(reason, tenant).inc(lines)
        self._mutated_bytes(reason, tenant).inc(bytes)

    def query_queued(self, seconds: float) -> None:
        """A request of the query API got its place after waiting so long. Called on any thread."""
        self._queued.observe(seconds)

    def query_done(self, tenant: str, status: int, kind: str, span: str, *, seconds: float, stats: Stats) -> None:
        """A LogQL query ended.

        Args:
            tenant: whose.
            status: HTTP status of the answer.
            kind: Loki's query type: limited (log query without filter), filter, metric.
            span: range or instant.
            seconds: from the request's arrival.
            stats: what it read.
        """
        processed = stats.bytes
        self._latency(str(status), kind, span).observe(seconds)
        self._units(str(status), kind, span).inc(stats.blocks.units)
        self._memory_lines.inc(stats.memory.lines)
        if processed:
            self._processed(tenant).inc(processed)
            latency = "fast" if seconds < 1 else "slow"
            self._speed(str(status), kind, span, latency, "false").observe(processed / max(seconds, 1e-6))

    def plain(self) -> Iterator[Metric]:
        """What is counted without the library."""
        yield from self._of_pushes()
        yield histogram_family(_SPECS["loki_request_duration_seconds"], self._requests)
        yield family(_SPECS["loki_distributor_push_stats_count"], self._push_stats)
        yield family(_SPECS["loki_distributor_push_zero_streams_count"], self._zero_streams)
        yield histogram_family(_SPECS["loki_bytes_per_line"], {(): self._line_bytes})
        for at, name in enumerate(("loki_request_message_bytes", "loki_response_message_bytes")):
            yield histogram_family(_SPECS[name], {labels: both[at] for labels, both in self._message_bytes.items()})

    def _of_pushes(self) -> Iterator[Metric]:
        requests: Tally[tuple[str, ...]] = Tally()
        lags: Tally[tuple[str, ...]] = Tally()
        lines: Tally[tuple[str, ...]] = Tally()
        old_lines: Tally[tuple[str, ...]] = Tally()
        total: Tally[tuple[str, ...]] = Tally()
        metadata: Tally[tuple[str, ...]] = Tally()
        for (tenant, client, door), pushed in self._pushed.items():
            requests[tenant, client] += pushed.requests
            if pushed.lag is not None:
                lags[tenant, client, door] += pushed.lag
            # No stream is internal and no policy exists; both labels are there because Loki's dashboards name them.
            lines[tenant, "false", "", door] += pushed.lines
            old_lines[(tenant,)] += pushed.lines
            hours = self._retention_hours(tenant)
            total[tenant, hours, "false", "", door] += pushed.bytes
            metadata[tenant, hours, "false", "", door] += pushed.metadata_bytes
        yield family(_SPECS["weir_push_requests_total"], requests)
        yield family(_SPECS["loki_distributor_lag_ms_total"], lags)
        yield family(_SPECS["loki_distributor_lines_received_total"], lines)
        yield family(_SPECS["loki_distributor_received_lines_total"], old_lines)
        yield family(_SPECS["loki_distributor_bytes_received_total"], total)
        yield family(_SPECS["loki_distributor_structured_metadata_bytes_received_total"], metadata)


@dataclass(slots=True)
class _Pushed:
    """What came of one tenant from one client.

    Attributes:
        requests: pushes that could be decoded.
        lines: in them.
        bytes: of lines and structured metadata.
        metadata_bytes: of structured metadata.
        lag: ms that each push's newest entry was old, added up; None before the first that says something.
    """

    requests: int = 0
    lines: int = 0
    bytes: int = 0
    metadata_bytes: int = 0
    lag: int | None = None


def retention_hours(settings: Settings, tenant: str) -> str:
    """Whole hours that a tenant's entries are kept, rules of single streams apart; "" for ever (as Loki)."""
    own = settings.limits_for(tenant).retention_period
    period = settings.retention.period if own is None else own
    return str(period // _HOUR) if period else ""


def _children(metric: Counter | Histogram, spec: Spec) -> Callable[..., Any]:
    if not spec.labels:
        return lambda: metric
    return cache(metric.labels)


class _GatewayCollector(Collector):
    """Figures that have a home elsewhere and are only read."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        gateway, metrics = self._gateway, self._metrics
        build = (metrics.version, "", "", platform.python_version(), platform.system().lower(), platform.machine(), "")
        yield _gauge("loki_build_info", {build: 1})
        yield _gauge("loki_tcp_connections", {("http",): metrics.connections})
        yield _gauge("loki_tcp_connections_limit", {("http",): gateway.settings.server.max_connections})
        in_flight: Tally[tuple[str, ...]] = Tally(
            (request.method, request.route_label) for request in tuple(gateway.requests)
        )
        yield _gauge("loki_inflight_requests", dict(in_flight))
        yield _gauge("weir_ingest_bytes_in_flight", {(): gateway.ingest.used})
        yield _gauge("weir_ingest_waiting", {(): gateway.ingest.waiting})
        yield _gauge("loki_querier_worker_concurrency", {(): gateway.settings.query.max_concurrent})
        yield _gauge("loki_querier_worker_inflight_queries", {(): gateway.queries.running})
        yield _gauge("loki_query_scheduler_queue_length", {(): gateway.queries.waiting})
        yield _gauge("weir_query_runs_total", {(): gateway.runs.begun})
        yield _gauge("weir_query_joined_total", {(): gateway.runs.joined})
        yield _gauge("weir_query_slow_total", {(): gateway.slow.count})
        yield _gauge("weir_query_stopped_total", {(): gateway.running.stopped})
        yield _gauge("weir_result_cache_hits_total", {(): gateway.results.hits})
        yield _gauge("weir_result_cache_misses_total", {(): gateway.results.misses})
        yield _gauge("weir_result_cache_bytes", {(): gateway.results.used})
        yield _gauge("loki_ingester_wal_replay_active", {(): int(gateway.phase is Phase.STARTING)})
        yield _gauge("loki_runtime_config_last_reload_successful", {(): int(gateway.overrides.is_good)})
        yield _gauge("weir_overrides_changed_timestamp_seconds", {(): gateway.overrides.changed})
        yield from metrics.plain()
        yield from auth_families(gateway)
        yield from forward_families(gateway.forward)
        yield from collector_families(gateway.collector)
        yield from pattern_families(gateway.patterns.figures())
        yield from tail_families(gateway.tails.figures)
        yield from relay_families(gateway.relays.known(), time.time_ns())
        yield from export_families(gateway.exports)
        yield from notify_families(gateway.alerts)
        if gateway.open_store is not None:
            yield from storage_families(gateway.open_store.figures())
        yield from instance_families(gateway.central.instances)


def _gauge(name: str, values: Mapping[tuple[str, ...], float]) -> Metric:
    return family(_SPECS[name], values)
