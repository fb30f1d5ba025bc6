"""Limits that a query is checked against before it runs, with Loki's texts (LOKI.md 4.9)."""

from __future__ import annotations

from logql.errors import LimitError


def check_entries_limit(limit: int, maximum: int) -> None:
    """Refuses a log query that asks for more entries than max_entries_limit_per_query; 0 allows any number.

    Raises:
        LimitError: it does.
    """
    if maximum and limit > maximum:
        raise LimitError(
            f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {maximum})"
        )
