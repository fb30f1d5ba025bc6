"""Validation and normalisation of a decoded push: which entries are stored, in which form, and what is answered.

The order of the checks is Loki's (distributor, then ingester), because it decides which of several errors is told.
Entries are looked at by column; Python loops run per stream and per different error text only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from config.limits import Limits
from gateway.push.admission import admit, ingestion_rate_error, refuse_unset_times
from gateway.push.detected_level import level_column
from gateway.push.entries import Measured, check_entries, measure, refuse_entries, spread_equal_times, truncate_lines
from gateway.push.errors import InvalidEntries, PushError, PushFailed
from gateway.push.known_streams import Known, known_streams
from gateway.push.label_checks import blocked_error, labels_error, missing_labels_error
from gateway.push.levels import DETECTED_LEVEL
from gateway.push.metadata import drop_empty_values, metadata_sizes, put_column, sanitise
from gateway.push.refusals import SHOWN, Discard, Mutation, Refusals, RefusedRows
from gateway.push.streams import TenantStreams
from storage.batch import I64, Batch, Column, Labels, Mask
from storage.rows import renumber, take_rows

_SILENT = 200
"""The block_ingestion_status_code with which a blocked push is dropped without a word."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What becomes of a push.

    Attributes:
        batch: what is to be stored, None for nothing. Each label set is in its stream table once, and has entries.
        received: a glance at what was pushed.
        error: what the client is told after that is stored; None: all is well.
        discarded: what was refused, for the metrics.
        mutated: what was changed.
        sanitised: names and values of structured metadata that were changed.
    """

    batch: Batch | None
    received: Measured
    error: PushError | None = None
    discarded: tuple[Discard, ...] = ()
    mutated: tuple[Mutation, ...] = ()
    sanitised: int = 0


def validate(batch: Batch, tenant: str, limits: Limits, now: int, states: TenantStreams) -> Verdict:
    """Applies a tenant's limits to a decoded push.

    Args:
        batch: entries with the push's own stream table; label sets sorted by name, names may repeat.
        tenant: whose push it is.
        limits: the tenant's.
        now: ns since the epoch.
        states: what is remembered of streams; changed by this push.
    """
    refusals = Refusals()
    known, received = known_streams(batch.streams, limits), measure(batch)
    named = Batch(known.streams, batch.stream, batch.ts, batch.lines, batch.metadata, batch.rest)
    if not (known.are_distinct and received.in_order):
        named = _with_used_streams(named)
    cut, mutated = truncate_lines(named, limits)
    measured = received if cut is named else measure(cut)
    kept, error = _validate(cut, measured, known, tenant, limits, now, states, refusals)
    stored = kept if kept is not None and len(kept) else None
    return Verdict(stored, received, error, tuple(refusals.discards()), mutated, refusals.sanitised)


def _validate(
    pushed: Batch,
    measured: Measured,
    known: Known,
    tenant: str,
    limits: Limits,
    now: int,
    states: TenantStreams,
    refusals: Refusals,
) -> tuple[Batch | None, PushError | None]:
    batch, blocked = _check_streams(pushed, known, tenant, limits, now, refusals)
    checked = check_entries(batch, measured if batch is pushed else measure(batch), limits, now)
    sizes = checked.sizes
    if checked.faults is not None:
        refuse_entries(batch, sizes, checked.faults, limits, now, refusals)
        rows = np.flatnonzero(checked.faults.kinds == 0)
        batch, sizes = take_rows(batch, rows), sizes[rows]
    try:
        batch, refusals.sanitised = sanitise(batch)
    except PushFailed as failed:
        return None, failed
    told = refusals.text()
    error: PushError | None = InvalidEntries(told) if told is not None else blocked
    if not len(batch):
        return None, error
    if limits.increment_duplicate_timestamp:
        batch = spread_equal_times(batch)
    if limits.ingestion_rate_mb:
        size, rate, burst = int(sizes.sum()), limits.ingestion_rate_mb * _MIB, limits.ingestion_burst_size_mb * _MIB
        if not states.take_bytes(tenant, size, now, rate, burst):
            limited = ingestion_rate_error(tenant, limits, len(batch), size)
            every = RefusedRows(batch, np.arange(len(batch)), lambda _: str(limited))
            refusals.count("rate_limited", len(batch), size, every)
            return None, limited
    unset: PushError | None = None
    if checked.oldest <= 0:
        batch, sizes, unset = _keep(batch, sizes, *refuse_unset_times(batch, sizes, refusals))
    batch, _, refused = _keep(batch, sizes, *admit(batch, sizes, tenant, limits, now, states, refusals))
    level: Column | None = None
    if limits.discover_log_levels and limits.allow_structured_metadata:
        depth = limits.log_level_from_json_max_depth
        level = level_column(batch, limits.log_level_fields, depth, labels_tell=known.tell_level)
    batch = drop_empty_values(batch)
    if level is not None:
        batch = put_column(batch, DETECTED_LEVEL, level)
    return batch, unset or refused or error


def _keep(batch: Batch, sizes: I64, kept: Mask | None, error: PushError | None) -> tuple[Batch, I64, PushError | None]:
    if kept is None:
        return batch, sizes, error
    rows = np.flatnonzero(kept)
    return _with_used_streams(take_rows(batch, rows)), sizes[rows], error


def _with_used_streams(batch: Batch) -> Batch:
    """The batch with every label set that has entries in its table once."""
    if len(batch.streams) == 1 and len(batch):
        return batch
    used = np.bincount(batch.stream, minlength=len(batch.streams))
    if used.all() and len(set(batch.streams)) == len(batch.streams):
        return batch
    numbers: dict[Labels, int] = {}
    back = np.full(len(batch.streams), -1, np.int32)
    for stream in np.flatnonzero(used).tolist():
        back[stream] = numbers.setdefault(batch.streams[stream], len(numbers))
    return renumber(batch, list(numbers), back)


def _check_streams(
    batch: Batch, known: Known, tenant: str, limits: Limits, now: int, refusals: Refusals
) -> tuple[Batch, PushError | None]:
    """The batch without the streams that are refused as a whole, and the error if ingestion is blocked."""
    blocked = blocked_error(tenant, limits, now)
    if blocked is None and not limits.enforced_labels and known.are_sound:
        return batch, None
    refused: dict[int, str] = {}
    texts: dict[int, str] = {}
    for number, labels in enumerate(batch.streams):
        wrong = labels_error(labels, limits)
        if wrong is None and limits.enforced_labels:
            wrong = missing_labels_error(labels, tenant, limits)
        if wrong is not None:
            refused[number], texts[number] = wrong
            refusals.tell(texts[number])
        elif blocked is not None:
            refused[number], texts[number] = "blocked_ingestion", str(blocked)
    if not refused:
        return batch, None
    lines = np.bincount(batch.stream, minlength=len(batch.streams))
    sizes = np.bincount(batch.stream, batch.lines.lengths + metadata_sizes(batch)[0], minlength=len(batch.streams))
    shown: Counter[str] = Counter()
    for number, reason in refused.items():
        rows = None
        if lines[number] and shown[reason] < SHOWN:
            shown[reason] += 1
            of_stream = np.flatnonzero(batch.stream == number)
            rows = RefusedRows(batch, of_stream, lambda row: texts[int(batch.stream[row])])
        refusals.count(reason, int(lines[number]), int(sizes[number]), rows)
    stay = np.ones(len(batch.streams), np.bool_)
    stay[list(refused)] = False
    kept = _with_used_streams(take_rows(batch, np.flatnonzero(stay[batch.stream])))
    return kept, blocked if blocked is not None and blocked.status != _SILENT else None
