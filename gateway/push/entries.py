"""The checks of single entries, over whole columns (Loki: distributor, ValidateEntry)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.limits import Limits
from gateway.push.kernels.entries import measure_entries
from gateway.push.metadata import has_metadata, metadata_sizes
from gateway.push.refusals import Mutation, Refusals, RefusedRows, rfc3339
from storage.batch import I32, I64, Batch, Mask, texts_from_arrow
from storage.labels import labels_text


class Fault(IntEnum):
    """What can be wrong with an entry, in the order in which Loki looks."""

    NONE = 0
    OLD = 1
    NEW = 2
    LINE = 3
    METADATA_REFUSED = 4
    METADATA_SIZE = 5
    METADATA_COUNT = 6


REASONS = {
    Fault.OLD: "greater_than_max_sample_age",
    Fault.NEW: "too_far_in_future",
    Fault.LINE: "line_too_long",
    Fault.METADATA_REFUSED: "disallowed_structured_metadata",
    Fault.METADATA_SIZE: "structured_metadata_too_large",
    Fault.METADATA_COUNT: "structured_metadata_too_many",
}
"""Loki's names of the faults in its metrics."""

_SECOND = 1_000_000_000


def truncate_lines(batch: Batch, limits: Limits) -> tuple[Batch, tuple[Mutation, ...]]:
    """Cuts lines over max_line_size where max_line_size_truncate is on, and ends them with the identifier.

    The cut is at a byte, also within a character. An identifier as long as the limit leaves no room: nothing is cut.
    """
    identifier = limits.max_line_size_truncate_identifier.encode()
    room = limits.max_line_size - len(identifier)
    if not limits.max_line_size_truncate or not limits.max_line_size or room <= 0:
        return batch, ()
    lengths = batch.lines.lengths
    long = lengths > limits.max_line_size
    cut = int(long.sum())
    if not cut:
        return batch, ()
    whole = batch.lines.to_arrow()
    tail = pa.scalar(identifier, whole.type)
    short = pc.binary_join_element_wise(pc.binary_slice(whole, 0, room), tail, pa.scalar(b"", whole.type))
    lines = texts_from_arrow(pc.if_else(pa.array(long), short, whole))
    lost = int(lengths[long].sum()) - cut * limits.max_line_size
    return replace(batch, lines=lines), (Mutation("line_too_long", cut, lost),)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one glance at a batch says.

    Attributes:
        lengths: int64[n], bytes of each line.
        oldest: ns, the first time of all; of no entries the last there is.
        newest: ns, the last time; of no entries the first there is.
        longest: bytes of the longest line.
        in_order: all streams have entries, and stand one after the other in the order of their numbers.
    """

    lengths: I64
    oldest: int
    newest: int
    longest: int
    in_order: bool


def measure(batch: Batch) -> Measured:
    """Looks at every entry of a batch."""
    lengths: I64 = np.empty(len(batch), np.int64)
    ts, offsets, stream = map(np.ascontiguousarray, (batch.ts, batch.lines.offsets, batch.stream))
    return Measured(lengths, *measure_entries(ts, offsets, stream, len(batch.streams), lengths))


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """What is wrong with entries.

    Attributes:
        kinds: int8[n], a Fault each.
        details: int64[n], the number that the text of a fault names (s since the epoch, bytes or pairs).
    """

    kinds: np.ndarray[tuple[int], np.dtype[np.int8]]
    details: I64


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What is known of the entries of a batch.

    Attributes:
        sizes: int64[n], bytes of line and structured metadata: what is counted and rate-limited.
        oldest: ns, the first time of all; of no entries the last there is.
        faults: None where nothing is wrong with any.
    """

    sizes: I64
    oldest: int
    faults: Faults | None


