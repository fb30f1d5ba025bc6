"""From settings to what the store takes: seconds instead of ns, its own dataclasses instead of ours."""

from __future__ import annotations

from collections.abc import Callable

from config import Settings
from config.patterns import Patterns
from gateway.deletes import read_delete
from gateway.patterns.book import PatternBook
from gateway.retention_rules import retention_options
from storage import BlockOptions, CompactionOptions, DeleteOptions, FlushOptions, StoreOptions, SyncMode

_NS_PER_SECOND = 1_000_000_000


def store_options(settings: Settings, now: Callable[[], Settings] | None = None) -> StoreOptions:
    """How the store of a server with these settings works.

    Args:
        settings: at the start.
        now: gives those in force, where they may change.

    Raises:
        ConfigError: a selector is none.
    """

    def carried_out(tenant: str) -> bool:
        current = settings if now is None else now()
        return current.limits_for(tenant).deletion_mode == "filter-and-delete"

    wal, memtable, block = settings.wal, settings.memtable, settings.block
    return StoreOptions(
        sync=SyncMode(wal.sync),
        sync_interval=wal.interval / _NS_PER_SECOND,
        segment_size=wal.segment_size,
        reserve=wal.reserve,
        flush=FlushOptions(
            size=memtable.size,
            max_age=memtable.max_age / _NS_PER_SECOND,
            small_tenant=memtable.small_tenant,
            small_tenant_max_age=memtable.small_tenant_max_age / _NS_PER_SECOND,
        ),
        blocks=BlockOptions(
            row_group_rows=block.row_group_rows,
            row_group_size=block.row_group_size,
            compression_level=block.compression_level,
        ),
        compaction=CompactionOptions(
            enabled=settings.compaction.enabled,
            level=settings.compaction.level,
            max_block_size=settings.compaction.max_block_size,
        ),
        retention=retention_options(settings),
        patterns=PatternBook(Patterns(enabled=False)),  # of blocks that are joined; a server has one that learns
        deletes=DeleteOptions(read_delete, settings.deletes.cancel_period / _NS_PER_SECOND, carried_out),
    )
