"""Counting what the doors do, and exposing it with storage's figures in Prometheus' text format.

One registry a server, nothing global. Label children are looked up once and kept: a push counts in ten of them.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.metric_names import ALL, Spec
from gateway.metrics_storage import storage_families
from gateway.state import Gateway, Phase

_SPECS = {spec.name: spec for spec in ALL}
_CONTENT_TYPES = {"application/json", "application/x-protobuf"}
_ENCODINGS = {"", "snappy", "gzip", "deflate"}
_MAX_CLIENTS = 100
"""Distinct User-Agent products told apart: the header is anybody's to write, a label value stays for ever."""


class Metrics:
    """The counters of one server."""

    def __init__(self, version: str) -> None:
        # The _created series double the page and carry nothing a dashboard asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.version = version
        self.connections = 0
        self._clients: set[str] = set()
        self._push_stats: Tally[tuple[str, ...]] = Tally()
        ProcessCollector(registry=self.registry)
        self._requests = self._histogram("loki_request_duration_seconds")
        self._querier_requests = self._histogram("loki_querier_request_duration_seconds")
        self._refused_connections = self._counter("weir_http_connections_refused_total")()
        self._panics = self._counter("loki_panic_total")()
        self._log_lines = self._counter("loki_internal_log_messages_total")
        self._bytes = self._counter("loki_distributor_bytes_received_total")
        self._metadata_bytes = self._counter("loki_distributor_structured_metadata_bytes_received_total")
        self._lines = self._counter("loki_distributor_lines_received_total")
        self._lines_old_name = self._counter("loki_distributor_received_lines_total")
        self._push_requests = self._counter("weir_push_requests_total")
        self._discarded_lines = self._counter("loki_discarded_samples_total")
        self._discarded_bytes = self._counter("loki_discarded_bytes_total")
        self._mutated_lines = self._counter("loki_mutated_samples_total")
        self._mutated_bytes = self._counter("loki_mutated_bytes_total")
        self._latency = self._histogram("loki_logql_querystats_latency_seconds")
        self._speed = self._histogram("loki_logql_querystats_bytes_processed_per_seconds")
        self._processed = self._counter("loki_logql_querystats_bytes_processed_total")

    def _counter(self, name: str) -> Callable[..., Counter]:
        spec = _SPECS[name]
        return _children(Counter(name, spec.help, spec.labels, registry=self.registry), spec)

    def _histogram(self, name: str) -> Callable[..., Histogram]:
        spec = _SPECS[name]
        return _children(Histogram(name, spec.help, spec.labels, registry=self.registry, buckets=spec.buckets), spec)

    def attach(self, gateway: Gateway) -> None:
        """Adds what is read from the gateway and its store when /metrics is asked for."""
        self.registry.register(_GatewayCollector(gateway, self))

    def expose(self) -> bytes:
        """The page of /metrics, Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def request_done(self, method: str, route: str, status: int, seconds: float, *, query: bool) -> None:
        """One HTTP request was answered; `query`: by the query API."""
        self._requests(method, route, str(status), "false").observe(seconds)
        if query:
            self._querier_requests(method, route, str(status)).observe(seconds)

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
        lines: int,
        bytes: int,  # noqa: A002 - the unit, as in Loki's metric names
        metadata_bytes: int,
        user_agent: str,
        content_type: str,
        content_encoding: str,
        legacy: bool,
    ) -> None:
        """A push was decoded; figures as received, before validation.

        Args:
            tenant: whose.
            lines: entries.
            bytes: of lines and structured metadata together, uncompressed.
            metadata_bytes: of structured metadata alone.
            user_agent: the request's header, or "".
            content_type: media type without parameters.
            content_encoding: the request's header, or "".
            legacy: whether it came to /api/prom/push.
        """
        # No stream is internal and no policy exists; both labels are there because Loki's dashboards name them.
        self._bytes(tenant, "", "false", "", "loki").inc(bytes)
        self._metadata_bytes(tenant, "", "false", "", "loki").inc(metadata_bytes)
        self._lines(tenant, "false", "", "loki").inc(lines)
        self._lines_old_name(tenant).inc(lines)
        self._push_requests(tenant, self._client(user_agent)).inc()
        media = content_type if content_type in _CONTENT_TYPES else "other"
        encoding = content_encoding if content_encoding in _ENCODINGS else "other"
        self._push_stats[tenant, media, encoding, "legacy" if legacy else "v1", "loki"] += 1

    def _client(self, user_agent: str) -> str:
        product = user_agent.split("/", 1)[0].split(" ", 1)[0][:64] or "none"
        if product in self._clients:
            return product
        if len(self._clients) >= _MAX_CLIENTS:
            return "other"
        self._clients.add(product)
        return product

    def discarded(self, reason: str, tenant: str, lines: int, bytes: int) -> None:  # noqa: A002 - as above
        """Lines were refused."""
        self._discarded_lines(reason, tenant, "", "", "loki").inc(lines)
        self._discarded_bytes(reason, tenant, "", "", "loki").inc(bytes)

    def mutated(self, reason: str, tenant: str, lines: int, bytes: int) -> None:  # noqa: A002 - as above
        """Lines were changed; `bytes` were cut off."""
        self._mutated_lines(reason, tenant).inc(lines)
        self._mutated_bytes(reason, tenant).inc(bytes)

    def query_done(self, tenant: str, status: int, kind: str, span: str, *, seconds: float, processed: int) -> None:
        """A LogQL query ended.

        Args:
            tenant: whose.
            status: HTTP status of the answer.
            kind: Loki's query type: limited (log query without filter), filter, metric.
            span: range or instant.
            seconds: from the request's arrival.
            processed: bytes read.
        """
        self._latency(str(status), kind, span).observe(seconds)
        if processed:
            self._processed(tenant).inc(processed)
            latency = "fast" if seconds < 1 else "slow"
            self._speed(str(status), kind, span, latency, "false").observe(processed / max(seconds, 1e-6))

    def push_stats(self) -> dict[tuple[str, ...], int]:
        """Push requests by what they carried."""
        return dict(self._push_stats)


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
        yield _gauge("loki_ingester_wal_replay_active", {(): int(gateway.phase is Phase.STARTING)})
        yield _untyped("loki_distributor_push_stats_count", metrics.push_stats())
        if gateway.open_store is not None:
            yield from storage_families(gateway.open_store.figures())


def _gauge(name: str, values: dict[tuple[str, ...], int]) -> Metric:
    spec = _SPECS[name]
    family = GaugeMetricFamily(name, spec.help, labels=spec.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _untyped(name: str, values: dict[tuple[str, ...], int]) -> Metric:
    spec = _SPECS[name]
    family = Metric(name, spec.help, "unknown")
    for labels, value in values.items():
        family.add_sample(name, dict(zip(spec.labels, labels, strict=True)), value)
    return family
