"""What push validation remembers of tenants and their streams: newest times, token buckets, how many are active.

This is what Loki's ingester and distributor keep in memory for their limits, and like theirs it is lost with the
process. Nothing is kept of a tenant for which every limit that needs it is off.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from gateway.push.rates import TokenBucket
from storage.batch import I64, Labels

IDLE = 30 * 60 * 1_000_000_000
"""ns after which a stream that got nothing is no longer active (Loki: ingester.chunk_idle_period)."""

MAX_STREAMS = 200_000
"""Streams remembered of one tenant, some 400 bytes each, unless its stream limit is higher: the longest unused one is
forgotten for a new one. A forgotten stream is one whose first entry may again be of any age."""


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Limits on streams; 0 is off.

    Attributes:
        window: ns an entry may be behind the newest of its stream.
        max_streams: streams a tenant may have active.
        rate: bytes a second a stream may take.
        burst: bytes a stream may take at once.
    """

    window: int
    max_streams: int
    rate: int
    burst: int

    @property
    def is_off(self) -> bool:
        """Whether no limit needs to know a stream's past."""
        return not (self.window or self.max_streams or self.rate)


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """What one push has for one stream.

    Attributes:
        labels: the stream.
        ts: int64[k], ns, in order of arrival.
        sizes: int64[k], bytes of each entry.
    """

    labels: Labels
    ts: I64
    sizes: I64


class Refusal(StrEnum):
    """Why entries of a stream were refused; the values are Loki's reasons."""

    STREAM_LIMIT = "stream_limit"
    RATE = "per_stream_rate_limit"
    TOO_FAR_BEHIND = "too_far_behind"


@dataclass(frozen=True, slots=True, eq=False)
class Late:
    """The entries of one stream that came too far behind its newest.

    Attributes:
        rows: int64[m], which of the k entries, ascending.
        cutoffs: int64[m], ns, the oldest time acceptable when each of them came.
    """

    rows: I64
    cutoffs: I64


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """The entries of one stream that were refused.

    Attributes:
        reason: why they were. With RATE and STREAM_LIMIT it is the whole stream, with TOO_FAR_BEHIND what is in `late`.
        late: entries too far behind, None for none.
    """

    reason: Refusal
    late: Late | None = None


@dataclass(slots=True)
class _Stream:
    newest: int | None
    used: int
    bucket: TokenBucket = field(default_factory=TokenBucket)


@dataclass(slots=True)
class _Tenant:
    used: int
    bucket: TokenBucket = field(default_factory=TokenBucket)
    streams: OrderedDict[Labels, _Stream] = field(default_factory=OrderedDict)  # longest unused first


class TenantStreams:
    """The streams of all tenants of one server. Thread-safe."""

    def __init__(self, idle: int = IDLE) -> None:
        """`idle` in ns: streams and tenants unused for longer are forgotten."""
        self._idle = idle
        self._lock = threading.Lock()
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()  # longest unused first

    def take_bytes(self, tenant: str, amount: int, now: int, rate: float, burst: float) -> bool:
        """Takes `amount` bytes from the tenant's ingestion budget, or nothing if there are not as many.

        Args:
            tenant: whose budget.
            amount: bytes.
            now: ns.
            rate: bytes a second.
            burst: bytes at once.
        """
        with self._lock:
            return self._tenant(tenant, now).bucket.take(amount, now, rate, burst)

    def bytes_left(self, tenant: str, now: int, rate: float, burst: float) -> float:
        """Bytes that the tenant could send now, at most `burst`; arguments as of take_bytes. Takes none."""
        with self._lock:
            state = self._tenants.get(tenant)
            return burst if state is None else state.bucket.left(now, rate, burst)

    def admit(self, tenant: str, pushed: Sequence[Pushed], now: int, rules: StreamRules) -> list[Refused | None]:
        """Decides about each stream of a push, in order, and remembers what was accepted.

        Every stream named is in `pushed` once. None: all its entries are accepted. A stream over its rate is refused as
        a whole, as Loki does where stream sharding is on (its default). LOKI-DIFF(5): no stream is ever split.
        """
        with self._lock:
            state = self._tenant(tenant, now)
            self._forget(state, now)
            capacity = max(MAX_STREAMS, rules.max_streams)
            return [_admit(state.streams, push, now, rules, capacity) for push in pushed]

    def active(self, tenant: str, now: int) -> int:
        """Streams of the tenant that are remembered."""
        with self._lock:
            state = self._tenants.get(tenant)
            if state is None:
                return 0
            self._forget(state, now)
            return len(state.streams)

    def _tenant(self, name: str, now: int) -> _Tenant:
        state = self._tenants.get(name)
        if state is None:
            state = self._tenants[name] = _Tenant(now)
            while now - next(iter(self._tenants.values())).used > self._idle:
                self._tenants.popitem(last=False)
        state.used = now
        self._tenants.move_to_end(name)
        return state

    def _forget(self, state: _Tenant, now: int) -> None:
        streams = state.streams
        while streams and now - next(iter(streams.values())).used > self._idle:
            streams.popitem(last=False)


def _admit(
    streams: OrderedDict[Labels, _Stream], push: Pushed, now: int, rules: StreamRules, capacity: int
) -> Refused | None:
    state = streams.get(push.labels)
    if state is None:
        if rules.max_streams and len(streams) >= rules.max_streams:
            return Refused(Refusal.STREAM_LIMIT)
        if len(streams) >= capacity:
            streams.popitem(last=False)
        state = streams[push.labels] = _Stream(None, now)
    else:
        state.used = now
        streams.move_to_end(push.labels)
    newest = int(push.ts.max())
    if state.newest is not None:
        newest = max(newest, state.newest)
    late = _too_far_behind(push, state.newest, newest, rules.window) if rules.window else None
    if rules.rate:
        size = int(push.sizes.sum()) - (int(push.sizes[late.rows].sum()) if late else 0)
        if not state.bucket.take(size, now, rules.rate, rules.burst):
            return Refused(Refusal.RATE, late)
    # Entries too far behind are older than the newest, so they do not move it.
    state.newest = newest
    return Refused(Refusal.TOO_FAR_BEHIND, late) if late else None


def _too_far_behind(push: Pushed, before: int | None, newest: int, window: int) -> Late | None:
    """The newest time moves with each entry of the push, so an early one may go where a later one may not."""
    if int(push.ts.min()) >= newest - window:
        return None
    seen = np.empty(len(push.ts), np.int64)
    seen[0] = push.ts[0] if before is None else before
    seen[1:] = push.ts[:-1]
    cutoffs = np.maximum.accumulate(seen) - window
    rows = np.flatnonzero(push.ts < cutoffs)
    return Late(rows, cutoffs[rows]) if len(rows) else None
