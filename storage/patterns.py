"""Where patterns of lines meet the store: who keeps them is told of rows, and what it says of a block is in its footer.

Storage knows nothing of what a pattern is: the value of a block's key is bytes that the keeper made and reads again.
What is damaged or missing is no patterns, never an error: they are a summary, and the rows are all there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.batch import I64, Batch
from storage.blockwrite import PATTERNS_KEY
from storage.kept import Kept
from storage.leases import Lease
from storage.streams import StreamTable

MOST_BYTES = 4 << 20
"""Bytes of a value that is read; the keeper writes far smaller ones."""

Ids: TypeAlias = NDArray[np.uint64]
"""Stable ids of streams."""


class Flushing(Protocol):
    """What a flush takes along of one tenant's patterns."""

    def of_day(self, day: int) -> bytes | None:
        """What goes into the block of a day (days since the epoch)."""

    def published(self) -> AbstractContextManager[None]:
        """Held while the blocks come into the view: what they have is no longer kept in memory after it."""


class PatternKeeper(Protocol):
    """Who keeps patterns. Called from several threads."""

    def stored(self, tenant: str, table: StreamTable, batch: Batch) -> None:
        """Rows are in the log and in memory. Called on the thread that commits: quick, and never raises."""

    def flushing(self, tenant: str, table: StreamTable) -> Flushing:
        """A tenant's memory goes to blocks."""

    def merged(self, kept: Sequence[bytes], streams: Ids, floor: I64 | None) -> bytes | None:
        """What goes into a block that takes the place of others.

        Args:
            kept: what those had.
            streams: uint64[k], ids of the streams that have rows in it.
            floor: int64[k], ns: older entries of each stream have expired; None: none has.
        """


@dataclass(frozen=True, slots=True, eq=False)
class BlockPatterns:
    """The blocks of a tenant that may say something of some streams in some time.

    Attributes:
        streams: uint64[k], ids of the streams asked for.
        floor: int64[k], ns: older entries of each have expired; None: none has.
        paths: the blocks.
        lease: keeps their files.
    """

    streams: Ids
    floor: I64 | None
    paths: tuple[Path, ...]
    lease: Lease

    def read(self) -> Iterator[bytes]:
        """What each block has, of those that have something."""
        for path in self.paths:
            found = _known.get(path)
            if found is None:
                try:
                    found = _value(path) or b""
                except OSError:  # too many open files, say: the next one may have more luck
                    continue
                _known.put(path, found, len(found) + 100)
            if found:
                yield found


_known: Kept[Path, bytes] = Kept(1024, 16 << 20)


def read_patterns(path: Path) -> bytes | None:
    """What a block's footer has of patterns; None if it has none or cannot be read."""
    try:
        return _value(path)
    except OSError:
        return None


def _value(path: Path) -> bytes | None:
    """As read_patterns. Raises OSError."""
    try:
        value: bytes | None = (pq.read_metadata(path).metadata or {}).get(PATTERNS_KEY)
    except pa.ArrowException:
        return None
    return value if value is not None and len(value) <= MOST_BYTES else None
