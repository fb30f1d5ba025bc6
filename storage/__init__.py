"""Bytes on disk. What others may import is named here; the rest is private to this folder."""

from storage.activity import StreamActivity
from storage.batchids import BatchId, Instance, batch_digest
from storage.blockwrite import BlockOptions
from storage.compact import Compacted, CompactionOptions
from storage.control import DeleteRecord, DeleteStatus, open_keys
from storage.deletes import DeleteOptions, DeleteProgress
from storage.feed import Commit, Snapshot, Watcher
from storage.flush import FlushOptions
from storage.keys import KeyRecord, KeySecret, KeyTable, UnknownKey
from storage.outbox.ledger import Ledger, RelayBatch, Tally, Totals
from storage.outbox.outbox import Outbox
from storage.outbox.places import Backlog, Part, Place, Stretch
from storage.record import Sender
from storage.replay import ReplayProgress
from storage.retention import RetentionOptions, StreamRule, TenantRules
from storage.shards import Shard
from storage.stats import IndexStats
from storage.store import Store, StoreOptions, open_store
from storage.volumes import Grouping, Volume, VolumeSeriesLimit
from storage.wal import SyncMode
from storage.writer import Receipt

__all__ = [
    "Backlog",
    "BatchId",
    "BlockOptions",
    "Commit",
    "Compacted",
    "CompactionOptions",
    "DeleteOptions",
    "DeleteProgress",
    "DeleteRecord",
    "DeleteStatus",
    "FlushOptions",
    "Grouping",
    "IndexStats",
    "Instance",
    "KeyRecord",
    "KeySecret",
    "KeyTable",
    "Ledger",
    "Outbox",
    "Part",
    "Place",
    "Receipt",
    "RelayBatch",
    "ReplayProgress",
    "RetentionOptions",
    "Sender",
    "Shard",
    "Snapshot",
    "Store",
    "StoreOptions",
    "StreamActivity",
    "StreamRule",
    "Stretch",
    "SyncMode",
    "Tally",
    "TenantRules",
    "Totals",
    "UnknownKey",
    "Volume",
    "VolumeSeriesLimit",
    "Watcher",
    "batch_digest",
    "open_keys",
    "open_store",
]
