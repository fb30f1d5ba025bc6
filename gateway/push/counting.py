"""What the metrics learn of a push, whichever door it came through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.metrics import Metrics
from gateway.push.metadata import metadata_sizes
from gateway.push.validate import Verdict
from storage.batch import I64, Batch

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


def count_good_pushes(metrics: Metrics, sender: Sender, lengths: I64, newest: Sequence[int], now: int) -> None:
    """Counts pushes of one sender without metadata that nothing was wrong with.

    Args:
        metrics: of the server.
        sender: of all of them.
        lengths: int64[n], bytes of each of their lines.
        newest: ns, the last time of each push.
        now: ns since the epoch.
    """
    lags = [(now - last) // _NS_PER_MS for last in newest]
    metrics.pushes_received(
        sender.tenant, lengths, 0, lags, sender.user_agent, sender.media, sender.encoding, sender.legacy, sender.format
    )
