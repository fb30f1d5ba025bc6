"""Limits that look at a stream's past, and the wording of their refusals (Loki: ingester)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from config.limits import Limits
from gateway.push.errors import InvalidEntries, PushError, PushFailed, RateLimited
from gateway.push.refusals import Refusals, RefusedRows, byte_size, go_time, rfc3339
from gateway.push.streams import Pushed, Refusal, Refused, StreamRules, TenantStreams
from storage.batch import I64, Batch, Mask
from storage.labels import labels_text

_MILLISECOND = 1_000_000


def stream_rules(limits: Limits) -> StreamRules:
    """The tenant's limits on streams; of the two stream counts the lower one that is set."""
    counts = [count for count in (limits.max_streams_per_user, limits.max_global_streams_per_user) if count]
    return StreamRules(
        window=limits.out_of_order_window,
        max_streams=min(counts, default=0),
        rate=limits.per_stream_rate_limit,
        burst=limits.per_stream_rate_limit_burst,
    )


def refuse_unset_times(batch: Batch, sizes: I64, refusals: Refusals) -> tuple[Mask | None, PushError | None]:
    """Refuses entries at or before 1970-01-01T00:00:00Z, which is what a time that was never set looks like.

    Loki refuses to begin a stream with an entry before its schema begins, as an internal error (500) that names the
    time in ms, and stores the other streams of the push. We have no schema; the epoch is where ours would begin.

    Returns:
        Which entries stay (None: all), and the error.
    """
    if not len(batch) or int(batch.ts.min()) > 0:
        return None, None
    unset = batch.ts <= 0
    first = int(batch.ts[int(np.argmax(unset))]) // _MILLISECOND
    text = f"rpc error: code = Unknown desc = failed to create stream: no schema config found for time {first}"
    rows = RefusedRows(batch, np.flatnonzero(unset), lambda _: text)
    refusals.count("timestamp_before_epoch", len(rows.rows), int(sizes[unset].sum()), rows)
    return ~unset, PushFailed(text)


def admit(
    batch: Batch, sizes: I64, tenant: str, limits: Limits, now: int, states: TenantStreams, refusals: Refusals
) -> tuple[Mask | None, PushError | None]:
    """Applies the limits on streams to a batch whose stream table has every label set once.

    Returns:
        Which entries stay (None: all), and the error of the first stream that was refused anything.
    """
    if not (
        limits.out_of_order_window
        or limits.max_streams_per_user
        or limits.max_global_streams_per_user
        or limits.per_stream_rate_limit
    ):
        return None, None  # before anything is made: most servers have none of them
    rules = stream_rules(limits)
    if rules.is_off or not len(batch):
        return None, None
    order, bounds = _by_stream(batch)
    ts, ordered_sizes = batch.ts[order], sizes[order]
    spans = [slice(start, end) for start, end in pairwise(bounds)]
    streams = batch.stream[order[bounds[:-1]]].tolist()
    pushed = [
        Pushed(batch.streams[stream], ts[span], ordered_sizes[span])
        for stream, span in zip(streams, spans, strict=True)
    ]
    kept: Mask | None = None
    error: PushError | None = None
    for push, span, refused in zip(pushed, spans, states.admit(tenant, pushed, now, rules), strict=True):
        if refused is None:
            continue
        if kept is None:
            kept = np.ones(len(batch), np.bool_)
        rows = order[span]
        is_late = refused.reason is Refusal.TOO_FAR_BEHIND
        kept[rows[refused.late.rows] if is_late and refused.late is not None else rows] = False
        _count(push, refused, refusals, RefusedRows(batch, rows, _teller(push, refused, tenant, limits)))
        if error is None:
            error = _error(push, refused, tenant, limits)
    return kept, error


