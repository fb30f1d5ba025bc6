"""The last lines and requests that were refused, by tenant and reason: how many, from whom, and one of them to look at.

Nothing is done for what is stored. What is refused is counted each time, and looked at so many times a second: a flood
of refusals costs a count each. Everything is bounded: what was refused last is kept. For the event loop.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gateway.push.refusals import Discard, RefusedRows
from storage.batch import Labels

LOOKED_AT = 100
"""Refusals of a second that are looked at; others are counted only."""

STREAMS_OF_ONE = 4
"""Streams of one push and reason of which a line is shown."""

ENTRIES_OF_REASON = 32
"""Samples that are kept of a tenant and reason: by door, client and stream."""

ENTRIES, REASONS = 4096, 4096
"""Samples, and tenants' reasons, that are kept of all tenants."""

SAMPLE_BYTES, TEXT, LABELS = 256, 512, 2048
"""What is shown at most: bytes of a line, characters of an error, characters of a stream's labels."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Where something came from.

    Attributes:
        door: loki, otlp, log or forward.
        address: of the client, "-" if it is not known.
        agent: what the client calls itself.
    """

    door: str
    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Something that was refused.

    Attributes:
        error: what the client was told.
        labels: of the stream; None where it came to no stream.
        line: the beginning of it; None where there is none to show.
        ts: ns, of the line.
        whole: bytes of the line.
    """

    error: str
    labels: Labels | None = None
    line: bytes | None = None
    ts: int | None = None
    whole: int = 0


@dataclass(slots=True)
class Entry:
    """What was refused of one sender and stream for one reason.

    Attributes:
        sender: who sent it.
        sample: the last of it that was looked at.
        count: lines, or requests of which no line could be read, as far as they were looked at.
        first, last: ns, when.
    """

    sender: Sender
    sample: Sample
    count: int
    first: int
    last: int


@dataclass(slots=True)
class Reason:
    """What was refused of one tenant for one reason.

    Attributes:
        tenant: whose; "" where nobody knows.
        name: Loki's, where Loki has one.
        lines: that were refused, all of them.
        bytes: of these.
        requests: requests, messages and connections that were refused whole.
        first, last: ns, when.
        entries: by sender and stream, the last refused last.
    """

    tenant: str
    name: str
    first: int
    last: int
    lines: int = 0
    bytes: int = 0
    requests: int = 0
    entries: OrderedDict[object, Entry] = field(default_factory=OrderedDict)


class Journal:
    """The refusals of one server since it started.

    Attributes:
        unseen: refusals that were counted and not looked at.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` tells the time of day, ns."""
        self.unseen = 0
        self._clock = clock
        self._reasons: OrderedDict[tuple[str, str], Reason] = OrderedDict()
        self._entries = 0
        self._second = 0
        self._looked_at = 0

    def lines(self, tenant: str, sender: Sender, discards: Iterable[Discard]) -> None:
        """Lines of a push were refused, of which others may have been stored."""
        now = self._clock()
        for discard in discards:
            reason = self._reason(tenant, discard.reason, now)
            reason.lines += discard.lines
            reason.bytes += discard.bytes
            if self._looks(now):
                for sample, count in samples_of(discard):
                    self._keep(reason, sender, sample, count, now)

    def entries(
        self, tenant: str, sender: Sender, name: str, count: int, samples: Iterable[tuple[Sample, int]]
    ) -> None:
        """`count` entries could not be used, before they were lines of a stream; for how many each sample stands."""
        now = self._clock()
        reason = self._reason(tenant, name, now)
        reason.lines += count
        if self._looks(now):
            for sample, stands_for in samples:
                self._keep(reason, sender, sample, stands_for, now)

    def whole(self, tenant: str, sender: Sender, name: str, error: str) -> None:
        """A request, a message or a connection was refused before its lines were known."""
        now = self._clock()
        reason = self._reason(tenant, name, now)
        reason.requests += 1
        if self._looks(now):
            self._keep(reason, sender, Sample(error.rstrip("\n")[:TEXT]), 1, now)

    def of(self, tenants: Iterable[str]) -> list[Reason]:
        """What was refused of these tenants and of nobody's, the last first."""
        wanted = {*tenants, ""}
        return [reason for (tenant, _), reason in reversed(self._reasons.items()) if tenant in wanted]

    def _reason(self, tenant: str, name: str, now: int) -> Reason:
        key = (tenant, name)
        found = self._reasons.get(key)
        if found is None:
            found = self._reasons[key] = Reason(tenant, name, now, now)
            if len(self._reasons) > REASONS:
                self._drop_oldest()
        else:
            self._reasons.move_to_end(key)
        found.last = now
        return found

    def _drop_oldest(self) -> None:
        _, gone = self._reasons.popitem(last=False)
        self._entries -= len(gone.entries)

    def _looks(self, now: int) -> bool:
        second = now // 1_000_000_000
        if second != self._second:
            self._second, self._looked_at = second, 0
        self._looked_at += 1
        if self._looked_at <= LOOKED_AT:
            return True
        self.unseen += 1
        return False

    def _keep(self, reason: Reason, sender: Sender, sample: Sample, count: int, now: int) -> None:
        key = (sender, sample.labels)
        found = reason.entries.get(key)
        if found is not None:
            found.sample, found.last = sample, now
            found.count += count
            reason.entries.move_to_end(key)
            return
        if len(reason.entries) >= ENTRIES_OF_REASON:
            reason.entries.popitem(last=False)
            self._entries -= 1
        reason.entries[key] = Entry(sender, sample, count, now, now)
        self._entries += 1
        while self._entries > ENTRIES:
            self._drop_oldest()


def samples_of(discard: Discard) -> list[tuple[Sample, int]]:
    """A line of each of the first streams of a discard, and how many of its lines are known to be of that stream."""
    return [one for refused in discard.rows for one in _of_rows(refused)][:STREAMS_OF_ONE]


def _of_rows(refused: RefusedRows) -> Iterator[tuple[Sample, int]]:
    batch, rows = refused.batch, refused.rows
    streams, firsts, counts = np.unique(batch.stream[rows], return_index=True, return_counts=True)
    for place in np.argsort(firsts)[:STREAMS_OF_ONE].tolist():
        row = int(rows[firsts[place]])
        start, end = batch.lines.offsets[row : row + 2].tolist()
        sample = Sample(
            refused.told(row)[:TEXT],
            cut_labels(batch.streams[int(streams[place])]),
            batch.lines.data[start : min(end, start + SAMPLE_BYTES)].tobytes(),
            int(batch.ts[row]),
            end - start,
        )
        yield sample, int(counts[place])


def cut_labels(labels: Labels) -> Labels:
    """Labels, the texts of those cut that make them too long to be kept."""
    left, kept = LABELS, []
    for name, value in labels:
        if left <= 0:
            break
        kept.append((name[:left], value[:left]))
        left -= len(name) + len(value)
    return tuple(kept)
