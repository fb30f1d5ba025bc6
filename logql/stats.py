"""What answering a query took. Counted from what was read, not estimated."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from storage.batch import Batch
from storage.rows import take_rows


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from one kind of place.

    Attributes:
        units: pieces read.
        lines: entries in them that the selector matched within the time range.
        line_bytes: bytes of their lines.
        metadata_bytes: bytes of the names and values of their structured metadata.
        compressed_bytes: bytes taken from disk.
    """

    units: int = 0
    lines: int = 0
    line_bytes: int = 0
    metadata_bytes: int = 0
    compressed_bytes: int = 0

    def __add__(self, other: Reading) -> Reading:
        return Reading(
            self.units + other.units,
            self.lines + other.lines,
            self.line_bytes + other.line_bytes,
            self.metadata_bytes + other.metadata_bytes,
            self.compressed_bytes + other.compressed_bytes,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Of one query.

    Attributes:
        memory: what was read from memory.
        blocks: what was read from files.
        post_filter_lines: lines that came through the pipeline; rows that could no longer be answered did not enter it.
        entries_returned: entries in the answer.
        exec_time: seconds.
    """

    memory: Reading = field(default_factory=Reading)
    blocks: Reading = field(default_factory=Reading)
    post_filter_lines: int = 0
    entries_returned: int = 0
    exec_time: float = 0.0

    @property
    def lines(self) -> int:
        """Lines processed."""
        return self.memory.lines + self.blocks.lines

    @property
    def metadata_bytes(self) -> int:
        """Bytes of structured metadata processed."""
        return self.memory.metadata_bytes + self.blocks.metadata_bytes

    @property
    def bytes(self) -> int:
        """Bytes processed: lines and structured metadata."""
        return self.memory.line_bytes + self.blocks.line_bytes + self.metadata_bytes


def line_bytes(batch: Batch) -> int:
    """Bytes of the lines that are wanted of a batch."""
    return batch.lines.nbytes if batch.selection is None else int(batch.lines.lengths[batch.selection].sum())


def metadata_bytes(batch: Batch) -> int:
    """Bytes of the names and values of the structured metadata of a batch's selection."""
    if batch.selection is not None and batch.rest is not None:
        batch = take_rows(batch, batch.selection)
    total = 0
    for name, column in batch.metadata.items():
        codes = column.codes if batch.selection is None else column.codes[batch.selection]
        codes = codes[codes >= 0]
        total += len(codes) * len(name.encode()) + int(column.values.lengths[codes].sum())
    if batch.rest is not None:
        widths = np.array([len(name.encode()) for name in batch.rest.names], np.int64)
        total += int(widths[batch.rest.keys].sum()) + batch.rest.values.nbytes
    return total
