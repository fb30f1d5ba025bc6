"""Compaction: small blocks of a day become few large ones, without what was deleted or has expired.

Front door: `Engine` does a step, `Worker` is the thread that lets it. Nothing here answers queries: a query sees the
view, which a step changes as a whole.
"""

from __future__ import annotations

from storage.compact.engine import Barred, Compacted, Engine
from storage.compact.plan import CompactionOptions, Job, Reason
from storage.compact.worker import Worker

__all__ = ["Barred", "Compacted", "CompactionOptions", "Engine", "Job", "Reason", "Worker"]
