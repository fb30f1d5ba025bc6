"""Bytes on disk. What others may import is named here; the rest is private to this folder."""

from storage.batchids import BatchId, batch_digest
from storage.blockwrite import BlockOptions
from storage.compact import Compacted, CompactionOptions
from storage.control import DeleteRecord, DeleteStatus
from storage.deletes import DeleteOptions, DeleteProgress
from storage.flush import FlushOptions
from storage.replay import ReplayProgress
from storage.retention import RetentionOptions, StreamRule, TenantRules
from storage.stats import IndexStats
from storage.store import Store, StoreOptions, open_store
from storage.wal import SyncMode
from storage.writer import Receipt

__all__ = [
    "BatchId",
    "BlockOptions",
    "Compacted",
    "CompactionOptions",
    "DeleteOptions",
    "DeleteProgress",
    "DeleteRecord",
    "DeleteStatus",
    "FlushOptions",
    "IndexStats",
    "Receipt",
    "ReplayProgress",
    "RetentionOptions",
    "Store",
    "StoreOptions",
    "StreamRule",
    "SyncMode",
    "TenantRules",
    "batch_digest",
    "open_store",
]
