"""Every metric the server exposes: name, type, labels, meaning. docs/metrics.md is this table; a test compares them.

Loki's names where a figure means the same, so that its dashboards and alert rules work; weir_* for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)
"""dskit's buckets for request durations, seconds: recording rules of Loki's mixin expect them."""

SIZE_BUCKETS = tuple(float(n * (1 << 20)) for n in (1, 2.5, 5, 10, 25, 50, 100, 250))
"""dskit's buckets for message sizes, bytes."""

LINE_BUCKETS = tuple(float(8**power) for power in range(8))
"""Loki's buckets for the length of a line, bytes."""

QUEUE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The Prometheus client library's default, seconds."""

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
        buckets: upper bounds, for histograms observed in the gateway.
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
    Spec(
        "loki_request_message_bytes",
        "histogram",
        "Bytes of request bodies as they came, before decompression.",
        ("method", "route"),
        SIZE_BUCKETS,
    ),
    Spec(
        "loki_response_message_bytes",
        "histogram",
        "Bytes of response bodies as they went, after compression.",
        ("method", "route"),
        SIZE_BUCKETS,
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
    Spec(
        "loki_runtime_config_last_reload_successful",
        "gauge",
        "1 while the limits of single tenants are those of their file, 0 when what it says now cannot be used.",
    ),
    Spec(
        "weir_overrides_changed_timestamp_seconds",
        "gauge",
        "When the limits of single tenants were last read, 0 if they have no file.",
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
    Spec("loki_bytes_per_line", "histogram", "Bytes of each line received, before validation.", (), LINE_BUCKETS),
    Spec(
        "loki_distributor_lag_ms_total",
        "counter",
        "Milliseconds from the newest timestamp of a push to its arrival, summed; pushes whose newest timestamp lies "
        "in the future or over 11.5 days back do not count. `userAgent` is the product token, as `client` below.",
        ("tenant", "userAgent", "format"),
    ),
    Spec(
        "loki_distributor_push_structured_metadata_sanitized_total",
        "counter",
        "Names and values of structured metadata changed to be valid, each time.",
        ("tenant", "format"),
    ),
    Spec(
        "loki_distributor_push_zero_streams_count",
        "untyped",
        "Pushes without a stream: as sent (`pre-validation`) or because nothing passed (`post-validation`).",
        ("tenant", "stage"),
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
        "loki_logql_querystats_downloaded_chunk_total",
        "counter",
        "Row groups of blocks that queries read.",
        ("status_code", "type", "range"),
    ),
    Spec(
        "loki_logql_querystats_ingester_sent_lines_total",
        "counter",
        "Lines that queries read from memory.",
    ),
    Spec(
        "loki_query_scheduler_queue_duration_seconds",
        "histogram",
        "Time that queries, labels and series questions waited for a place.",
        (),
        QUEUE_BUCKETS,
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
    Spec("weir_query_runs_total", "counter", "LogQL queries that were run: identical ones in flight are run once."),
    Spec("weir_query_joined_total", "counter", "LogQL queries that were answered with what an identical one came to."),
    Spec("weir_query_slow_total", "counter", "Queries that took as long as query.log_slower_than."),
    Spec("weir_query_stopped_total", "counter", "Queries that were stopped by who asked for it."),
    Spec("weir_result_cache_hits_total", "counter", "Row groups whose part in a metric query was known."),
    Spec("weir_result_cache_misses_total", "counter", "Row groups whose part in a metric query had to be made."),
    Spec("weir_result_cache_bytes", "gauge", "Bytes of results kept, of query.result_cache_bytes."),
)

STORAGE = (
    Spec("loki_ingester_memory_streams", "gauge", "Streams with entries in memory.", ("tenant",)),
    Spec("loki_ingester_streams_created_total", "counter", "Streams seen for the first time.", ("tenant",)),
    Spec(
        "loki_ingester_memory_streams_labels_bytes",
        "gauge",
        "Bytes of the label names and values of streams with entries in memory.",
    ),
    Spec(
        "loki_ingester_streams_removed_total",
        "counter",
        "Streams whose last entries in memory went to a block; one that goes on writing counts at each flush.",
        ("tenant",),
    ),
    Spec("loki_ingester_memory_chunks", "gauge", "Runs of the memtable."),
    Spec("loki_ingester_chunks_created_total", "counter", "Runs of the memtable begun: one a tenant and commit."),
    Spec(
        "loki_ingester_chunks_flushed_total",
        "counter",
        "Blocks written, by why the flush began: memory was `full`, rows reached their `max_age`, or it was `forced` "
        "by a request to /flush.",
        ("reason",),
    ),
    Spec("loki_ingester_chunks_stored_total", "counter", "Blocks written.", ("tenant",)),
    Spec("loki_ingester_chunk_stored_bytes_total", "counter", "Bytes of blocks written.", ("tenant",)),
    Spec(
        "loki_ingester_chunk_age_seconds",
        "histogram",
        "Time from a block's first timestamp to when it was stored.",
    ),
    Spec(
        "loki_ingester_chunk_bounds_hours",
        "histogram",
        "Hours from a block's first timestamp to its last, 24 at most.",
    ),
    Spec(
        "loki_ingester_chunk_compression_ratio",
        "histogram",
        "Bytes of a block's lines and structured metadata by bytes of its file.",
    ),
    Spec("loki_ingester_chunk_entries", "histogram", "Rows of a block."),
    Spec("loki_ingester_chunk_size_bytes", "histogram", "Bytes of a block's file."),
    Spec(
        "loki_ingester_chunk_encode_time_seconds",
        "histogram",
        "Time to gather a block's rows, compress, write and sync them.",
    ),
    Spec(
        "loki_ingester_flush_queue_length",
        "gauge",
        "Tenants whose rows a flush has taken and not stored yet.",
    ),
    Spec("loki_ingester_chunks_flush_failures_total", "counter", "Flushes that failed and will be tried again."),
    Spec("loki_ingester_wal_records_logged_total", "counter", "Records written to the WAL."),
    Spec("loki_ingester_wal_logged_bytes_total", "counter", "Bytes written to the WAL."),
    Spec("loki_ingester_wal_disk_full_failures_total", "counter", "WAL writes that failed because the disk was full."),
    Spec("loki_ingester_wal_bytes_in_use", "gauge", "Bytes of WAL segments on disk."),
    Spec(
        "loki_ingester_wal_disk_usage_percent",
        "gauge",
        "Part of the WAL's file system that is in use, 0 to 1 whatever the name says.",
    ),
    Spec(
        "loki_ingester_wal_truncate_duration_seconds",
        "histogram",
        "Time to remove the WAL segments whose rows are in blocks.",
    ),
    Spec("loki_ingester_wal_replay_active", "gauge", "1 while the WAL is replayed."),
    Spec("loki_ingester_wal_replay_duration_seconds", "gauge", "Time the last replay took."),
    Spec("loki_ingester_wal_recovered_streams_total", "counter", "Streams that the last replay brought back."),
    Spec("loki_ingester_wal_recovered_entries_total", "counter", "Entries that the last replay brought back."),
    Spec("loki_ingester_wal_recovered_bytes_total", "counter", "Bytes of lines that the last replay brought back."),
    Spec(
        "loki_ingester_wal_duplicate_entries_total",
        "counter",
        "Entries that the last replay left out: they were in blocks, or in the WAL twice.",
    ),
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
    Spec("weir_replay_skipped_entries", "gauge", "Entries of the WAL not loaded: duplicates, and those once refused."),
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
    Spec(
        "weir_compactions_total",
        "counter",
        "Compactions: blocks of a day that grows were `joined`, those of a day that is over were (`settled`), or a "
        "block was written anew without what was `deleted` or has `expired`.",
        ("reason",),
    ),
    Spec("weir_compaction_failures_total", "counter", "Compactions that failed; the blocks stayed as they were."),
    Spec("weir_compaction_seconds", "histogram", "Time a compaction took, its pauses for pushes included."),
    Spec("weir_compaction_cpu_seconds_total", "counter", "CPU time of compactions."),
    Spec("weir_compacted_blocks_total", "counter", "Blocks that compaction put others in the place of."),
    Spec("weir_compaction_blocks_written_total", "counter", "Blocks that compaction wrote."),
    Spec("weir_compaction_read_bytes_total", "counter", "Bytes of the blocks that compaction read."),
    Spec("weir_compaction_written_bytes_total", "counter", "Bytes of the blocks that compaction wrote."),
    Spec(
        "weir_compaction_dropped_rows_total",
        "counter",
        "Rows that compaction left out: `repeated` in an earlier block, `deleted`, or `expired`.",
        ("reason",),
    ),
    Spec("weir_compaction_pending_blocks", "gauge", "Blocks that compaction has yet to take, as things are."),
    Spec(
        "weir_write_amplification",
        "gauge",
        "Bytes of blocks that flushes and compaction wrote since the start over those that flushes did.",
    ),
    Spec("weir_carried_rows_total", "counter", "Rows of small tenants moved to a fresh segment, to be flushed later."),
    Spec("weir_blocks", "gauge", "Blocks on disk."),
    Spec("weir_block_bytes", "gauge", "Bytes of blocks on disk."),
    Spec("weir_block_rows", "gauge", "Rows in blocks.", ("tenant",)),
    Spec(
        "weir_label_values",
        "gauge",
        "Distinct values of a label among all streams that the server knows, in memory and in blocks: of the 10 "
        "tenants with most label pairs, the 20 labels with most values.",
        ("tenant", "label"),
    ),
    Spec(
        "weir_retention_dropped_blocks_total",
        "counter",
        "Blocks that retention removed: all in them had expired (`age`), or they were the oldest and blocks took more "
        "than retention.max_total_size (`total_size`) or less was free than retention.min_free_space (`free_space`).",
        ("reason",),
    ),
    Spec("weir_retention_dropped_rows_total", "counter", "Rows of those blocks.", ("reason",)),
    Spec("weir_retention_dropped_bytes_total", "counter", "Bytes of those blocks.", ("reason",)),
    Spec(
        "weir_retention_clock_ahead_seconds",
        "gauge",
        "Time by which the clock has jumped ahead and retention does not believe it yet: nothing is removed by it.",
    ),
    Spec("weir_blocks_set_aside", "gauge", "Damaged blocks in quarantine/; their entries are missing in answers."),
    Spec("weir_archive_files", "gauge", "Segments that left the log and that relays are owed entries of."),
    Spec("weir_archive_disk_bytes", "gauge", "Bytes of those files."),
    Spec("weir_archive_lost_records_total", "counter", "Log records that relays were owed and that cannot be read."),
    Spec("weir_reserve_held", "gauge", "1 while the reserve file keeps space for flush and replay."),
    Spec(
        "weir_delete_requests",
        "gauge",
        "Deletes of all times: received, started, processed or cancelled.",
        ("tenant", "status"),
    ),
    Spec("loki_compactor_delete_requests_received_total", "counter", "Deletes accepted at all times.", ("user",)),
    Spec("loki_compactor_delete_requests_processed_total", "counter", "Deletes carried out at all times.", ("user",)),
    Spec("loki_compactor_pending_delete_requests_count", "gauge", "Deletes that are not carried out yet."),
    Spec(
        "loki_compactor_oldest_pending_delete_request_age_seconds",
        "gauge",
        "Age of the oldest delete that is not carried out yet.",
    ),
)

TAIL = (
    Spec("loki_querier_tail_active", "gauge", "Open live tails."),
    Spec("loki_querier_tail_bytes_total", "counter", "Characters of the messages sent to live tails."),
    Spec("weir_tail_queries", "gauge", "Distinct queries of live tails, each evaluated once for what is committed."),
    Spec("weir_tail_lines_sent_total", "counter", "Entries sent to live tails, those of the past included."),
    Spec(
        "weir_tail_lines_dropped_total",
        "counter",
        "Entries that live tails were told to have missed: a client did not read (`slow_reader`), or queries were "
        "slower than entries came (`behind`).",
        ("reason",),
    ),
)

EXPORT = (
    Spec("weir_exports_running", "gauge", "Exports that hold a place (query.max_exports)."),
    Spec(
        "weir_exports_total",
        "counter",
        "Exports that ended: `complete`; `left`, the client went or took nothing for 5 minutes; `stopped` by somebody; "
        "`failed`.",
        ("outcome",),
    ),
    Spec("weir_export_lines_total", "counter", "Records of exports that ended."),
    Spec("weir_export_bytes_total", "counter", "Bytes sent by exports, compressed where they are."),
)

PATTERNS = (
    Spec(
        "weir_pattern_lines_total",
        "counter",
        "Lines by what became of them for patterns: `counted`; `without` one, as they are too long or too short; "
        "`late`, older than others of their stream; `unsampled`, others stand for them; `given_up`, of a new shape for "
        "which "
        "there was no time.",
        ("outcome",),
    ),
    Spec("weir_pattern_clusters", "gauge", "Patterns in memory that take lines."),
    Spec("weir_pattern_evicted_clusters_total", "counter", "Patterns that had to make room for others."),
    Spec("weir_pattern_cpu_seconds_total", "counter", "CPU time spent on patterns of lines."),
)

NOTIFY = (
    Spec("weir_alerts", "gauge", "1 for each thing that is wrong now, as notifiers are told.", ("alert",)),
    Spec(
        "weir_notifications_total",
        "counter",
        "Notices to notifiers: `sent`; `failed`, tries that are made again; `rejected`, never to be taken; `dropped`, "
        "no room for them.",
        ("notifier", "outcome"),
    ),
    Spec("weir_notifications_waiting", "gauge", "Notices that a notifier has not taken yet.", ("notifier",)),
)

FORWARD = (
    Spec("weir_forward_listening", "gauge", "1 while the Fluent Forward door is open."),
    Spec("weir_forward_connections", "gauge", "Open connections of Fluent Forward."),
    Spec("weir_forward_connections_accepted_total", "counter", "Connections of Fluent Forward that came."),
    Spec(
        "weir_forward_connections_closed_total",
        "counter",
        "Connections of Fluent Forward that were ended from here, each with a line in the log.",
        ("reason",),
    ),
    Spec("weir_forward_messages_total", "counter", "Messages of Fluent Forward read.", ("mode",)),
    Spec(
        "weir_forward_dropped_messages_total",
        "counter",
        "Messages of Fluent Forward that were acknowledged and left nothing: they can never be stored.",
        ("reason",),
    ),
    Spec(
        "weir_forward_damaged_payloads_total",
        "counter",
        "Compressed payloads of Fluent Forward of which only a part could be unpacked.",
    ),
    Spec(
        "weir_forward_bad_entries_total",
        "counter",
        "Entries of Fluent Forward that could not be used, or not as they were.",
        ("reason",),
    ),
    Spec("weir_forward_acks_total", "counter", "Acknowledgements sent to senders of Fluent Forward."),
    Spec(
        "weir_forward_deduplicated_chunks_total",
        "counter",
        "Chunks of Fluent Forward that came again and were not stored again.",
    ),
    Spec("weir_forward_heartbeats_total", "counter", "UDP heartbeats of Fluent Forward answered."),
    Spec("weir_forward_unsettled_messages", "gauge", "Messages of Fluent Forward read and not stored yet."),
    Spec("weir_forward_buffered_bytes", "gauge", "Bytes of Fluent Forward's messages that have come in part."),
)

AUTH = (
    Spec(
        "weir_auth_failures_total",
        "counter",
        "Requests, and connections of Fluent Forward, that were not let in.",
        ("door", "reason"),
    ),
    Spec("weir_auth_keys", "gauge", "Keys that are good now; 0 while auth.enabled is off."),
    Spec(
        "weir_auth_keys_last_read_successful",
        "gauge",
        "1 while the keys are those of control.db, 0 when it cannot be read and the last ones stay in force.",
    ),
    Spec(
        "weir_tls_last_reload_successful",
        "gauge",
        "1 while certificates are those of their files, 0 when what these hold now cannot be used.",
    ),
    Spec("weir_tls_changed_timestamp_seconds", "gauge", "When certificates were last read, 0 without TLS."),
)

RELAY = (
    Spec("weir_relay_archived_batches_total", "counter", "Batches that the relay's destination has.", ("relay",)),
    Spec("weir_relay_archived_records_total", "counter", "Entries that the relay's destination has.", ("relay",)),
    Spec("weir_relay_removed_records_total", "counter", "Entries that a relay gave up.", ("relay",)),
    Spec(
        "weir_relay_refused_batches",
        "gauge",
        "Batches that the destination will never take; they are set aside until somebody decides.",
        ("relay",),
    ),
    Spec("weir_relay_refused_records", "gauge", "Entries of those batches.", ("relay",)),
    Spec("weir_relay_backlog_records", "gauge", "Entries that the relay has yet to send.", ("relay",)),
    Spec("weir_relay_backlog_bytes", "gauge", "Bytes of their lines.", ("relay",)),
    Spec("weir_relay_backlog_disk_bytes", "gauge", "Bytes of log and archive that are kept for them.", ("relay",)),
    Spec("weir_relay_backlog_age_seconds", "gauge", "Time since the oldest of them came in.", ("relay",)),
    Spec("weir_relay_batch_size", "gauge", "Entries that a batch may have now.", ("relay",)),
    Spec("weir_relay_batch_size_target", "gauge", "Entries that a batch may have at best.", ("relay",)),
    Spec("weir_relay_consecutive_failures", "gauge", "Tries that failed since the last that did not.", ("relay",)),
    Spec("weir_relay_retries_total", "counter", "Tries that failed.", ("relay",)),
    Spec(
        "weir_relay_deduplicated_batches_total",
        "counter",
        "Batches that the destination had already when they were sent again.",
        ("relay",),
    ),
    Spec(
        "weir_relay_last_success_timestamp_seconds",
        "gauge",
        "When a batch was last taken, as a Unix time; 0: not since the start.",
        ("relay",),
    ),
)

CENTRAL = (
    Spec(
        "weir_instance_batches_total",
        "counter",
        "Batches that another server sent, each once, at all times. `instance_name` is that server's setting: "
        "Prometheus has its own use for a label `instance`.",
        ("instance_name", "tenant"),
    ),
    Spec("weir_instance_records_total", "counter", "Entries of those batches.", ("instance_name", "tenant")),
    Spec(
        "weir_instance_last_received_timestamp_seconds",
        "gauge",
        "When the last of those batches came, as a Unix time.",
        ("instance_name", "tenant"),
    ),
)

COLLECTOR = (
    Spec("weir_collector_running", "gauge", "1 while the collector follows files."),
    Spec("weir_collector_files", "gauge", "Files that are followed."),
    Spec(
        "weir_collector_backlog_bytes",
        "gauge",
        "Bytes of these files that are not read yet, as they are on disk; a packed file counts as a whole.",
    ),
    Spec("weir_collector_read_bytes_total", "counter", "Bytes of files that were read, unpacked."),
    Spec("weir_collector_lines_total", "counter", "Lines, or records of several lines, put into batches."),
    Spec("weir_collector_batches_total", "counter", "Batches that were acknowledged."),
    Spec(
        "weir_collector_deduplicated_batches_total",
        "counter",
        "Acknowledged batches that were stored before: sent again after a stop.",
    ),
    Spec(
        "weir_collector_refused_lines_total",
        "counter",
        "Lines that were refused, as far as the server says how many.",
    ),
    Spec(
        "weir_collector_retries_total",
        "counter",
        "Batches that have to be sent again: `busy` (429, 503), `refused` (another status), `unreachable`.",
        ("reason",),
    ),
    Spec("weir_collector_unsent_batches", "gauge", "Batches on disk that are not acknowledged yet."),
    Spec("weir_collector_rotations_total", "counter", "Files that were renamed, packed, copied or begun anew."),
    Spec(
        "weir_collector_lost_files_total",
        "counter",
        "Files that were gone when they were looked for, perhaps before they were read to their end.",
    ),
    Spec(
        "weir_collector_errors_total",
        "counter",
        "Files that could not be read, and writes of the collector's state that failed.",
    ),
    Spec(
        "weir_collector_last_acknowledged_timestamp_seconds",
        "gauge",
        "When the last batch was acknowledged, as a Unix time; 0: not since the start.",
    ),
)

ALL = HTTP + AUTH + PUSH + FORWARD + COLLECTOR + QUERY + TAIL + EXPORT + STORAGE + PATTERNS + NOTIFY + RELAY + CENTRAL


def markdown_table() -> str:
    """The table of docs/metrics.md."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    rows += [f"| `{spec.name}` | {spec.kind} | {', '.join(spec.labels)} | {spec.help} |" for spec in ALL]
    return "\n".join(rows) + "\n"
