"""Retention: how long entries are kept, and from when on they are out of sight.

An entry has expired when it is older than the period of its stream: of the rules of its tenant that match the stream
the one with the greatest priority counts, of several with that priority the shortest period (Loki's order); without
such a rule the tenant's own period. Nothing here removes anything: see expiry.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import re2
from numpy.typing import NDArray

from storage.archived import Archived
from storage.batch import I64, Labels
from storage.blockread import Block, read_footer
from storage.streams import LabelMatcher, StreamTable

FOREVER = int(np.iinfo(np.int64).min)
"""The floor of a stream whose entries never expire, ns."""
TENANT = -1
"""In the place of a rule's number: the tenant's own period."""
REWRITE_SHARE = 0.25
"""Part of a block's rows that has to be of streams that have expired whole, for the block to be written anew without
them. At a quarter three bytes are written for one that is freed."""
REWRITE_REST = 86_400_000_000_000
"""ns that the rest of such a block has to be kept for: a block that goes soon as a whole is not worth the writing."""
_FEW = 64
_SIXTEENTH = 16
"""New streams up to which each is looked at by itself rather than each rule at the whole table: so many, or a 16th of
those that are known. To look at 100,000 takes as long as 7,000 one by one."""

I16 = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class StreamRule:
    """How long the streams of a selector are kept.

    Attributes:
        matchers: all of them have to accept a stream.
        period: ns; 0: for ever.
        priority: the greater goes before.
        selector: as it was written.
    """

    matchers: tuple[LabelMatcher, ...]
    period: int
    priority: int = 0
    selector: str = ""


@dataclass(frozen=True, slots=True)
class TenantRules:
    """How long a tenant's streams are kept.

    Attributes:
        period: of streams that no rule matches, ns; 0: for ever.
        streams: rules, in the order of Loki's choice: the first that matches counts.
    """

    period: int = 0
    streams: tuple[StreamRule, ...] = ()

    def __post_init__(self) -> None:
        """Brings the rules in order."""
        order = sorted(self.streams, key=lambda rule: (-rule.priority, rule.period == 0, rule.period))
        object.__setattr__(self, "streams", tuple(order))

    @property
    def periods(self) -> I64:
        """int64[rules + 1], ns: those of the rules and, last (and so at TENANT), the tenant's."""
        return np.array([*(rule.period for rule in self.streams), self.period], np.int64)

    @property
    def keep_everything(self) -> bool:
        """Whether no entry ever expires."""
        return not self.period and not any(rule.period for rule in self.streams)


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """What is to be kept.

    Attributes:
        common: rules of tenants that have none of their own.
        tenants: rules of those that have.
        max_total_size: bytes that the blocks of all tenants may take; 0: any.
        min_free_space: bytes that are to stay free on the file system; 0: none.
        min_free_part: the same as a part of the file system, 0 to 1.
    """

    common: TenantRules = TenantRules()
    tenants: Mapping[str, TenantRules] = field(default_factory=dict)
    max_total_size: int = 0
    min_free_space: int = 0
    min_free_part: float = 0.0

    @property
    def keep_everything(self) -> bool:
        """Whether nothing is ever removed."""
        limited = self.max_total_size or self.min_free_space or self.min_free_part
        return not limited and all(rules.keep_everything for rules in (self.common, *self.tenants.values()))

    def wanted_free(self, total: int) -> int:
        """Bytes that are to stay free on a file system of so many; 0: none."""
        return max(self.min_free_space, int(self.min_free_part * total))

    def rules_of(self, tenant: str) -> TenantRules:
        """The rules that hold for a tenant."""
        return self.tenants.get(tenant, self.common)


