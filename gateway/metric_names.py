"""Every metric the server exposes: name, type, labels, meaning. docs/metrics.md is this table; a test compares them.

Loki's names where a figure means the same, so that its dashboards and alert rules work; weir_* for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)
"""dskit's buckets for request durations, seconds: recording rules of Loki's mixin expect them."""

SPEED_BUCKETS = tuple(float(50 * 1000 * 1000 * n) for n in (0.1, 1, 2, 4, 8, 16, 32, 64, 128))
"""Bytes a second that a query processed."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric.

    Attributes:
        name: as exposed; a counter's ends in _total.
        kind: counter, gauge, histogram, untyped.
        help: one sentence.
        labels: label names, in order.
        buckets: upper bounds, for histograms observed here.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_RECEIVED = ("tenant", "retention_hours", "is_internal_stream", "policy", "format")
_DISCARDED = ("reason", "tenant", "retention_hours", "policy", "format")

HTTP = (
    Spec(
        "loki_request_duration_seconds",
        "histogram",
        "Time to answer HTTP requests.",
        ("method", "route", "status_code", "ws"),
        REQUEST_BUCKETS,
    ),
    Spec("loki_inflight_requests", "gauge", "Requests being answered.", ("method", "route")),
    Spec("loki_tcp_connections", "gauge", "Open connections.", ("protocol",)),
    Spec("loki_tcp_connections_limit", "gauge", "Connections accepted at most.", ("protocol",)),
    Spec(
        "weir_http_connections_refused_total",
        "counter",
        "Connections answered 503 because server.max_connections were open.",
    ),
    Spec(
        "loki_build_info",
        "gauge",
        "Always 1; the labels say what is running.",
        ("version", "revision", "branch", "goversion", "goos", "goarch", "tags"),
    ),
    Spec("loki_panic_total", "counter", "Requests that ended in an unexpected exception."),
    Spec("loki_internal_log_messages_total", "counter", "Lines this server has logged.", ("level",)),
)

PUSH = (
    Spec(
        "loki_distributor_bytes_received_total",
        "counter",
        "Uncompressed bytes of lines and structured metadata received, before validation.",
        _RECEIVED,
    ),
    Spec(
        "loki_distributor_structured_metadata_bytes_received_total",
        "counter",
        "Uncompressed bytes of structured metadata received, before validation.",
        _RECEIVED,
    ),
    Spec(
        "loki_distributor_lines_received_total",
        "counter",
        "Lines received, before validation.",
        ("tenant", "is_internal_stream", "policy", "format"),
    ),
    Spec(
        "loki_distributor_received_lines_total",
        "counter",
        "The same as loki_distributor_lines_received_total, under a name dashboards in the field use.",
        ("tenant",),
    ),
    Spec(
        "loki_distributor_push_stats_count",
        "untyped",
        "Push requests by what they carried.",
        ("tenant", "content_type", "content_encoding", "content_version", "format"),
    ),
    Spec(
        "weir_push_requests_total",
        "counter",
        "Push requests by the product token of User-Agent; past 100 tokens the rest is `other`.",
        ("tenant", "client"),
    ),
    Spec("loki_discarded_samples_total", "counter", "Lines refused, by reason.", _DISCARDED),
    Spec("loki_discarded_bytes_total", "counter", "Bytes of lines refused, by reason.", _DISCARDED),
    Spec("loki_mutated_samples_total", "counter", "Lines changed on the way in, by reason.", ("reason", "tenant")),
    Spec("loki_mutated_bytes_total", "counter", "Bytes cut off on the way in, by reason.", ("reason", "tenant")),
    Spec("weir_ingest_bytes_in_flight", "gauge", "Bytes of push bodies being worked on."),
    Spec("weir_ingest_waiting", "gauge", "Pushes waiting for room in server.ingest_in_flight."),
)

