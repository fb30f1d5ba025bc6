"""A block of compaction on its way to the disk: written as a flush writes, and then read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.batch import I64, Batch
from storage.blockwrite import BlockWriter, Identity, Layout, Written
from storage.compact.order import Buckets
from storage.compact.source import numbers_of, read_short_footer
from storage.errors import CorruptBlock
from storage.pages import BlockPages
from storage.streams import StreamTable


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of a row group: its rows, and the CRC32C of its times and of its lines."""

    rows: int
    ts: int
    lines: int


class CheckedWriter:
    """A BlockWriter that knows what it wrote."""

    def __init__(self, path: Path, buckets: Buckets, table: StreamTable, layout: Layout, level: int) -> None:
        """Begins the file at `path`, a temporary name; see BlockWriter. Raises OSError."""
        self._path = path
        self._sums: list[_Sums] = []
        self._writer = BlockWriter(path, buckets.streams, buckets.names, table, layout, level)

    @property
    def rows(self) -> int:
        """Entries so far."""
        return sum(one.rows for one in self._sums)

    def add(self, batch: Batch) -> None:
        """Writes a row group. Raises OSError."""
        self._writer.add(batch)
        self._writer.sync()
        self._sums.append(_sums(batch.ts, batch.lines.data[batch.lines.offsets[0] : batch.lines.offsets[-1]]))

    def finish(self, identity: Identity) -> Written:
        """Writes the footer and syncs. Raises OSError."""
        return self._writer.finish(identity)

    def verify(self, pause: Callable[[], None]) -> None:
        """Reads the finished file back, and sets what is in it against what was written.

        `pause` is called between row groups. Raises CorruptBlock.
        """
        with pq.ParquetFile(self._path, memory_map=False, page_checksum_verification=True) as reader:
            said = read_short_footer(reader.metadata.metadata, self._path)
            rows = int(numbers_of(said.spans["rows"]).sum())
            del said  # tens of MB where there are many streams
            if (rows, reader.metadata.num_row_groups) != (self.rows, len(self._sums)):
                raise CorruptBlock(f"block {self._path}: the footer has other rows than were written")
            pages = BlockPages(self._path, reader.metadata)
            others = [name for name in self._writer.schema.names if name == "stream" or name.startswith("meta")]
            for group, sums in enumerate(self._sums):
                places = np.arange(reader.metadata.row_group(group).num_rows)
                lines, _ = pages.lines(group, places)
                if _sums(pages.timestamps(group, places), lines.data[lines.offsets[0] :]) != sums:
                    raise CorruptBlock(f"block {self._path}: row group {group} does not hold what was written")
                self._decode(reader, group, others)
                pages.let_go()
                pause()

    def _decode(self, reader: pq.ParquetFile, group: int, columns: Sequence[str]) -> None:
        for column in columns:
            try:
                reader.read_row_group(group, columns=[column], use_threads=False)
            except (pa.ArrowInvalid, OSError) as error:
                raise CorruptBlock(f"block {self._path}: row group {group}, {column}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


def _sums(ts: I64, lines: np.ndarray) -> _Sums:
    return _Sums(len(ts), _crc(ts), _crc(lines))


def _crc(values: np.ndarray) -> int:
    found: int = google_crc32c.value(np.ascontiguousarray(values).view(np.uint8))
    return found
