"""What a tail sends first: the newest entries that were there when it began, oldest first. For a query thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from config import Limits
from gateway.query.limits import check_length
from gateway.query.times import INT64_MAX
from gateway.tail.asked import Asked
from gateway.tail.frames import Form, Frame, encoded, frames_of
from logql import Budget, Direction, EntryColumns, LogExpr, Source, run_log_query
from logql.live import AT_ONCE


def past_entries(
    snapshot: Source,
    tenant: str,
    asked: Asked,
    limits: Limits,
    now: int,
    max_memory: int,
    check: Callable[[], None],
) -> EntryColumns:
    """The newest `asked.limit` entries of a snapshot since `asked.start`, newest first.

    Args:
        snapshot: what there is.
        tenant: whose it is.
        asked: by the tail; a log query.
        limits: of the tenant.
        now: ns.
        max_memory: bytes that the query may hold; 0: any number.
        check: raises to stop.

    Raises:
        BadParameter, LogQLError: the query is over a limit, or cannot be evaluated.
        StorageError: what it reads cannot be read.
    """
    assert isinstance(asked.expr, LogExpr), "a metric query has no entries"
    start = max(asked.start, now - limits.max_query_lookback) if limits.max_query_lookback else asked.start
    check_length(start, now, limits)
    # To the end of time: what a client whose clock is ahead has sent would else be neither here nor among what comes.
    return run_log_query(
        snapshot,
        tenant,
        asked.expr,
        start,
        INT64_MAX,
        asked.limit,
        Direction.BACKWARD,
        check=check,
        budget=Budget(max_memory),
    ).columns


def past_frames(newest_first: EntryColumns, form: Form) -> Iterator[Frame]:
    """The frames of `past_entries`, oldest first."""
    entries = _oldest_first(newest_first)
    for first in range(0, len(entries), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        piece = replace(entries, ts=entries.ts[some], line=entries.line[some], labels=entries.labels[some])
        yield from frames_of(encoded(piece, form, np.zeros(len(piece), np.int64)), form)


def _oldest_first(entries: EntryColumns) -> EntryColumns:
    return replace(entries, ts=entries.ts[::-1], line=entries.line[::-1], labels=entries.labels[::-1])
