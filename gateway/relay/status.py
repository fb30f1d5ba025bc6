"""Relays and their batches as the API tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from storage.outbox.ledger import Tally

if TYPE_CHECKING:
    from gateway.relay.figures import RelayFigures
    from storage.outbox.ledger import RelayBatch, Sum

_NS_PER_SECOND = 1_000_000_000
_WAITING = ("pending", "sending", "failed")
"""Statuses of batches that are yet to be sent."""
_SETTLED = ("archived", "refused", "removed")


def relay_told(figures: RelayFigures, now: int) -> dict[str, Any]:
    """A relay as the API tells it; `now` in ns."""
    backlog, totals = figures.backlog, figures.totals
    oldest = max(0, now - backlog.oldest) / _NS_PER_SECOND if backlog.oldest else 0.0
    settled = {status: records_of(totals, status) for status in _SETTLED}
    # What waits is counted in the log: most of it is in no batch yet.
    records = {status: tally.records for status, tally in settled.items()} | {"pending": backlog.rows}
    batches = {status: tally.batches for status, tally in settled.items()}
    batches["pending"] = records_of(totals, *_WAITING).batches
    return {
        "relay": figures.name,
        "sink": figures.kind,
        "destination": figures.destination,
        "state": figures.state,
        "records": {"total": sum(records.values()), **records},
        "batches": {"total": sum(batches.values()), **batches},
        "backlog": {
            "records": backlog.rows,
            "bytes": backlog.bytes,
            "disk_bytes": backlog.disk_bytes,
            "oldest_seconds": round(oldest, 3),
        },
        "batch_size": figures.size,
        "batch_size_target": figures.target,
        "retries": figures.retries,
        "failures": figures.failures,
        "last_success": round(figures.last_success / _NS_PER_SECOND, 3),
        "error": figures.last_error,
    }


def records_of(totals: Mapping[str, Tally], *statuses: str) -> Tally:
    """The batches of some statuses."""
    found = [totals[status] for status in statuses if status in totals]
    return Tally(
        sum(each.batches for each in found), sum(each.records for each in found), sum(each.bytes for each in found)
    )


def batch_told(batch: RelayBatch) -> dict[str, Any]:
    """A batch as the API tells it."""
    return {
        "relay": batch.relay,
        "uuid": str(batch.uuid),
        "tenant": batch.tenant,
        "records": batch.records,
        "bytes": batch.bytes,
        "status": batch.status,
        "started": round(batch.started / _NS_PER_SECOND, 3),
        "completed": round(batch.completed / _NS_PER_SECOND, 3),
        "retries": batch.retries,
        "error": batch.error,
    }


def sum_told(some: Sum) -> dict[str, Any]:
    """Batches of one relay and status as the API tells them."""
    return asdict(some)