QUERY = (
    Spec(
        "loki_logql_querystats_latency_seconds",
        "histogram",
        "Time of LogQL queries.",
        ("status_code", "type", "range"),
        (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
    ),
    Spec(
        "loki_logql_querystats_bytes_processed_per_seconds",
        "histogram",
        "Speed of LogQL queries.",
        ("status_code", "type", "range", "latency_type", "sharded"),
        SPEED_BUCKETS,
    ),
    Spec(
        "loki_logql_querystats_bytes_processed_total",
        "counter",
        "Bytes of lines and structured metadata that queries read.",
        ("tenant",),
    ),
    Spec(
        "loki_querier_request_duration_seconds",
        "histogram",
        "Time to answer requests of the query API, under a name dashboards in the field use.",
        ("method", "route", "status_code"),
        REQUEST_BUCKETS,
    ),
    Spec("loki_querier_worker_concurrency", "gauge", "Queries that may run at once (query.max_concurrent)."),
    Spec("loki_querier_worker_inflight_queries", "gauge", "Queries running."),
    Spec("loki_query_scheduler_queue_length", "gauge", "Queries waiting for a place."),
)

STORAGE = (
    Spec("loki_ingester_memory_streams", "gauge", "Streams with entries in memory.", ("tenant",)),
    Spec("loki_ingester_streams_created_total", "counter", "Streams seen for the first time.", ("tenant",)),
    Spec("loki_ingester_memory_chunks", "gauge", "Chunks of the memtable."),
    Spec("loki_ingester_chunks_created_total", "counter", "Chunks of the memtable begun."),
    Spec("loki_ingester_chunks_flush_failures_total", "counter", "Flushes that failed and will be tried again."),
    Spec("loki_ingester_wal_records_logged_total", "counter", "Records written to the WAL."),
    Spec("loki_ingester_wal_logged_bytes_total", "counter", "Bytes written to the WAL."),
    Spec("loki_ingester_wal_disk_full_failures_total", "counter", "WAL writes that failed because the disk was full."),
    Spec("loki_ingester_wal_bytes_in_use", "gauge", "Bytes of WAL segments on disk."),
    Spec(
        "loki_ingester_wal_truncate_duration_seconds",
        "histogram",
        "Time to remove the WAL segments whose rows are in blocks.",
    ),
    Spec("loki_ingester_wal_replay_active", "gauge", "1 while the WAL is replayed."),
    Spec("loki_ingester_wal_replay_duration_seconds", "gauge", "Time the last replay took."),
    Spec("loki_ingester_wal_recovered_entries_total", "counter", "Entries that the last replay brought back."),
    Spec("loki_ingester_wal_recovered_bytes_total", "counter", "Bytes of WAL that the last replay read."),
    Spec(
        "loki_ingester_wal_corruptions_total",
        "counter",
        "Damage the last replay found: a torn tail (cut off) or a bad record (set aside).",
        ("type",),
    ),
    Spec("loki_duplicate_log_bytes_total", "counter", "Bytes of entries that were there already.", ("tenant",)),
    Spec("weir_wal_segments", "gauge", "WAL segments on disk."),
    Spec("weir_wal_raw_bytes_total", "counter", "Bytes written to the WAL, before compression."),
    Spec("weir_wal_failures_total", "counter", "WAL writes or syncs that failed."),
    Spec("weir_wal_segments_removed_total", "counter", "WAL segments removed because their rows are in blocks."),
    Spec("weir_wal_sync_seconds", "histogram", "Time of one WAL sync."),
    Spec("weir_replay_segments", "gauge", "WAL segments the last replay read."),
    Spec("weir_replay_records", "gauge", "WAL records the last replay read."),
    Spec("weir_replay_skipped_entries", "gauge", "Entries of the WAL that were in blocks already."),
    Spec("weir_replay_set_aside_bytes", "gauge", "Bytes of the WAL that were no records and were set aside."),
    Spec("weir_refused_batches_total", "counter", "Batches refused because nothing could be written."),
    Spec("weir_deduplicated_batches_total", "counter", "Batches that came again under the same batch id."),
    Spec("weir_duplicate_entries_total", "counter", "Entries that were there already."),
    Spec("weir_queued_batches", "gauge", "Batches waiting for the WAL writer."),
    Spec("weir_memtable_bytes", "gauge", "Bytes of the memtable."),
    Spec("weir_memtable_rows", "gauge", "Rows of the memtable.", ("tenant",)),
    Spec("weir_flushes_total", "counter", "Flushes of the memtable."),
    Spec("weir_flush_seconds", "histogram", "Time of a flush of the whole memtable."),
    Spec("weir_flushed_rows_total", "counter", "Rows written to blocks."),
    Spec("weir_flushed_blocks_total", "counter", "Blocks written."),
    Spec("weir_flushed_bytes_total", "counter", "Bytes of blocks written."),
    Spec("weir_carried_rows_total", "counter", "Rows of small tenants moved to a fresh segment, to be flushed later."),
    Spec("weir_blocks", "gauge", "Blocks on disk."),
    Spec("weir_block_bytes", "gauge", "Bytes of blocks on disk."),
    Spec("weir_block_rows", "gauge", "Rows in blocks.", ("tenant",)),
    Spec("weir_reserve_held", "gauge", "1 while the reserve file keeps space for flush and replay."),
)

ALL = HTTP + PUSH + QUERY + STORAGE


def markdown_table() -> str:
    """The table of docs/metrics.md."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    rows += [f"| `{spec.name}` | {spec.kind} | {', '.join(spec.labels)} | {spec.help} |" for spec in ALL]
    return "\n".join(rows) + "\n"
