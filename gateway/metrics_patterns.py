"""The figures of patterns as metric families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import PATTERNS
from gateway.patterns.book import Figures

_SPECS = {spec.name: spec for spec in PATTERNS}


def pattern_families(figures: Figures) -> Iterator[Metric]:
    """Every metric of patterns."""
    lines: dict[tuple[str, ...], float] = {(outcome,): count for outcome, count in figures.lines.items()}
    yield family(_SPECS["weir_pattern_lines_total"], lines)
    yield family(_SPECS["weir_pattern_clusters"], {(): figures.clusters})
    yield family(_SPECS["weir_pattern_evicted_clusters_total"], {(): figures.evicted})
    yield family(_SPECS["weir_pattern_cpu_seconds_total"], {(): figures.cpu_seconds})
