"""What the metrics learn of a push, whichever door it came through."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.metrics import Metrics
from gateway.push.metadata import metadata_sizes
from gateway.push.validate import Verdict
from storage.batch import Batch

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a push, and in what.

    Attributes:
        tenant: whose.
        user_agent: the header, "" if missing.
        media: media type in lower case.
        encoding: Content-Encoding, "" if missing.
        legacy: it came to /api/prom/push.
        format: the door, as Loki names it: loki, otlp; or log.
    """

    tenant: str
    user_agent: str
    media: str
    encoding: str
    legacy: bool = False
    format: str = "loki"


def count_push(metrics: Metrics, sender: Sender, batch: Batch, verdict: Verdict) -> None:
    """Counts a decoded push and what validation made of it."""
    metadata = int(metadata_sizes(batch)[0].sum()) if batch.metadata or batch.rest is not None else 0
    tenant, door = sender.tenant, sender.format
    lag = (time.time_ns() - verdict.received.newest) // _NS_PER_MS if len(batch) else -1
    metrics.push_received(
        tenant,
        verdict.received.lengths,
        metadata,
        lag,
        sender.user_agent,
        sender.media,
        sender.encoding,
        sender.legacy,
        door,
    )
    if verdict.batch is None:
        metrics.push_without_streams(tenant, validated=True)
    if verdict.sanitised:
        metrics.sanitised(tenant, verdict.sanitised, door)
    for discard in verdict.discarded:
        metrics.discarded(discard.reason, tenant, discard.lines, discard.bytes, door)
    for mutation in verdict.mutated:
        metrics.mutated(mutation.reason, tenant, mutation.lines, mutation.bytes)
