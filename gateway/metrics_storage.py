"""Storage's figures as Prometheus metrics, taken when /metrics is asked for."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.metric_families import family, histogram_family
from gateway.metric_names import STORAGE
from storage import DeleteStatus
from storage.compact import Reason
from storage.figures import CompactionCounters, DeleteFigures, Figures, TenantFigures

_SPECS = {spec.name: spec for spec in STORAGE}


def storage_families(figures: Figures) -> Iterator[Metric]:
    """One family for each of metric_names.STORAGE but `loki_ingester_wal_replay_active`, which is not storage's."""
    counters, replay = figures.counters, figures.replay
    plain: dict[str, float] = {
        "loki_ingester_memory_chunks": figures.memory_chunks,
        "loki_ingester_chunks_created_total": counters.chunks_created,
        "loki_ingester_chunks_flush_failures_total": counters.flush_failures,
        "loki_ingester_flush_queue_length": figures.flush_queue,
        "loki_ingester_memory_streams_labels_bytes": figures.memory_label_bytes,
        "loki_ingester_wal_records_logged_total": counters.wal_records,
        "loki_ingester_wal_logged_bytes_total": counters.wal_bytes,
        "loki_ingester_wal_disk_full_failures_total": counters.wal_disk_full,
        "loki_ingester_wal_bytes_in_use": figures.wal_disk_bytes,
        "loki_ingester_wal_disk_usage_percent": figures.disk_used,
        "loki_ingester_wal_replay_duration_seconds": replay.seconds,
        "loki_ingester_wal_recovered_streams_total": replay.streams,
        "loki_ingester_wal_duplicate_entries_total": replay.duplicate_entries,
        "loki_ingester_wal_recovered_entries_total": replay.entries,
        "loki_ingester_wal_recovered_bytes_total": replay.bytes,
        "weir_wal_segments": figures.wal_segments,
        "weir_wal_raw_bytes_total": counters.wal_raw_bytes,
        "weir_wal_failures_total": counters.wal_failures,
        "weir_wal_segments_removed_total": counters.wal_segments_removed,
        "weir_replay_segments": replay.segments,
        "weir_replay_records": replay.records,
        "weir_replay_skipped_entries": replay.skipped_entries,
        "weir_replay_set_aside_bytes": replay.set_aside_bytes,
        "weir_refused_batches_total": counters.refused_batches,
        "weir_deduplicated_batches_total": counters.deduplicated_batches,
        "weir_duplicate_entries_total": counters.duplicate_entries,
        "weir_queued_batches": figures.queued_batches,
        "weir_memtable_bytes": figures.memory_bytes,
        "weir_flushes_total": counters.flushes,
        "weir_flushed_rows_total": counters.flushed_rows,
        "weir_flushed_blocks_total": counters.flushed_blocks,
        "weir_flushed_bytes_total": counters.flushed_bytes,
        "weir_compaction_failures_total": counters.compaction.failures,
        "weir_compaction_cpu_seconds_total": counters.compaction.cpu_seconds,
        "weir_compacted_blocks_total": counters.compaction.blocks_read,
        "weir_compaction_blocks_written_total": counters.compaction.blocks_written,
        "weir_compaction_read_bytes_total": counters.compaction.bytes_read,
        "weir_compaction_written_bytes_total": counters.compaction.bytes_written,
        "weir_compaction_pending_blocks": counters.compaction.pending,
        "weir_write_amplification": counters.write_amplification,
        "weir_carried_rows_total": counters.carried_rows,
        "weir_blocks": figures.blocks,
        "weir_block_bytes": figures.block_disk_bytes,
        "weir_retention_clock_ahead_seconds": figures.clock_ahead / 1e9,
        "weir_blocks_set_aside": figures.blocks_set_aside,
        "weir_archive_files": figures.archive_files,
        "weir_archive_disk_bytes": figures.archive_disk_bytes,
        "weir_archive_lost_records_total": figures.lost_records,
        "weir_reserve_held": int(figures.reserve_held),
    }
    for name, value in plain.items():
        yield family(_SPECS[name], {(): value})
    yield family(
        _SPECS["loki_ingester_wal_corruptions_total"],
        {("torn_tail",): replay.torn_tails, ("bad_record",): replay.bad_records},
    )
    yield family(
        _SPECS["loki_ingester_chunks_flushed_total"],
        {(reason.value,): count for reason, count in counters.blocks_by_reason.items()},
    )
    for what in ("blocks", "rows", "bytes"):
        dropped: dict[tuple[str, ...], float] = {
            (reason.value,): getattr(each, what) for reason, each in counters.dropped.items()
        }
        yield family(_SPECS[f"weir_retention_dropped_{what}_total"], dropped)
    shapes = counters.blocks
    for name, histogram in (
        ("loki_ingester_wal_truncate_duration_seconds", counters.wal_truncate),
        ("loki_ingester_chunk_age_seconds", shapes.age),
        ("loki_ingester_chunk_bounds_hours", shapes.hours),
        ("loki_ingester_chunk_compression_ratio", shapes.ratio),
        ("loki_ingester_chunk_entries", shapes.entries),
        ("loki_ingester_chunk_size_bytes", shapes.size),
        ("loki_ingester_chunk_encode_time_seconds", shapes.encode),
        ("weir_wal_sync_seconds", counters.wal_sync),
        ("weir_flush_seconds", counters.flush),
        ("weir_compaction_seconds", counters.compaction.seconds),
    ):
        yield histogram_family(_SPECS[name], {(): histogram})
    yield from _of_deletes(figures.deletes)
    yield from _of_compaction(counters.compaction)
    yield from _of_tenants(figures.tenants)
    counts: dict[tuple[str, ...], float] = {
        (tenant, label): count for tenant, found in figures.label_values.items() for label, count in found
    }
    yield family(_SPECS["weir_label_values"], counts)


