"""The figures of the collector as metric families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.collect.figures import CollectorFigures
from gateway.metric_families import family
from gateway.metric_names import COLLECTOR

_SPECS = {spec.name: spec for spec in COLLECTOR}


def collector_families(figures: CollectorFigures) -> Iterator[Metric]:
    """Every metric of the collector."""
    yield _plain("weir_collector_running", int(figures.running))
    yield _plain("weir_collector_files", figures.files)
    yield _plain("weir_collector_backlog_bytes", figures.backlog)
    yield _plain("weir_collector_read_bytes_total", figures.read)
    yield _plain("weir_collector_lines_total", figures.lines)
    yield _plain("weir_collector_batches_total", figures.batches)
    yield _plain("weir_collector_deduplicated_batches_total", figures.deduplicated)
    yield _plain("weir_collector_refused_lines_total", figures.refused)
    retries: dict[tuple[str, ...], float] = {(reason,): count for reason, count in figures.retries.copy().items()}
    yield family(_SPECS["weir_collector_retries_total"], retries)
    yield _plain("weir_collector_unsent_batches", figures.unsent)
    yield _plain("weir_collector_rotations_total", figures.rotations)
    yield _plain("weir_collector_lost_files_total", figures.lost)
    yield _plain("weir_collector_errors_total", figures.errors)
    yield _plain("weir_collector_last_acknowledged_timestamp_seconds", figures.last_acknowledged)


def _plain(name: str, value: float) -> Metric:
    return family(_SPECS[name], {(): value})
