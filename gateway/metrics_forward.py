"""The figures of the Fluent Forward door as metric families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from gateway.forward.figures import ForwardFigures
from gateway.metric_families import family
from gateway.metric_names import FORWARD

_SPECS = {spec.name: spec for spec in FORWARD}


def forward_families(figures: ForwardFigures) -> Iterator[Metric]:
    """Every metric of the door."""
    yield _plain("weir_forward_listening", int(figures.listening))
    yield _plain("weir_forward_connections", figures.connections)
    yield _plain("weir_forward_connections_accepted_total", figures.accepted)
    yield _by_reason("weir_forward_connections_closed_total", figures.closed)
    yield _by_reason("weir_forward_messages_total", figures.messages)
    yield _by_reason("weir_forward_dropped_messages_total", figures.dropped)
    yield _plain("weir_forward_damaged_payloads_total", figures.damaged)
    yield _by_reason("weir_forward_bad_entries_total", figures.bad_entries)
    yield _plain("weir_forward_acks_total", figures.acks)
    yield _plain("weir_forward_deduplicated_chunks_total", figures.deduplicated)
    yield _plain("weir_forward_heartbeats_total", figures.heartbeats)
    yield _plain("weir_forward_unsettled_messages", figures.unsettled)
    yield _plain("weir_forward_buffered_bytes", figures.buffered)


def _plain(name: str, value: int) -> Metric:
    return family(_SPECS[name], {(): value})


def _by_reason(name: str, values: Mapping[str, int]) -> Metric:
    return family(_SPECS[name], {(reason,): count for reason, count in values.items()})