def _of_deletes(figures: DeleteFigures) -> Iterator[Metric]:
    received: Tally[tuple[str, ...]] = Tally()
    processed: Tally[tuple[str, ...]] = Tally()
    for (tenant, status), count in figures.by_status.items():
        received[(tenant,)] += count
        if status == DeleteStatus.PROCESSED:
            processed[(tenant,)] += count
    age = 0.0 if figures.oldest is None else max(0.0, time.time() - figures.oldest / 1e9)
    yield family(_SPECS["weir_delete_requests"], dict(figures.by_status.items()))
    yield family(_SPECS["loki_compactor_delete_requests_received_total"], received)
    yield family(_SPECS["loki_compactor_delete_requests_processed_total"], processed)
    yield family(_SPECS["loki_compactor_pending_delete_requests_count"], {(): figures.pending})
    yield family(_SPECS["loki_compactor_oldest_pending_delete_request_age_seconds"], {(): age})


def _of_compaction(counters: CompactionCounters) -> Iterator[Metric]:
    done: dict[tuple[str, ...], float] = {(reason.value,): counters.jobs.get(reason.value, 0) for reason in Reason}
    yield family(_SPECS["weir_compactions_total"], done)
    dropped: dict[tuple[str, ...], float] = {
        ("repeated",): counters.repeated_rows,
        ("deleted",): counters.deleted_rows,
        ("expired",): counters.expired_rows,
    }
    yield family(_SPECS["weir_compaction_dropped_rows_total"], dropped)


def _of_tenants(tenants: dict[str, TenantFigures]) -> Iterator[Metric]:
    for name, field in (
        ("loki_ingester_memory_streams", "memory_streams"),
        ("loki_ingester_streams_created_total", "streams_created"),
        ("loki_ingester_streams_removed_total", "streams_removed"),
        ("loki_ingester_chunks_stored_total", "stored_blocks"),
        ("loki_ingester_chunk_stored_bytes_total", "stored_bytes"),
        ("loki_duplicate_log_bytes_total", "duplicate_bytes"),
        ("weir_memtable_rows", "memory_rows"),
        ("weir_block_rows", "block_rows"),
    ):
        values: dict[tuple[str, ...], float] = {
            (tenant,): getattr(figures, field) for tenant, figures in tenants.items()
        }
        yield family(_SPECS[name], values)