def check_entries(batch: Batch, measured: Measured, limits: Limits, now: int) -> Checked:
    """What is wrong with the entries of a batch, given what a glance at it says."""
    lengths, oldest, newest, longest = measured.lengths, measured.oldest, measured.newest, measured.longest
    sizes = lengths
    found: list[tuple[Fault, Mask, I64]] = []

    def note(fault: Fault, wrong: Mask, details: I64) -> None:
        if wrong.any():
            found.append((fault, wrong, details))

    if limits.reject_old_samples and limits.reject_old_samples_max_age:
        first = now - limits.reject_old_samples_max_age
        if oldest < first:
            note(Fault.OLD, batch.ts < _int64(first), batch.ts // _SECOND)
    last = now + limits.creation_grace_period
    if newest > last:
        note(Fault.NEW, batch.ts > _int64(last), batch.ts // _SECOND)
    if limits.max_line_size and longest > limits.max_line_size:
        note(Fault.LINE, lengths > limits.max_line_size, lengths)
    if batch.metadata or batch.rest is not None:
        bytes_, pairs = metadata_sizes(batch)
        sizes = lengths + bytes_
        if not limits.allow_structured_metadata:
            note(Fault.METADATA_REFUSED, has_metadata(batch), np.zeros(len(batch), np.int64))
        if limits.max_structured_metadata_size:
            note(Fault.METADATA_SIZE, bytes_ > limits.max_structured_metadata_size, bytes_)
        if limits.max_structured_metadata_entries_count:
            note(Fault.METADATA_COUNT, pairs > limits.max_structured_metadata_entries_count, pairs)
    if not found:
        return Checked(sizes, oldest, None)
    kinds = np.zeros(len(batch), np.int8)
    details = np.zeros(len(batch), np.int64)
    for fault, wrong, values in reversed(found):  # an entry's first fault is the one that counts
        kinds[wrong] = fault
        details[wrong] = values[wrong]
    return Checked(sizes, oldest, Faults(kinds, details))


def _int64(ns: int) -> int:
    return min(max(ns, -(2**63)), 2**63 - 1)


def refuse_entries(batch: Batch, entry_sizes: I64, found: Faults, limits: Limits, now: int, refusals: Refusals) -> None:
    """Counts and words the faults. Texts are made once for each different one."""
    wrong = np.flatnonzero(found.kinds)
    faults = found.kinds[wrong]
    lines = np.bincount(faults, minlength=len(Fault))
    sizes = np.bincount(faults, entry_sizes[wrong], minlength=len(Fault))

    def told(row: int) -> str:
        labels = labels_text(batch.streams[int(batch.stream[row])])
        return _text(Fault(int(found.kinds[row])), labels, int(found.details[row]), limits, now)

    for fault in map(Fault, np.flatnonzero(lines).tolist()):
        refused = RefusedRows(batch, wrong[faults == fault], told)
        refusals.count(REASONS[fault], int(lines[fault]), int(sizes[fault]), refused)
    streams, details = batch.stream[wrong], found.details[wrong]
    order = np.lexsort((details, faults, streams))  # stable: the first of equal ones stays first
    keys = np.stack((streams, faults, details))[:, order]
    changed = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))
    starts = np.flatnonzero(changed)
    times = np.diff(np.append(starts, len(order)))
    firsts = order[starts]
    by_appearance = np.argsort(firsts, kind="stable")
    for group in by_appearance.tolist():
        at = int(firsts[group])
        labels = labels_text(batch.streams[int(streams[at])])
        refusals.tell(_text(Fault(faults[at]), labels, int(details[at]), limits, now), int(times[group]))


def _text(fault: Fault, labels: str, detail: int, limits: Limits, now: int) -> str:
    contact = "or contact your Loki administrator to"
    match fault:
        case Fault.OLD:
            oldest = rfc3339(now - limits.reject_old_samples_max_age)
            return (
                f"entry for stream '{labels}' has timestamp too old: {rfc3339(detail * _SECOND)}, "
                f"oldest acceptable timestamp is: {oldest}"
            )
        case Fault.NEW:
            return f"entry for stream '{labels}' has timestamp too new: {rfc3339(detail * _SECOND)}"
        case Fault.LINE:
            return (
                f"max entry size '{limits.max_line_size}' bytes exceeded for stream '{labels}' "
                f"while adding an entry with length '{detail}' bytes"
            )
        case Fault.METADATA_REFUSED:
            return (
                f"stream '{labels}' includes structured metadata, but this feature is disallowed. "
                f"Please see `limits_config.allow_structured_metadata` {contact} enable it"
            )
        case Fault.METADATA_SIZE:
            return (
                f"stream '{labels}' has structured metadata too large: '{detail}' bytes, "
                f"limit: '{limits.max_structured_metadata_size}' bytes. "
                f"Please see `limits_config.max_structured_metadata_size` {contact} increase it"
            )
        case _:
            return (
                f"stream '{labels}' has too many structured metadata labels: '{detail}', "
                f"limit: '{limits.max_structured_metadata_entries_count}'. "
                f"Please see `limits_config.max_structured_metadata_entries_count` {contact} increase it"
            )


def spread_equal_times(batch: Batch) -> Batch:
    """Moves an entry whose time is that of the one before it in its stream, but not its line, 1 ns past that one.

    The time before is the original or the moved one, so that a run of equal times becomes a run of ascending ones;
    equal lines stay where they are, to be stored once (Loki: increment_duplicate_timestamp). A Python loop over the
    entries of the streams that have such a pair: the option is off unless a tenant asks for it.
    """
    order = np.argsort(batch.stream, kind="stable")
    stream, ts = batch.stream[order], batch.ts[order]
    equal = (stream[1:] == stream[:-1]) & (ts[1:] == ts[:-1])
    if not equal.any():
        return batch
    affected = np.flatnonzero(np.isin(stream, stream[1:][equal]))
    rows = order[affected]
    moved = batch.ts.copy()
    moved[rows] = _spread(stream[affected].astype(np.int32), ts[affected], batch.lines.take(rows).tolist())
    return replace(batch, ts=moved)


def _spread(stream: I32, ts: I64, lines: list[bytes]) -> list[int]:
    streams, times = stream.tolist(), ts.tolist()
    out: list[int] = times[:]
    original = times[0]
    for before, at in pairwise(range(len(times))):
        if streams[at] != streams[before]:
            original = times[at]
        elif times[at] in (original, out[before]) and lines[at] != lines[before]:
            out[at] = out[before] + 1
        else:
            original = times[at]
    return out
