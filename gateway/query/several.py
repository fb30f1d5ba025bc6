"""Reading several tenants as one: each stream of theirs shows whose it is in a label `__tenant_id__`.

As Loki answers `X-Scope-OrgID: a|b`: matchers on the label choose among the tenants named, a label of
that name that a stream has itself is shown as `original___tenant_id__`. Nothing is copied: units and label sets of each
tenant get another face.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

from starlette.requests import Request

from gateway.auth import tenants_of
from gateway.state import Gateway, ReadStore
from logql import Direction, Matcher, Unit
from logql.stages.label_match import LabelMatch
from storage import Grouping, IndexStats, Shard, Volume
from storage.batch import I64, Batch, Labels
from storage.reading import EVERYTHING, Columns, Survey, Times, Totals
from storage.shards import LAST_ID
from storage.volumes import merged

TENANT_LABEL = "__tenant_id__"
ORIGINAL = f"original_{TENANT_LABEL}"
"""What a stream's own label of that name is shown as."""


def named(labels: Labels, tenant: str) -> Labels:
    """A tenant's label set as it is shown beside those of others."""
    kept = [(ORIGINAL if name == TENANT_LABEL else name, value) for name, value in labels]
    return tuple(sorted([*kept, (TENANT_LABEL, tenant)]))


def reader_of(request: Request) -> tuple[ReadStore, str]:
    """What a request may read, and the tenant to name to it: `a|b` where it asks for several.

    Raises:
        NoTenant, BadTenant: as of tenants_of.
        NotReady: the store is not open.
    """
    gateway: Gateway = request.app.state.gateway
    tenants = tenants_of(request)
    if len(tenants) == 1:
        return gateway.store, tenants[0]
    return SeveralTenants(gateway.store, tenants), "|".join(tenants)


class _Named(Sequence[Labels]):
    """A tenant's stream table, its label sets as they are shown beside those of others."""

    def __init__(self, streams: Sequence[Labels], tenant: str) -> None:
        self._streams = streams
        self._tenant = tenant

    def __len__(self) -> int:
        return len(self._streams)

    @overload
    def __getitem__(self, at: int) -> Labels: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Labels]: ...
    def __getitem__(self, at: int | slice) -> Labels | Sequence[Labels]:
        if isinstance(at, slice):
            return [named(labels, self._tenant) for labels in self._streams[at]]
        return named(self._streams[at], self._tenant)


class _Tables:
    """One `_Named` for each stream table that a scan meets: readers tell tables apart by identity."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._known: list[tuple[Sequence[Labels], _Named]] = []

    def of(self, streams: Sequence[Labels]) -> _Named:
        """The table's other face; a batch of a block has that of the times it was read by already."""
        if isinstance(streams, _Named):
            return streams
        for known, face in self._known:
            if known is streams:
                return face
        made = _Named(streams, self._tenant)
        self._known.append((streams, made))
        return made


@dataclass(frozen=True, slots=True, eq=False)
class _TenantUnit:
    """A unit of one tenant; see logql.source.Unit."""

    unit: Unit
    tenant: str
    tables: _Tables

    @property
    def min_ts(self) -> int:
        return self.unit.min_ts

    @property
    def max_ts(self) -> int:
        return self.unit.max_ts

    @property
    def arrival(self) -> int:
        return self.unit.arrival

    @property
    def in_memory(self) -> bool:
        return self.unit.in_memory

    @property
    def bytes_read(self) -> int:
        return self.unit.bytes_read

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        return self.unit.has_metadata(names)

    def totals(self) -> Totals | None:
        found = self.unit.totals()
        return None if found is None else replace(found, streams=self.tables.of(found.streams))

    def times(self) -> Times:
        found = self.unit.times()
        return replace(found, streams=self.tables.of(found.streams))

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        found = self.unit.read(times, columns)
        return replace(found, streams=self.tables.of(found.streams))

    def lengths(self, times: Times) -> I64:
        return self.unit.lengths(times)

    def identity(self) -> Hashable | None:
        own = self.unit.identity()
        return None if own is None else (TENANT_LABEL, self.tenant, own)

    def whole(self) -> Unit:
        return _TenantUnit(self.unit.whole(), self.tenant, self.tables)


