"""Figures: what storage counts about itself. Plain numbers; gateway/metrics.py gives them names for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field

SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds in seconds. A sync takes 0.1 ms on NVMe and 10 ms on a spinning disk: both must be visible."""

FLUSH_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds for a flush of the whole memtable."""


@dataclass(slots=True)
class Histogram:
    """Counts of durations in seconds. One thread observes; readers may see a count one behind its sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Adds one duration."""
        at = next((i for i, bound in enumerate(self.bounds) if seconds <= bound), len(self.bounds))
        self.counts[at] += 1
        self.total += seconds


@dataclass(slots=True)
class ReplayFigures:
    """What the last start found in the WAL."""

    segments: int = 0
    records: int = 0
    entries: int = 0
    bytes: int = 0
    skipped_entries: int = 0
    torn_tails: int = 0
    bad_records: int = 0
    set_aside_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """One tenant's share."""

    memory_streams: int
    streams_created: int
    memory_rows: int
    memory_bytes: int
    duplicate_bytes: int
    block_rows: int


@dataclass(slots=True)
class Counters:
    """Totals since the start. Written by storage's threads, read by anyone."""

    wal_records: int = 0
    wal_bytes: int = 0
    wal_raw_bytes: int = 0
    wal_failures: int = 0
    wal_disk_full: int = 0
    wal_segments_removed: int = 0
    refused_batches: int = 0
    deduplicated_batches: int = 0
    duplicate_entries: int = 0
    chunks_created: int = 0
    flushes: int = 0
    flush_failures: int = 0
    flushed_rows: int = 0
    flushed_blocks: int = 0
    flushed_bytes: int = 0
    carried_rows: int = 0
    wal_sync: Histogram = field(default_factory=lambda: Histogram(SYNC_BUCKETS))
    wal_truncate: Histogram = field(default_factory=lambda: Histogram(FLUSH_BUCKETS))
    flush: Histogram = field(default_factory=lambda: Histogram(FLUSH_BUCKETS))


@dataclass(frozen=True, slots=True)
class Figures:
    """A snapshot of everything."""

    counters: Counters
    replay: ReplayFigures
    tenants: dict[str, TenantFigures]
    memory_chunks: int
    memory_bytes: int
    wal_segments: int
    wal_disk_bytes: int
    blocks: int
    block_disk_bytes: int
    reserve_held: bool
    queued_batches: int
