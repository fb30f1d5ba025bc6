"""The figures of exports as metric families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.export.places import Outcome, Places
from gateway.metric_families import family
from gateway.metric_names import EXPORT

_SPECS = {spec.name: spec for spec in EXPORT}


def export_families(places: Places) -> Iterator[Metric]:
    """Every metric of exports."""
    figures = places.figures
    ended: dict[tuple[str, ...], float] = {(outcome.value,): figures.ended[outcome] for outcome in Outcome}
    yield family(_SPECS["weir_exports_running"], {(): places.running})
    yield family(_SPECS["weir_exports_total"], ended)
    yield family(_SPECS["weir_export_lines_total"], {(): figures.lines})
    yield family(_SPECS["weir_export_bytes_total"], {(): figures.bytes})
