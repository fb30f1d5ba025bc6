"""Settings of patterns of lines."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from config.units import Kind, Positive

Percent = Annotated[int, Field(ge=1, le=100), Kind("number", "a whole number from 1 to 100")]


class Patterns(BaseModel):
    """Patterns of lines, which Grafana's Drilldown shows; see /loki/api/v1/patterns in docs/api.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    enabled: bool = True
    """Whether patterns are kept; if not, the endpoint answers 404 (Loki: pattern_ingester.enabled)."""
    cpu_percent: Percent = 2
    """Percent of one core that may be spent on them; up to a quarter of a second of it is saved up for a quiet server.
    Where lines come faster than that does for, some are looked at and counted for the others."""
    max_clusters: Positive = 10_000
    """Patterns of all streams together that are kept in memory, about 2 kB each; the longest unused make room. A stream
    has 300 for each level at most."""