@dataclass(frozen=True, slots=True)
class SeveralTenants:
    """What a store has of some tenants, as if it were one tenant's.

    The `tenant` that is handed to its functions is of no meaning: it is `tenants`.

    Attributes:
        store: of all tenants.
        tenants: sorted.
    """

    store: ReadStore
    tenants: tuple[str, ...]

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
        del tenant

        def units_of(one: str, own: Sequence[Matcher]) -> Iterator[Unit]:
            tables = _Tables(one)
            for unit in self.store.scan(one, own, start, end, direction, survey):
                yield _TenantUnit(unit, one, tables)

        scans = [units_of(one, own) for one, own in self._chosen(matchers)]
        if direction is Direction.FORWARD:
            yield from heapq.merge(*scans, key=lambda unit: unit.min_ts)
        else:
            yield from heapq.merge(*scans, key=lambda unit: -unit.max_ts)

    def label_names(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        """As of a store; TENANT_LABEL is one of them."""
        del tenant
        found = {
            ORIGINAL if name == TENANT_LABEL else name
            for one, own in self._chosen(matchers)
            for name in self.store.label_names(one, own, start, end)
        }
        return sorted(found | {TENANT_LABEL}) if found else []

    def label_values(self, tenant: str, name: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        """As of a store; those of TENANT_LABEL are the tenants that have matching streams."""
        del tenant
        if name == TENANT_LABEL:
            return [one for one, own in self._chosen(matchers) if self.store.label_names(one, own, start, end)]
        own_name = TENANT_LABEL if name == ORIGINAL else name
        parts = [self.store.label_values(one, own_name, own, start, end) for one, own in self._chosen(matchers)]
        return sorted(set().union(*parts))

    def series(self, tenant: str, groups: Sequence[Sequence[Matcher]], start: int, end: int) -> list[Labels]:
        """As of a store."""
        del tenant
        found = []
        for one in self.tenants:
            own = [kept for group in groups if (kept := own_matchers(group, one)) is not None]
            if own or not groups:
                found += [named(labels, one) for labels in self.store.series(one, own, start, end)]
        return found

    def index_stats(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> IndexStats:
        """As of a store, of all tenants together."""
        del tenant
        parts = [self.store.index_stats(one, own, start, end) for one, own in self._chosen(matchers)]
        return IndexStats(
            sum(part.streams for part in parts),
            sum(part.chunks for part in parts),
            sum(part.bytes for part in parts),
            sum(part.entries for part in parts),
        )

    def volumes(
        self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, step: int, grouping: Grouping
    ) -> list[Volume]:
        """As of a store, what has the same labels added up: as Loki, which does not say whose bytes they are."""
        del tenant
        parts = [self.store.volumes(one, own, start, end, step, grouping) for one, own in self._chosen(matchers)]
        return merged(parts, grouping.limit)

    def shards(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, target: int) -> list[Shard]:
        """One shard: ids of several tenants have no common order of bytes."""
        del tenant, target
        stats = self.index_stats("", matchers, start, end + 1)
        return [Shard(0, LAST_ID, stats)]

    def missing(self, tenant: str, start: int, end: int) -> tuple[str, ...]:
        """As of a store."""
        del tenant
        return tuple(text for one in self.tenants for text in self.store.missing(one, start, end))

    def _chosen(self, matchers: Sequence[Matcher]) -> list[tuple[str, Sequence[Matcher]]]:
        """The tenants that the matchers let through, each with what its own streams have to match."""
        return [(one, own) for one in self.tenants if (own := own_matchers(matchers, one)) is not None]


def own_matchers(matchers: Sequence[Matcher], tenant: str) -> Sequence[Matcher] | None:
    """What a tenant's own streams have to match; None: the matchers do not want the tenant."""
    own = []
    for matcher in matchers:
        if matcher.name != TENANT_LABEL:
            own.append(replace(matcher, name=TENANT_LABEL) if matcher.name == ORIGINAL else matcher)
        elif not LabelMatch.of(matcher).accepts(tenant):
            return None
    return own
