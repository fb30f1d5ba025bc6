"""A block as compaction reads it: its spans, then times row group by row group, then lines of some rows.

Nothing of it goes to what the process keeps open for queries, and little stays in memory: no stream's labels, no file
mapped for longer than a row group is in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.batch import I32, I64, Batch, Column, Mask, Pairs
from storage.blockread import Block, column_of, pairs_of, says_of_the_file
from storage.blockwrite import HOUR, META
from storage.errors import CorruptBlock
from storage.footer import CRC_KEY, DATA_KEY, KEY, VERSION, unpacked
from storage.pages import BlockPages
from storage.reading import Times
from storage.rows import take_pairs
from storage.streams import StreamTable
from storage.tombstones import Tombstone, hidden


class UnreadableSource(CorruptBlock):
    """A block that was to be compacted cannot be read.

    Attributes:
        block: which.
    """

    def __init__(self, block: Block, error: Exception) -> None:
        text = str(error)
        super().__init__(text if block.path.name in text else f"block {block.path}: {text}", block.path)
        self.block = block


class ShortFooter(msgspec.Struct):
    """What a footer says, but for the streams, which the catalog has."""

    version: int
    spans: dict[str, msgspec.Raw]
    origins: list[tuple[str, int, int]]
    sources: list[str]
    columns: list[str]
    deletes: list[str] = []


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of sources, without their contents. All arrays have one length.

    Attributes:
        source: int32[n], number of the source.
        group: int32[n], row group there.
        row: int64[n], row of that group.
        bucket: int64[n], hour and stream, numbered in block order over all sources.
        ts: int64[n], ns.
        length: int64[n], bytes of the line.
        metadata: int64[n], bytes of the metadata, about.
    """

    source: I32
    group: I32
    row: I64
    bucket: I64
    ts: I64
    length: I64
    metadata: I64

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, places: I64 | Mask | slice) -> Rows:
        """The rows at some places."""
        return Rows(*(getattr(self, field.name)[places] for field in fields(self)))


_NONE_32: I32 = np.zeros(0, np.int32)
_NONE_64: I64 = np.zeros(0, np.int64)
NO_ROWS = Rows(_NONE_32, _NONE_32, _NONE_64, _NONE_64, _NONE_64, _NONE_64, _NONE_64)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """All rows of all parts."""
    if len(parts) == 1:
        return parts[0]
    return Rows(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)))


@dataclass(frozen=True, slots=True)
class Left:
    """What of a block is left out.

    Attributes:
        tombstones: that may hide entries of it.
        floor: int64[streams], ns: older entries have expired; None if none has.
    """

    tombstones: Sequence[Tombstone] = ()
    floor: I64 | None = None


def _fault(block: Block, error: Exception) -> Exception:
    """UnreadableSource if an error says something of a block; else the error itself."""
    return UnreadableSource(block, error) if says_of_the_file(error) else error


