"""The seam to storage: what the evaluator asks for data, and what it gets. No storage class is named here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from storage.batch import Batch


class MatchOp(StrEnum):
    """The four operators of a stream matcher. Storage reads them as plain strings."""

    EQ = "="
    NE = "!="
    RE = "=~"
    NRE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name op value` on stream labels. Regexes are RE2 and anchored at both ends; a missing label is ""."""

    name: str
    op: MatchOp
    value: str


class Direction(StrEnum):
    """Order of a log query's answer."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Unit(Protocol):
    """One readable piece of a scan: a row group of a block or a chunk of the memtable.

    The bounds are known before anything is read, so that a query may stop without reading.
    """

    @property
    def min_ts(self) -> int:
        """No entry is older, ns."""

    @property
    def max_ts(self) -> int:
        """No entry is newer, ns."""

    @property
    def arrival(self) -> int:
        """Place of the unit in order of arrival.

        Of one stream's entries with equal ts in two units, those of the unit with the smaller number came first.
        """

    @property
    def in_memory(self) -> bool:
        """Whether reading touches no file."""

    @property
    def compressed_bytes(self) -> int:
        """Bytes that reading takes from disk; 0 in memory."""

    def read(self) -> Batch:
        """The matching entries with start <= ts < end, duplicates dropped, sorted by (ts, stream id, arrival)."""


class Source(Protocol):
    """Anything that can be asked for entries."""

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
    ) -> Iterator[Unit]:
        """Units that may hold matching entries with start <= ts < end (ns).

        They come in the order in which a log query wants them: ascending min_ts for FORWARD, descending max_ts for
        BACKWARD. One entry comes from exactly one unit.
        """
