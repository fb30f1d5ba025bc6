"""Rows as they are committed, told to one watcher; and what a tenant had at a moment between two commits.

Invariant: a snapshot has the rows of every commit up to its number and of none after it. So who watches first and takes
a snapshot then sees each row once: in the snapshot, or in a commit with a greater number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from storage.batch import Batch
from storage.reading import Survey
from storage.streams import LabelMatcher

if TYPE_CHECKING:
    from storage.scan import BlockUnit, MemoryUnit

Units: TypeAlias = "Callable[[Sequence[LabelMatcher], int, int, str, Survey | None], Iterator[MemoryUnit | BlockUnit]]"
"""Units of some rows by matchers, start, end (ns) and direction; see Store.scan."""


@dataclass(frozen=True, slots=True, eq=False)
class Commit:
    """What one commit group brought a tenant, duplicates in memory left out.

    Attributes:
        tenant: whose.
        number: ascending over all tenants.
        batches: the rows as they came, on the tenant's own stream table; at least one.
    """

    tenant: str
    number: int
    batches: tuple[Batch, ...]


Watcher = Callable[[Commit], None]
"""Told of a commit on the thread that writes, once queries see its rows. It must be quick and must not raise."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A tenant's rows at a moment: a logql.source.Source, whatever is committed or flushed later.

    Attributes:
        number: of the last commit that is in it.
        units: of its rows.
    """

    number: int
    units: Units

    def scan(
        self,
        tenant: str,
        matchers: Sequence[LabelMatcher],
        start: int,
        end: int,
        direction: str,
        survey: Survey | None = None,
    ) -> Iterator[MemoryUnit | BlockUnit]:
        """As Store.scan. The snapshot has one tenant, whatever `tenant` says."""
        del tenant
        return self.units(matchers, start, end, direction, survey)
