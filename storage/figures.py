"""Figures: what storage counts about itself. Plain numbers; gateway/metrics.py gives them names for Prometheus."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storage.batch import I64
from storage.kernels.counts import count_values

SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds in seconds. A sync takes 0.1 ms on NVMe and 10 ms on a spinning disk: both must be visible."""

FLUSH_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds for a flush of the whole memtable."""

TENANTS = 10
NAMES = 20
"""Tenants, and label names of each, whose values are counted for all to see: a series each in whatever scrapes them."""

BLOCK_AGE_BUCKETS = (60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 36000.0, 43200.0, 57600.0)
BLOCK_HOURS_BUCKETS = tuple(float(hours) for hours in range(1, 9))
BLOCK_RATIO_BUCKETS = tuple(0.75 + 2 * step for step in range(10))
BLOCK_ENCODE_BUCKETS = tuple(0.01 * 4**step for step in range(6))
BLOCK_ENTRIES_BUCKETS = tuple(200.0 * 2**step for step in range(15))
BLOCK_SIZE_BUCKETS = tuple(20_000.0 * 2**step for step in range(13))
"""Upper bounds of what is observed of a block: those Loki has for its chunks. A block holds all streams of a tenant's
day, so entries and bytes go on where Loki's stop (51,200 and 10 MB)."""


@dataclass(slots=True)
class Histogram:
    """Counts of observed values. One thread observes; readers may see a count one behind its sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Adds one value; a value equal to a bound is within it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: I64) -> None:
        """Adds int64[n] values."""
        if len(values) == 1:
            self.observe(int(values[0]))
            return
        counts: I64 = np.empty(len(self.counts), np.int64)
        self.total += count_values(values, _edges(self.bounds), counts)
        self.counts = [old + new for old, new in zip(self.counts, counts.tolist(), strict=True)]


@lru_cache(maxsize=64)
def _edges(bounds: tuple[float, ...]) -> NDArray[np.float64]:
    """Bounds as an array."""
    return np.array(bounds, np.float64)


class LabelCounts(Protocol):
    """What is asked of a tenant's stream table."""

    @property
    def pair_count(self) -> int:
        """Distinct label pairs."""

    def cardinality(self, most: int) -> list[tuple[str, int]]:
        """(label name, its distinct values), at most so many, those with most values first."""


def label_values(tables: Mapping[str, LabelCounts]) -> dict[str, list[tuple[str, int]]]:
    """The label names with most distinct values, of the tenants with most label pairs: TENANTS and NAMES at most.

    Nothing is walked but the tenants and the names of those that are chosen: tables count as they grow.
    """
    largest = heapq.nsmallest(TENANTS, tables.items(), key=lambda item: (-item[1].pair_count, item[0]))
    return {tenant: found for tenant, table in largest if (found := table.cardinality(NAMES))}


class FlushReason(StrEnum):
    """Why rows became blocks, in Loki's words."""

    FULL = "full"
    MAX_AGE = "max_age"
    FORCED = "forced"


@dataclass(slots=True)
class BlockShapes:
    """What the blocks look like that flushes wrote.

    Attributes:
        age: seconds from a block's first timestamp to when it was stored.
        hours: from its first timestamp to its last.
        ratio: bytes of lines and metadata by bytes of the file.
        entries: rows.
        size: bytes of the file.
        encode: seconds to sort, compress, write and sync it.
    """

    age: Histogram = field(default_factory=lambda: Histogram(BLOCK_AGE_BUCKETS))
    hours: Histogram = field(default_factory=lambda: Histogram(BLOCK_HOURS_BUCKETS))
    ratio: Histogram = field(default_factory=lambda: Histogram(BLOCK_RATIO_BUCKETS))
    entries: Histogram = field(default_factory=lambda: Histogram(BLOCK_ENTRIES_BUCKETS))
    size: Histogram = field(default_factory=lambda: Histogram(BLOCK_SIZE_BUCKETS))
    encode: Histogram = field(default_factory=lambda: Histogram(BLOCK_ENCODE_BUCKETS))


@dataclass(slots=True)
class CompactionCounters:
    """Totals of compaction since the start.

    Attributes:
        jobs: carried out, by reason.
        failures: that were not, and left the blocks as they were.
        blocks_read, bytes_read: files that were merged.
        blocks_written, bytes_written: files that came of it.
        repeated_rows, deleted_rows, expired_rows: left out.
        cpu_seconds: of the thread.
        pending: blocks that are to be merged as things are.
        seconds: a job took.
    """

    jobs: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    blocks_read: int = 0
    bytes_read: int = 0
    blocks_written: int = 0
    bytes_written: int = 0
    repeated_rows: int = 0
    deleted_rows: int = 0
    expired_rows: int = 0
    cpu_seconds: float = 0.0
    pending: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(FLUSH_BUCKETS))


class DropReason(StrEnum):
    """Why a block was taken off the disk."""

    AGE = "age"
    TOTAL_SIZE = "total_size"
    FREE_SPACE = "free_space"


