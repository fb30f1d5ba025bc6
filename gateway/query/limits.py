"""The limits of a tenant that a query is held to before and while it runs, in Loki's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config import Limits
from gateway.query.errors import BadParameter
from gateway.query.times import go_duration, prometheus_duration
from gateway.state import ReadStore
from logql import Direction, Expr, LogExpr, Matcher, MetricLimits, Source, Unit, check_entries_limit, selections
from storage.reading import Survey

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def check_query(expr: Expr, limit: int, limits: Limits) -> None:
    """Refuses a query for what is written in it.

    Args:
        expr: the query.
        limit: entries it asks for; of no meaning for a metric query.
        limits: of its tenant.

    Raises:
        LimitError, BadParameter: it asks for too many entries, or has too many or too few matchers.
    """
    if isinstance(expr, LogExpr):
        check_entries_limit(limit, limits.max_entries_limit_per_query)
    for selection in selections(expr):
        _check_matchers(selection.matchers, limits)


def _check_matchers(matchers: Sequence[Matcher], limits: Limits) -> None:
    present = [matcher.name for matcher in matchers]
    missing = [name for name in limits.required_labels if name not in present]
    shown = ", ".join(present)
    if missing:
        raise BadParameter(
            f"stream selector is missing required matchers [{', '.join(missing)}], "
            f"labels present in the query were [{shown}]"
        )
    if len(present) < limits.minimum_labels_number:
        raise BadParameter(
            f"stream selector has less label matchers than required: (present: [{shown}], number_present: "
            f"{len(present)}, required_number_label_matchers: {limits.minimum_labels_number})"
        )
    most = limits.max_streams_matchers_per_query
    if most and len(present) > most:
        raise BadParameter(f"max streams matchers per query exceeded, matchers-count > limit ({len(present)} > {most})")


def check_length(start: int, end: int, limits: Limits) -> None:
    """Refuses a time range (ns) longer than max_query_length.

    Raises:
        BadParameter: in Loki's words.
    """
    if limits.max_query_length and end - start > limits.max_query_length:
        length, limit = go_duration(end - start), prometheus_duration(limits.max_query_length)
        raise BadParameter(f"the query time range exceeds the limit (query length: {length}, limit: {limit})")


def check_bytes(store: ReadStore, tenant: str, expr: Expr, start: int, end: int, limits: Limits) -> None:
    """Refuses a query between `start` and `end` (ns) that would read more than max_query_bytes_read.

    A log query leaves out the end, a metric query has a step there.

    Raises:
        BadParameter: in Loki's words.
    """
    most = limits.max_query_bytes_read
    if not most:
        return
    last = 0 if isinstance(expr, LogExpr) else 1
    size = sum(
        store.index_stats(tenant, each.matchers, start - each.before, end - each.offset + last).bytes
        for each in selections(expr)
    )
    if size > most:
        raise BadParameter(
            f"the query would read too many bytes (query: {binary_size(size)}, limit: {binary_size(most)}); consider "
            "adding more specific stream selectors or reduce the time range of the query"
        )


def binary_size(size: int) -> str:
    """Bytes as go-humanize prints them: `12 GiB`, `1.5 KiB`, `7 B`."""
    if size < 10:
        return f"{size} B"
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f} {_UNITS[unit]}" if value < 10 else f"{value:.0f} {_UNITS[unit]}"


def metric_limits(limits: Limits, *, partial: bool) -> MetricLimits:
    """What the engine needs to know of a tenant's limits; `partial`: cut an answer of too many series."""
    return MetricLimits(limits.max_query_series, limits.max_query_range, partial)


@dataclass(frozen=True, slots=True)
class Sight:
    """A source that shows nothing older than `oldest` (ns), however far back a range vector reaches."""

    source: Source
    oldest: int

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[Unit]:
        """As of any Source."""
        start = max(start, self.oldest)
        if start < end:
            yield from self.source.scan(tenant, matchers, start, end, direction, survey)
