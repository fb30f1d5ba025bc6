"""Small protobuf pushes of one tenant, decoded and validated as one batch.

What a push of a hundred lines costs is mostly calls, not lines (docs/adr/0006). PushRequests one after the other are
one PushRequest: its streams are theirs. So bodies that are each whole, and that nothing is wrong with, become one batch
by the same calls as a single one. Invariant: a push with anything that calls for a verdict of its own is left out and
goes the ordinary way, so that what is refused, changed or counted by stream is so in one place (validate.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from config.limits import Limits
from gateway.push.admission import stream_rules
from gateway.push.detected_level import level_column
from gateway.push.encodings import check_size, unsnap
from gateway.push.entries import measure
from gateway.push.errors import PushError
from gateway.push.kernels.protobuf import fill
from gateway.push.kernels.protobuf import measure as measure_message
from gateway.push.known_streams import Known, known_streams
from gateway.push.label_checks import blocked_error
from gateway.push.label_text import labels_from_text
from gateway.push.levels import DETECTED_LEVEL
from gateway.push.metadata import put_column
from gateway.push.times import ZERO_TIME
from storage.batch import I32, I64, U8, U32, Batch, Labels, Mask, Texts

_LAST = (1 << 63) - 1
_NO_PAIRS: I64 = np.empty((5, 0), np.int64)
_NO_GAPS: U32 = np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Pushes that nothing is wrong with.

    Attributes:
        batch: what is to be stored of them all. Each label set is in its stream table once, and has entries.
        members: which of the bodies are in it, ascending; all others are to go the ordinary way.
        lengths: int64[n], bytes of each line.
        newest: ns, the last time of each member.
    """

    batch: Batch
    members: list[int]
    lengths: I64
    newest: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """One body that the kernel is sure of: its place among the bodies, its message, and how much is in it."""

    place: int
    raw: bytes
    streams: int
    entries: int
    line_bytes: int


def can_be_together(tenant: str, limits: Limits, now: int) -> bool:
    """Whether a tenant's limits look at nothing that differs from push to push but what `take_together` leaves out."""
    return not (
        limits.max_line_size_truncate
        or limits.enforced_labels
        or limits.increment_duplicate_timestamp
        or limits.ingestion_rate_mb
        or not stream_rules(limits).is_off
        or blocked_error(tenant, limits, now) is not None
    )


def take_together(bodies: Sequence[bytes], limits: Limits, now: int, room: int) -> Together | None:
    """Decodes and validates snappy-compressed bodies; None where each is to go the ordinary way.

    Args:
        bodies: as sent, without further encoding.
        limits: of all of them; `can_be_together` said yes.
        now: ns since the epoch.
        room: bytes that one may unpack to at most, whatever the limits say.
    """
    found = [_body(place, body, limits, room) for place, body in enumerate(bodies)]
    whole = [body for body in found if body is not None]
    while whole:
        taken = _take(whole, limits, now)
        if isinstance(taken, Together):
            return taken
        whole = [body for body, is_odd in zip(whole, taken, strict=True) if not is_odd]
    return None


def _body(place: int, body: bytes, limits: Limits, room: int) -> _Body | None:
    try:
        check_size(len(body), limits.max_recv_msg_size)
        raw = unsnap(body, min(limits.max_decompressed_size, room))
    except PushError:
        return None
    streams, entries, line_bytes, pairs = measure_message(np.frombuffer(raw, np.uint8))
    return _Body(place, raw, streams, entries, line_bytes) if streams > 0 and entries and not pairs else None


def _take(bodies: list[_Body], limits: Limits, now: int) -> Together | list[bool]:
    """All bodies as one batch, or which of them, one at least, cannot be in it."""
    raw = b"".join([body.raw for body in bodies])
    pushed, texts = _decode(raw, bodies)
    known = _known(raw, texts, bodies, limits)
    odd = [one is None for one in known]
    if any(odd):
        return odd
    measured = measure(pushed)
    first_rows = [0, *accumulate([body.entries for body in bodies[:-1]])]
    max_age = limits.reject_old_samples_max_age if limits.reject_old_samples else 0
    oldest = max(now - max_age, 1) if max_age else 1
    newest = min(now + limits.creation_grace_period, _LAST)
    longest = limits.max_line_size or measured.longest
    if not measured.in_order:
        odd = _lack_entries(pushed, bodies)
    elif measured.oldest < oldest or measured.newest > newest or measured.longest > longest:
        wrong: Mask = (pushed.ts < oldest) | (pushed.ts > newest) | (measured.lengths > longest)
        odd = np.logical_or.reduceat(wrong, first_rows).tolist()
    if any(odd):
        return odd
    streams, stream = _on_one_table([one for one in known if one is not None], pushed.stream)
    batch = Batch(streams, stream, pushed.ts, pushed.lines)
    if limits.discover_log_levels and limits.allow_structured_metadata:
        tell = any(one.tell_level for one in known if one is not None)
        level = level_column(batch, limits.log_level_fields, limits.log_level_from_json_max_depth, labels_tell=tell)
        if level is not None:
            batch = put_column(batch, DETECTED_LEVEL, level)
    last_times = np.maximum.reduceat(pushed.ts, first_rows).tolist()
    return Together(batch, [body.place for body in bodies], measured.lengths, last_times)


def _decode(raw: bytes, bodies: list[_Body]) -> tuple[Batch, list[list[int]]]:
    """The entries, their stream numbers those of the message, and where the text of each stream's labels stands."""
    count, entries = sum([body.streams for body in bodies]), sum([body.entries for body in bodies])
    labels: I64 = np.empty((count, 2), np.int64)
    stream: I32 = np.empty(entries, np.int32)
    ts: I64 = np.empty(entries, np.int64)
    offsets: I64 = np.empty(entries + 1, np.int64)
    lines: U8 = np.empty(sum([body.line_bytes for body in bodies]), np.uint8)
    fill(np.frombuffer(raw, np.uint8), ZERO_TIME, labels, stream, ts, offsets, lines, _NO_GAPS, _NO_PAIRS)
    return Batch([()] * count, stream, ts, Texts(lines, offsets)), labels.tolist()


def _known(raw: bytes, texts: list[list[int]], bodies: list[_Body], limits: Limits) -> list[Known | None]:
    """What is known of the streams of each body; None where a push with them is not to be joined."""
    known: list[Known | None] = []
    at = 0
    for body in bodies:
        spans = texts[at : at + body.streams]
        at += body.streams
        try:
            found = known_streams([labels_from_text(raw[start:end]) for start, end in spans], limits)
        except PushError:
            known.append(None)
        else:
            known.append(found if found.are_distinct and found.are_sound else None)
    return known


def _lack_entries(pushed: Batch, bodies: list[_Body]) -> list[bool]:
    """Which bodies have a stream without entries."""
    empty = np.bincount(pushed.stream, minlength=len(pushed.streams)) == 0
    firsts = [0, *accumulate([body.streams for body in bodies[:-1]])]
    lacking: list[bool] = np.logical_or.reduceat(empty, firsts).tolist()
    return lacking


def _on_one_table(known: list[Known], stream: I32) -> tuple[list[Labels], I32]:
    """One stream table of all pushes, and the numbers of their entries there."""
    numbers: dict[Labels, int] = {}
    places: dict[int, list[int]] = {}  # by what is known of a list: one object for all pushes that name it
    back: list[int] = []
    for one in known:
        own = places.get(id(one))
        if own is None:
            own = places[id(one)] = [numbers.setdefault(labels, len(numbers)) for labels in one.streams]
        back += own
    return list(numbers), np.array(back, np.int32)[stream]
