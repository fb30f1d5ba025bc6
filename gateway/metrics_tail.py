"""The figures of live tail as metric families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import TAIL
from gateway.tail.figures import DropReason, TailFigures

_SPECS = {spec.name: spec for spec in TAIL}


def tail_families(figures: TailFigures) -> Iterator[Metric]:
    """Every metric of live tail."""
    yield family(_SPECS["loki_querier_tail_active"], {(): figures.active.total()})
    yield family(_SPECS["loki_querier_tail_bytes_total"], {(): figures.bytes})
    yield family(_SPECS["weir_tail_queries"], {(): figures.queries})
    yield family(_SPECS["weir_tail_lines_sent_total"], {(): figures.lines})
    dropped: dict[tuple[str, ...], float] = {(reason.value,): figures.dropped[reason] for reason in DropReason}
    yield family(_SPECS["weir_tail_lines_dropped_total"], dropped)
