"""The seam to storage: what the evaluator asks for data, and what it gets. No storage class is named here."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from storage.batch import I64, Batch
from storage.reading import EVERYTHING, Columns, Survey, Times, Totals


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
    """One readable piece of a scan: a row group of a block or a run of the memtable.

    The bounds are known before anything is read, so that a query may stop without reading. Times cost little, lines
    much: a query asks for times first, and for the lines of those entries alone that it cannot do without.
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
    def bytes_read(self) -> int:
        """Bytes taken from disk so far; 0 in memory."""

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        """Whether entries may have structured metadata of one of the names; None: any at all."""

    def totals(self) -> Totals | None:
        """What is known of the matching entries with start <= ts < end without reading any; None: not enough."""

    def times(self) -> Times:
        """The matching entries with start <= ts < end, duplicates dropped.

        Those of one stream and time stand as they came.
        """

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        """Entries that `times` gave, or some of them, in that order.

        They are the batch's selection, whose other rows mean nothing; without a selection they are all its rows.
        """

    def lengths(self, times: Times) -> I64:
        """int64[n], bytes of the lines of such entries."""

    def identity(self) -> Hashable | None:
        """What stands for the unit's entries, of any time: those of one selector never change. None: they may."""

    def whole(self) -> Unit:
        """The unit with its matching entries of any time. For one that has an identity."""


class Source(Protocol):
    """Anything that can be asked for entries."""

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[Unit]:
        """Units that may hold matching entries with start <= ts < end (ns).

        They come in the order in which a log query wants them: ascending min_ts for FORWARD, descending max_ts for
        BACKWARD. One entry comes from exactly one unit. Units may be read by several threads, each by one at a time.
        A query that is to be explained hands in a survey, to be told what the scan looked at besides.
        """
