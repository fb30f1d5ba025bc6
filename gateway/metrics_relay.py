"""The figures of relays as metric families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import RELAY
from gateway.relay.figures import RelayFigures
from gateway.relay.status import records_of

_SPECS = {spec.name: spec for spec in RELAY}
_NS_PER_SECOND = 1_000_000_000


def relay_families(figures: Sequence[RelayFigures], now: int) -> Iterator[Metric]:
    """Every metric of relays; `now` in ns."""
    values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _SPECS}
    for one in figures:
        for name, value in _values(one, now):
            values[f"weir_relay_{name}"][one.name,] = value
    for name, spec in _SPECS.items():
        yield family(spec, values[name])


def _values(one: RelayFigures, now: int) -> Iterator[tuple[str, float]]:
    archived, refused, removed = (records_of(one.totals, status) for status in ("archived", "refused", "removed"))
    yield "archived_batches_total", archived.batches
    yield "archived_records_total", archived.records
    yield "removed_records_total", removed.records
    yield "refused_batches", refused.batches
    yield "refused_records", refused.records
    yield "backlog_records", one.backlog.rows
    yield "backlog_bytes", one.backlog.bytes
    yield "backlog_disk_bytes", one.backlog.disk_bytes
    yield "backlog_age_seconds", max(0, now - one.backlog.oldest) / _NS_PER_SECOND if one.backlog.oldest else 0
    yield "batch_size", one.size
    yield "batch_size_target", one.target
    yield "consecutive_failures", one.failures
    yield "retries_total", one.retries
    yield "deduplicated_batches_total", one.deduplicated
    yield "last_success_timestamp_seconds", one.last_success / _NS_PER_SECOND