def _by_stream(batch: Batch) -> tuple[I64, list[int]]:
    """Row numbers stream by stream in order of arrival, and where each stream begins among them (and n at the end)."""
    stream = batch.stream
    steps = np.diff(stream)
    order = np.arange(len(stream)) if (steps >= 0).all() else np.argsort(stream, kind="stable")
    starts = np.flatnonzero(np.diff(stream[order])) + 1
    return order, [0, *starts.tolist(), len(stream)]


def _teller(push: Pushed, refused: Refused, tenant: str, limits: Limits) -> Callable[[int], str]:
    return lambda _: str(_error(push, refused, tenant, limits))


def _count(push: Pushed, refused: Refused, refusals: Refusals, rows: RefusedRows) -> None:
    """`rows`: those of the stream, in its order."""
    late, late_bytes = 0, 0
    if refused.late is not None:
        at = refused.late.rows
        late, late_bytes = len(at), int(push.sizes[at].sum())
        refusals.count(Refusal.TOO_FAR_BEHIND, late, late_bytes, RefusedRows(rows.batch, rows.rows[at], rows.told))
    if refused.reason is not Refusal.TOO_FAR_BEHIND:
        refusals.count(refused.reason, len(push.ts) - late, int(push.sizes.sum()) - late_bytes, rows)


def _error(push: Pushed, refused: Refused, tenant: str, limits: Limits) -> PushError:
    labels = labels_text(push.labels)
    if refused.reason is Refusal.STREAM_LIMIT:
        return RateLimited(
            f"maximum active stream limit exceeded when trying to create stream {labels}, reduce the number of active "
            "streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit "
            f"can be increased, user: '{tenant}'"
        )
    most = limits.max_returned_stream_errors or len(push.ts)
    late = refused.late
    if refused.reason is Refusal.RATE:
        # Loki forgets the late ones here: it lists what would have been stored.
        rows = np.arange(len(push.ts)) if late is None else np.delete(np.arange(len(push.ts)), late.rows)
        rate = byte_size(limits.per_stream_rate_limit)
        reasons = [
            f"Per stream rate limit exceeded (limit: {rate}/sec) while attempting to ingest for stream '{labels}' "
            f"totaling {byte_size(size)}, consider splitting a stream via additional labels or contact your Loki "
            "administrator to see if the limit can be increased"
            for size in push.sizes[rows[:most]].tolist()
        ]
        return RateLimited(_ignored(push, rows, reasons, tenant, labels))
    rows = late.rows if late is not None else np.zeros(0, np.int64)
    cutoffs = late.cutoffs[:most].tolist() if late is not None else []
    reasons = [
        f"entry too far behind, entry timestamp is: {rfc3339(ts)}, oldest acceptable timestamp is: {rfc3339(cutoff)}"
        for ts, cutoff in zip(push.ts[rows[:most]].tolist(), cutoffs, strict=True)
    ]
    return InvalidEntries(_ignored(push, rows, reasons, tenant, labels))


def _ignored(push: Pushed, rows: I64, reasons: list[str], tenant: str, labels: str) -> str:
    """The answer about `rows` of a stream, of which the first have a reason each."""
    lines = [
        f"entry with timestamp {go_time(ts)} ignored, reason: '{reason}',\n"
        for ts, reason in zip(push.ts[rows[: len(reasons)]].tolist(), reasons, strict=True)
    ]
    total = f"user '{tenant}', total ignored: {len(rows)} out of {len(push.ts)} for stream: {labels}"
    return "".join(lines) + total


def ingestion_rate_error(tenant: str, limits: Limits, lines: int, size: int) -> RateLimited:
    """The refusal of a push of `lines` entries and `size` bytes that the tenant's rate has no room for."""
    limit = int(limits.ingestion_rate_mb * (1 << 20))
    return RateLimited(
        f"ingestion rate limit exceeded for user {tenant} (limit: {limit} bytes/sec) while attempting to ingest "
        f"'{lines}' lines totaling '{size}' bytes, reduce log volume or contact your Loki administrator to see if the "
        "limit can be increased"
    )
