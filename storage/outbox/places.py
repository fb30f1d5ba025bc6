"""Places in the log of WAL records, and what is handed out from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from storage.batch import Batch


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A point between two rows of the log.

    Attributes:
        seq: number of a WAL record of this data directory.
        row: rows of that record before it, over its sections in their order.
    """

    seq: int
    row: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one tenant, in order of arrival, on the tenant's stream table."""

    tenant: str
    batch: Batch


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The rows between two places.

    Attributes:
        first: what was asked for.
        end: where the next read goes on; `first` itself if there is nothing behind it yet.
        parts: one a tenant, in order of their first rows. They may have fewer rows than the records between the places
            say: what is damaged is passed over.
    """

    first: Place
    end: Place
    parts: tuple[Part, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(len(part.batch) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is behind a place.

    Attributes:
        rows: of the log.
        bytes: of their lines.
        disk_bytes: of archive and log that are kept for it.
        oldest: ns when the oldest of the rows came in; 0: there are none.
    """

    rows: int = 0
    bytes: int = 0
    disk_bytes: int = 0
    oldest: int = 0


Slice: TypeAlias = tuple[int, int]
"""First row and end of a stretch of a record's rows."""
