"""Limits that a query is checked against, with Loki's texts."""

from __future__ import annotations

from dataclasses import dataclass

from logql.durations import print_prometheus_duration
from logql.errors import LimitError


@dataclass(frozen=True, slots=True)
class MetricLimits:
    """What a tenant's metric query may be; 0 allows anything but for series.

    Attributes:
        max_series: label sets in the answer (max_query_series).
        max_range: ns of a range vector (max_query_range).
        partial: whether an answer of too many series is cut, with a warning, and not refused.
    """

    max_series: int = 500
    max_range: int = 0
    partial: bool = False


def check_entries_limit(limit: int, maximum: int) -> None:
    """Refuses a log query that asks for more entries than max_entries_limit_per_query; 0 allows any number.

    Raises:
        LimitError: it does.
    """
    if maximum and limit > maximum:
        raise LimitError(
            f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {maximum})"
        )


def check_series(count: int, maximum: int) -> None:
    """Refuses an answer of more series than max_query_series.

    Raises:
        LimitError: it is.
    """
    if count > maximum:
        raise LimitError(
            f"maximum number of series ({maximum}) reached for a single query; consider reducing query cardinality by "
            "adding more specific stream selectors, reducing the time range, or aggregating results with functions "
            "like sum(), count() or topk()"
        )


def partial_warning(maximum: int) -> str:
    """What an answer says that was cut at max_query_series; Logs Drilldown looks for it."""
    return f"maximum number of series ({maximum}) reached for a single query; returning partial results"


def check_range(width: int, maximum: int) -> None:
    """Refuses a range vector longer than max_query_range (both in ns); 0 allows any.

    Raises:
        LimitError: it is.
    """
    if maximum and width > maximum:
        asked, most = print_prometheus_duration(width), print_prometheus_duration(maximum)
        raise LimitError(f"[interval] value exceeds limit: [{asked}] > [{most}]")
