"""Bytes on disk. What others may import is named here; the rest is private to this folder."""

from storage.batchids import BatchId, batch_digest
from storage.blockwrite import BlockOptions
from storage.flush import FlushOptions
from storage.replay import ReplayProgress
from storage.stats import IndexStats
from storage.store import Store, StoreOptions, open_store
from storage.wal import SyncMode
from storage.writer import Receipt

__all__ = [
    "BatchId",
    "BlockOptions",
    "FlushOptions",
    "IndexStats",
    "Receipt",
    "ReplayProgress",
    "Store",
    "StoreOptions",
    "SyncMode",
    "batch_digest",
    "open_store",
]
