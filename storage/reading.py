"""What a scan is asked for, and what it knows of entries before it reads a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.batch import I32, I64, Labels


@dataclass(frozen=True, slots=True)
class Columns:
    """What is wanted of entries besides stream and time.

    Attributes:
        lines: whether their lines are.
        metadata: names of the structured metadata that is; None: all of it. More may come.
    """

    lines: bool = True
    metadata: frozenset[str] | None = None


EVERYTHING = Columns()


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """n entries without their contents.

    Attributes:
        streams: what `stream` indexes.
        rows: int64[n], ascending, where they stand in what they are read from.
        stream: int32[n].
        ts: int64[n], ns.
    """

    streams: Sequence[Labels]
    rows: I64
    stream: I32
    ts: I64

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, places: I64) -> Times:
        """The entries at `places` (ascending)."""
        return Times(self.streams, self.rows[places], self.stream[places], self.ts[places])


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """How many entries there are, by streams and stretches of time.

    Attributes:
        streams: what `stream` indexes.
        stream: int32[k].
        entries: int64[k].
        line_bytes: int64[k], bytes of their lines.
        min_ts, max_ts: int64[k], ns.
    """

    streams: Sequence[Labels]
    stream: I32
    entries: I64
    line_bytes: I64
    min_ts: I64
    max_ts: I64


@dataclass(slots=True)
class Survey:
    """What a scan looked at before anything was read, and why it left things out. The scan adds to it.

    Attributes:
        streams: of the tenant.
        streams_matching: those that the matchers accept.
        blocks: files of the tenant.
        blocks_out_of_time: left out, as they have nothing of the time asked for.
        blocks_without_streams: left out, as no matching stream has anything of that time in them.
        groups: row groups of the other blocks.
        groups_without_rows: left out, as they have no entries of matching streams and the time.
        runs: parts of memory.
        runs_out_of_time: left out, as they have nothing of the time.
    """

    streams: int = 0
    streams_matching: int = 0
    blocks: int = 0
    blocks_out_of_time: int = 0
    blocks_without_streams: int = 0
    groups: int = 0
    groups_without_rows: int = 0
    runs: int = 0
    runs_out_of_time: int = 0