class Source:
    """One block that is read from its first row to its last.

    Attributes:
        block: it.
        columns: metadata keys with a column of their own, and whether as a dictionary.
        has_rest: whether there is other metadata.
        origins, sources, deletes: as in the footer.
        groups: row groups.
        hour: int64[k], hour of each span.
        stream: int32[k], its stream's number in the process' table.
        deleted, expired: rows left out so far.
    """

    def __init__(self, block: Block, number: int, table: StreamTable, left: Left) -> None:
        """`number`: of the source in a merge. Raises UnreadableSource, OSError."""
        self.block = block
        self.deleted = self.expired = 0
        self._number = number
        self._table = table
        self._left = left
        self._bucket: I64 = np.zeros(0, np.int64)
        self._metadata: dict[int, tuple[dict[str, Column], Pairs | None]] = {}
        try:
            self._open()
        except (CorruptBlock, pa.ArrowInvalid, OSError, msgspec.DecodeError, KeyError, ValueError) as error:
            raise _fault(block, error) from error

    def _open(self) -> None:
        block = self.block
        self._reader = pq.ParquetFile(block.path, memory_map=False, page_checksum_verification=True)
        said = read_short_footer(self._reader.metadata.metadata or {}, block.path)
        self.origins, self.sources, self.deletes = said.origins, said.sources, said.deletes
        spans = {
            name: numbers_of(said.spans[name])
            for name in ("group", "stream", "row", "rows", "min_ts", "metadata_bytes")
        }
        self._group, self._rows = spans["group"], spans["rows"]
        self._first_row = spans["row"]
        self.hour = spans["min_ts"] // HOUR
        local = spans["stream"]
        if (
            not len(local)
            or int(local.max()) >= len(block.streams)
            or len(np.unique([len(a) for a in spans.values()])) > 1
        ):
            raise CorruptBlock(f"block {block.path}: its spans and the catalog do not agree")
        self.stream: I32 = block.streams[local]
        self._metadata_bytes = spans["metadata_bytes"] // np.maximum(self._rows, 1)
        self.groups = int(self._group[-1]) + 1
        schema = self._reader.schema_arrow
        self.columns = {key: pa.types.is_dictionary(schema.field(META + key).type) for key in said.columns}
        self.has_rest = "meta" in schema.names
        self._pages = BlockPages(block.path, self._reader.metadata)

    def number_buckets(self, bucket: I64) -> None:
        """Takes the bucket of each span: int64[k]."""
        self._bucket = bucket

    @property
    def heaviest(self) -> int:
        """Bytes of metadata of the row group that has most."""
        return int(np.bincount(self._group, self._metadata_bytes * self._rows).max())

    def rows(self, group: int) -> Rows:
        """The rows of a row group that are not left out, in block order. Raises UnreadableSource."""
        try:
            return self._rows_of(group)
        except (CorruptBlock, OSError) as error:
            raise _fault(self.block, error) from error

    def _rows_of(self, group: int) -> Rows:
        first, last = np.searchsorted(self._group, [group, group + 1]).tolist()
        counts = self._rows[first:last]
        n = int(counts.sum())
        if n != self._reader.metadata.row_group(group).num_rows:
            raise CorruptBlock(f"block {self.block.path}: row group {group} has not the rows that its spans say")
        row = np.arange(n, dtype=np.int64)
        found = Rows(
            source=np.full(n, self._number, np.int32),
            group=np.full(n, group, np.int32),
            row=row,
            bucket=np.repeat(self._bucket[first:last], counts),
            ts=self._pages.timestamps(group, row),
            length=self._pages.lengths(group, row),
            metadata=np.repeat(self._metadata_bytes[first:last], counts),
        )
        same = found.bucket[1:] == found.bucket[:-1]
        if not bool(((found.bucket[1:] > found.bucket[:-1]) | (same & (found.ts[1:] >= found.ts[:-1]))).all()):
            raise CorruptBlock(f"block {self.block.path}: rows of row group {group} are out of order")
        keep = self._kept(group, np.repeat(self.stream[first:last], counts), found)
        return found if keep is None else found.take(keep)

    def _kept(self, group: int, stream: I32, rows: Rows) -> Mask | None:
        """bool[n]: rows that are not left out; None: all."""
        keep: Mask | None = None
        if self._left.floor is not None:
            expired = rows.ts < self._left.floor[stream]
            self.expired += int(np.count_nonzero(expired))
            keep = ~expired
        if self._left.tombstones:
            times = Times(self._table, rows.row, stream, rows.ts)
            deleted = hidden(times, self.block, group, self._left.tombstones, self._table)
            deleted = deleted if keep is None else deleted & keep
            self.deleted += int(np.count_nonzero(deleted))
            keep = ~deleted if keep is None else keep & ~deleted
        return keep

    def read(self, group: int, rows: I64, bucket: I64, ts: I64) -> Batch:
        """Entries of a row group.

        Args:
            group: row group.
            rows: int64[n], ascending.
            bucket: int64[n], theirs: what the batch has as `stream`.
            ts: int64[n], theirs.

        Raises:
            UnreadableSource: they cannot be read.
        """
        try:
            lines, places = self._pages.lines(group, rows)
            metadata, rest = self._metadata_of(group)
        except (CorruptBlock, pa.ArrowInvalid, OSError) as error:
            raise _fault(self.block, error) from error
        whole = len(rows) == self._reader.metadata.row_group(group).num_rows
        return Batch(
            (),
            bucket.astype(np.int32),
            ts,
            lines if places is None else lines.take(places),
            metadata if whole else {key: column.take(rows) for key, column in metadata.items()},
            rest if whole or rest is None else take_pairs(rest, rows),
        )

    def _metadata_of(self, group: int) -> tuple[dict[str, Column], Pairs | None]:
        if not self.columns and not self.has_rest:
            return {}, None
        found = self._metadata.get(group)
        if found is None:
            self._metadata.clear()  # before the next is decoded: one is much where there are many keys
            columns = {key: column_of(self._column(group, META + key)) for key in self.columns}
            rest = pairs_of(self._column(group, "meta")) if self.has_rest else None
            found = {key: column for key, column in columns.items() if column is not None}, rest
            self._metadata[group] = found
        return found

    def _column(self, group: int, name: str) -> pa.Array:
        column = self._reader.read_row_group(group, columns=[name], use_threads=False).column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def counts(self, group: int) -> dict[str, int]:
        """Metadata key -> rows of a row group that have it. Raises UnreadableSource."""
        try:
            metadata, rest = self._metadata_of(group)
        except (pa.ArrowInvalid, OSError) as error:
            raise _fault(self.block, error) from error
        found = {key: int(np.count_nonzero(column.codes >= 0)) for key, column in metadata.items()}
        if rest is not None:
            used = np.bincount(rest.keys, minlength=len(rest.names)).tolist()
            for key, count in zip(rest.names, used, strict=True):
                found[key] = found.get(key, 0) + count
        return found

    def let_go(self) -> None:
        """Gives back what was read of the file."""
        self._pages.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()


def numbers_of(text: msgspec.Raw) -> I64:
    """int64[k]: one of the arrays of a footer's spans."""
    return np.array(msgspec.json.decode(text, type=list[int]), np.int64)


def read_short_footer(metadata: dict[bytes, bytes], path: Path) -> ShortFooter:
    """The footer's key `weir`, checked, without the streams. Raises CorruptBlock, msgspec.DecodeError."""
    body = metadata.get(KEY, b"")
    if b"%08x" % google_crc32c.value(body + metadata.get(DATA_KEY, b"")) != metadata.get(CRC_KEY):
        raise CorruptBlock(f"block {path}: the checksum of the footer's keys `weir` and `weir.data` is wrong")
    said: ShortFooter = msgspec.json.decode(unpacked(body), type=ShortFooter)
    if said.version != VERSION:
        raise CorruptBlock(f"block {path}: format version {said.version} is not known to this version of Weir")
    return said