def _nobody_waits() -> Archived | None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The periods of the streams that a table had, int64[streams], ns by the rules; 0: for ever."""

    rules: TenantRules
    table: StreamTable
    periods: I64


class Retention:
    """The floors of all tenants' streams. Safe for use by any number of threads."""

    def __init__(self, options: RetentionOptions, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives the time of day in ns; an entry is out of sight by it."""
        self.options = options
        self.clock = clock
        self.archived: Callable[[], Archived | None] = _nobody_waits
        """What retention waits for, now."""
        self._known: dict[str, _Known] = {}

    def periods(self, tenant: str, table: StreamTable) -> I64 | None:
        """int64[streams of the table], ns, 0 where entries never expire; None if they do so nowhere."""
        rules = self.options.rules_of(tenant)
        if rules.keep_everything:
            return None
        count = len(table)
        known = self._known.get(tenant)
        if known is None or known.table is not table or known.rules is not rules:
            known = _Known(rules, table, np.zeros(0, np.int64))
        if len(known.periods) < count:
            more = rules.periods[rules_of_streams(rules, table, len(known.periods), count)]
            known = _Known(rules, table, np.concatenate([known.periods, more]))
            self._known[tenant] = known  # another thread may put the same; what is longer comes back with the next call
        return known.periods[:count]

    def floor(self, tenant: str, table: StreamTable, now: int | None = None) -> I64 | None:
        """int64[streams of the table], ns: entries of a stream older than that have expired; None if none ever does.

        Args:
            tenant: its name.
            table: its streams; take the view before, so that all of its streams are in it.
            now: ns; what the clock says if it is not given.
        """
        periods = self.periods(tenant, table)
        if periods is None:
            return None
        now = self.clock() if now is None else now
        return np.where(periods == 0, FOREVER, now - periods)

    def floor_within(self, tenant: str, table: StreamTable, start: int) -> I64 | None:
        """As floor; None too if nothing from `start` (ns) on has expired."""
        rules = self.options.rules_of(tenant)
        if rules.keep_everything:
            return None
        now = self.clock()
        if start >= now - int(rules.periods[rules.periods > 0].min()):
            return None
        return self.floor(tenant, table, now)


def rules_of_streams(rules: TenantRules, table: StreamTable, first: int, end: int) -> I16:
    """int16[end - first]: places in `rules.streams` of the rules that hold for streams first..end - 1, or TENANT."""
    chosen = np.full(end - first, TENANT, np.int16)
    if not rules.streams:
        return chosen
    if end - first <= max(_FEW, first // _SIXTEENTH):
        for number in range(first, end):
            labels = table[number]
            matching = (at for at, rule in enumerate(rules.streams) if accepts(rule.matchers, labels))
            chosen[number - first] = next(matching, TENANT)
        return chosen
    for at in range(len(rules.streams) - 1, -1, -1):
        found = table.select(rules.streams[at].matchers)
        chosen[found[(found >= first) & (found < end)] - first] = at
    return chosen


def accepts(matchers: Sequence[LabelMatcher], labels: Labels) -> bool:
    """Whether all matchers accept a label set, as StreamTable.select decides it."""
    values = dict(labels)
    for matcher in matchers:
        value, is_text = values.get(matcher.name, ""), matcher.op in ("=", "!=")
        hit = value == matcher.value if is_text else _anchored(matcher.value).match(value) is not None
        if hit != (matcher.op in ("=", "=~")):
            return False
    return True


@lru_cache(maxsize=256)
def _anchored(regex: str) -> Any:
    return re2.compile(f"^(?s:{regex})$")


def has_expired(block: Block, floor: I64 | None) -> bool:
    """Whether all entries of a block have expired."""
    return floor is not None and bool((block.stream_max < floor[block.streams]).all())


def expired_share(block: Block, floor: I64 | None) -> float:
    """Which part of a block's rows is of streams that have nothing else in it any more, 0 to 1. Raises CorruptBlock."""
    if floor is None:
        return 0.0
    gone = block.stream_max < floor[block.streams]
    if not gone.any():
        return 0.0
    said = read_footer(block.path).spans
    return float(said.rows[gone[said.stream]].sum() / max(1, block.rows))


def is_worth_rewriting(block: Block, floor: I64 | None) -> bool:
    """Whether a block should be written anew without what has expired. Raises CorruptBlock.

    Only where rules differ by stream: a block is of one day, so that with one period it goes within a day of its first
    expired entry, as a whole and for nothing. Streams of which a part has expired do not count for the same reason: the
    rest of them goes within the day, and the block would be written twice.
    """
    if floor is None:
        return False
    low = floor[block.streams]
    gone = block.stream_max < low
    if not gone.any() or gone.all():
        return False
    stays = ~gone & ((low == FOREVER) | (low <= block.stream_max - REWRITE_REST))
    return bool(stays.any()) and expired_share(block, floor) >= REWRITE_SHARE