@dataclass(slots=True)
class DropCounters:
    """Blocks that retention took off the disk since the start, for one reason."""

    blocks: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class ReplayFigures:
    """What the last start found in the WAL.

    Attributes:
        segments, records: read.
        streams, entries, bytes: that came back into memory; bytes of lines.
        skipped_entries: that did not: duplicates, and those of records that were given up.
        duplicate_entries: that were in blocks, or stood in the log twice.
        torn_tails, bad_records, set_aside_bytes: damage.
        seconds: it took.
    """

    segments: int = 0
    records: int = 0
    streams: int = 0
    entries: int = 0
    bytes: int = 0
    skipped_entries: int = 0
    duplicate_entries: int = 0
    torn_tails: int = 0
    bad_records: int = 0
    set_aside_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """One tenant's share."""

    memory_streams: int
    streams_created: int
    streams_removed: int
    memory_rows: int
    memory_bytes: int
    duplicate_bytes: int
    block_rows: int
    stored_blocks: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class DeleteFigures:
    """Deletes of all times.

    Attributes:
        by_status: (tenant, status) -> how many.
        pending: that are neither carried out nor called off.
        oldest: ns when the oldest of those was accepted; None without any.
    """

    by_status: dict[tuple[str, str], int] = field(default_factory=dict)
    pending: int = 0
    oldest: int | None = None


@dataclass(slots=True)
class Counters:
    """Totals since the start, and whether the last write to the log was refused (`refusing`).

    Written by storage's threads, read by anyone.
    """

    wal_records: int = 0
    wal_bytes: int = 0
    wal_raw_bytes: int = 0
    wal_failures: int = 0
    wal_disk_full: int = 0
    wal_sync_failures: int = 0
    wal_segments_removed: int = 0
    refused_batches: int = 0
    refusing: bool = False
    deduplicated_batches: int = 0
    duplicate_entries: int = 0
    chunks_created: int = 0
    flushes: int = 0
    flush_failures: int = 0
    flushed_rows: int = 0
    flushed_blocks: int = 0
    flushed_bytes: int = 0
    carried_rows: int = 0
    blocks_by_reason: dict[FlushReason, int] = field(default_factory=lambda: dict.fromkeys(FlushReason, 0))
    blocks: BlockShapes = field(default_factory=BlockShapes)
    wal_sync: Histogram = field(default_factory=lambda: Histogram(SYNC_BUCKETS))
    wal_truncate: Histogram = field(default_factory=lambda: Histogram(FLUSH_BUCKETS))
    flush: Histogram = field(default_factory=lambda: Histogram(FLUSH_BUCKETS))
    compaction: CompactionCounters = field(default_factory=CompactionCounters)
    dropped: dict[DropReason, DropCounters] = field(
        default_factory=lambda: {reason: DropCounters() for reason in DropReason}
    )

    @property
    def write_amplification(self) -> float:
        """Bytes of all blocks written over bytes of those that flushes wrote; 1 if they wrote none."""
        flushed = self.flushed_bytes
        return (flushed + self.compaction.bytes_written) / flushed if flushed else 1.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What may be wrong, cheap enough to be asked for every few seconds.

    Attributes:
        refusing: the last write to the log was refused, or would be, as the disk is nearly full.
        refused_batches: since the start.
        syncs, sync_failures: of the log, since the start.
        flush_failing: the last flush failed.
        blocks_set_aside: damaged ones in quarantine.
        disk_used: which part of the log's file system is in use, 0 to 1.
    """

    refusing: bool = False
    refused_batches: int = 0
    syncs: int = 0
    sync_failures: int = 0
    flush_failing: bool = False
    blocks_set_aside: int = 0
    disk_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """A snapshot of everything.

    Attributes:
        counters, replay, tenants: totals, the last start, and each tenant's share.
        label_values: as of `label_values`.
        memory_chunks: runs in memory.
        memory_bytes: of those.
        memory_label_bytes: bytes of the label names and values of the streams in memory.
        wal_segments, wal_disk_bytes: of the log.
        disk_used: which part of the log's file system is in use, 0 to 1.
        blocks, block_disk_bytes: on disk.
        reserve_held: whether space is kept back.
        queued_batches: that wait for the log.
        flush_queue: tenants whose rows a flush has taken and not stored yet.
        flush_failing: the last flush failed.
        blocks_set_aside: damaged ones in quarantine.
        deletes: of all times.
        archive_files, archive_disk_bytes: of segments that left the log and that relays are owed rows of.
        lost_records: that relays were owed and could not be read, since the start.
        clock_ahead: ns by which the time of day is ahead of the clock that retention removes by.
    """

    counters: Counters
    replay: ReplayFigures
    tenants: dict[str, TenantFigures]
    memory_chunks: int
    memory_bytes: int
    memory_label_bytes: int
    wal_segments: int
    wal_disk_bytes: int
    disk_used: float
    blocks: int
    block_disk_bytes: int
    reserve_held: bool
    queued_batches: int
    flush_queue: int
    flush_failing: bool = False
    label_values: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    blocks_set_aside: int = 0
    deletes: DeleteFigures = field(default_factory=DeleteFigures)
    clock_ahead: int = 0
    archive_files: int = 0
    archive_disk_bytes: int = 0
    lost_records: int = 0
