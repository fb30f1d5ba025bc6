"""Writing a block: the rows of one tenant and day, in (hour, stream, ts, arrival) order, as one Parquet file.

Row groups are gathered and written one at a time; the memtable is never copied as a whole.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.batch import I32, I64, MAX_COLUMNS, Batch, Column, Pairs
from storage.footer import Footer, OriginRange, Spans, encode_footer
from storage.gather import Gatherer
from storage.gather_pairs import PairGatherer
from storage.kernels.order import merge_stretches, stretches
from storage.kernels.pairs import add_sizes
from storage.rows import take_rows
from storage.segment import write_all
from storage.streams import DAY, StreamTable
from storage.words import KeySaid, encode, join, tally

HOUR = 3_600_000_000_000
META = "meta."
"""Prefix of a metadata key's column; the map column of the rarer keys is `meta`."""

PATTERNS_KEY = b"weir.patterns"
"""Key of the Parquet footer for what is said of patterns of lines (storage.patterns)."""
PatternsOf: TypeAlias = "Callable[[NDArray[np.uint64]], bytes | None]"
"""What a block's footer says of patterns, by the ids of its streams."""

GROUP_METADATA = 8 << 20
"""Bytes of metadata of a row group at most, but for a single row: who reads any of it decodes it as a whole."""
PAGE_BYTES = 512 << 10
"""Bytes of a page before compression, so that a reader who wants few rows of a row group unpacks few pages. Pages of
256 KiB make a file 1.4 % larger and cost a tenth more CPU, these 0.6 % and none against Arrow's 1 MiB."""
PAGE_STEP = 256
"""Rows after which Arrow looks whether a page is full; 1,024, its default, are 300 KB of common lines."""


SINK_BYTES = 1 << 20
"""Bytes of a file collected before they are written: Arrow writes each page's header and each page by itself, and each
write of its is a call of Python."""


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """How blocks are written.

    Attributes:
        row_group_rows: rows of a row group at most.
        row_group_size: line bytes of a row group at most, but for a single row.
        compression_level: zstd's.
    """

    row_group_rows: int = 32_768
    row_group_size: int = 8 << 20
    compression_level: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class DayRows:
    """The rows of one day among the runs that are flushed.

    Attributes:
        day: days since the epoch.
        order: int64[n], positions in the concatenation of all parts, in block order.
        streams: int32[k], the stream numbers used, in canonical text order.
        names: their texts.
        stream: int32[n], index into `streams`, in block order.
        ts: int64[n], in block order.
        lengths: int64[n], line bytes, in block order.
    """

    day: int
    order: I64
    streams: I32
    names: Sequence[str]
    stream: I32
    ts: I64
    lengths: I64


@dataclass(frozen=True, slots=True)
class Written:
    """A block as written.

    Attributes:
        footer: what it holds.
        size: bytes of the file.
        crc: CRC32C of the whole file.
    """

    footer: Footer
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How the metadata of a block's rows is laid out.

    Attributes:
        columns: keys that have a column of their own, sorted.
        dictionaries: of each, whether as a dictionary.
        has_rest: whether there are other keys, which share one.
    """

    columns: tuple[str, ...]
    dictionaries: Mapping[str, bool]
    has_rest: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """What a block's footer says besides its rows; see storage.footer.Footer and, for `patterns`, storage.patterns."""

    tenant: str
    day: int
    generation: int
    origins: tuple[OriginRange, ...]
    sources: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    patterns: PatternsOf | None = None


Sync: TypeAlias = Callable[[int], None]
"""What is done with a complete file, given its descriptor, for it to be durable. Raises OSError."""


def sync_now(fd: int) -> None:
    """Makes a file durable at once. Raises OSError."""
    os.fsync(fd)


class _Sink(io.RawIOBase):
    """A file that keeps the CRC32C of what was written to it.

    Once it is closed it takes no more and says nothing: what Arrow had collected when a write failed goes nowhere.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self.size = 0
        self.crc = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.closed:
            return len(data)
        view = bytes(data)
        write_all(self._fd, view)
        self.size += len(view)
        self.crc = google_crc32c.extend(self.crc, view)
        return len(view)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


def split_days(parts: Sequence[Batch], table: StreamTable) -> list[DayRows]:
    """All rows of all parts by day, each day in block order."""
    stream = np.concatenate([part.stream for part in parts])
    ts = np.concatenate([part.ts for part in parts])
    lengths = np.concatenate([part.lines.lengths for part in parts])
    numbers = np.flatnonzero(np.bincount(stream)).astype(np.int32)
    texts = table.texts(numbers)
    by_text = sorted(range(len(numbers)), key=texts.__getitem__)
    names = [texts[at] for at in by_text]
    by_name = numbers[by_text]
    rank = np.zeros(int(numbers[-1]) + 1, np.int32)
    rank[by_name] = np.arange(len(numbers), dtype=np.int32)
    heads = _heads(stream, ts)
    hours, ranks = ts[heads] // HOUR, rank[stream[heads]]
    arranged = np.lexsort((ranks, hours))
    hours, ranks = hours[arranged], ranks[arranged]
    counts = np.diff(heads, append=len(ts))[arranged]
    buckets = np.flatnonzero(np.concatenate(([True], (hours[1:] != hours[:-1]) | (ranks[1:] != ranks[:-1]), [True])))
    order = np.empty(len(ts), np.int64)
    spare, ends = np.empty(len(ts), np.int64), np.empty(len(heads) + 1, np.int64)
    merge_stretches(ts, heads[arranged], counts, buckets, order, spare, ends)
    days = hours // (DAY // HOUR)
    cuts = [0, *(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(days)]
    ends = np.concatenate(([0], np.cumsum(counts)))
    result = []
    for first, last in pairwise(cuts):
        rows = order[ends[first] : ends[last]]
        used, local = np.unique(ranks[first:last], return_inverse=True)
        result.append(
            DayRows(
                day=int(days[first]),
                order=rows,
                streams=by_name[used],
                names=[names[number] for number in used.tolist()],
                stream=np.repeat(local.astype(np.int32), counts[first:last]),
                ts=ts[rows],
                lengths=lengths[rows],
            )
        )
    return result


def _heads(stream: I32, ts: I64) -> I64:
    """The first rows of the stretches of one stream and hour in which ts does not descend."""
    heads = np.empty(len(ts), np.int64)
    return heads[: stretches(stream, ts, HOUR, heads)].copy()


class BlockWriter:
    """A block on its way to the disk, row group by row group."""

    def __init__(
        self,
        path: Path,
        streams: NDArray[np.integer],
        names: Sequence[str],
        table: StreamTable,
        layout: Layout,
        compression_level: int,
        sync: Sync = sync_now,
    ) -> None:
        """Begins the file at `path`, a temporary name.

        Args:
            path: the file.
            streams: [k], numbers of streams in canonical text order; what `stream` of batches indexes.
            names: their texts.
            table: the tenant's.
            layout: of the metadata.
            compression_level: zstd's.
            sync: what is done with the complete file.

        Raises:
            OSError: it cannot be written.
        """
        self._sync = sync
        self._streams = streams
        self._names = names
        self._stream_table = table
        self._layout = layout
        self._spans: list[Spans] = []
        self._said: list[tuple[int, list[KeySaid]]] = []
        self._span_count = 0
        self.schema = _schema(layout)
        self._sink = _Sink(path)
        self._collected = pa.BufferedOutputStream(pa.PythonFile(self._sink, mode="w"), SINK_BYTES)
        self._writer = pq.ParquetWriter(
            self._collected,
            self.schema,
            compression="zstd",
            compression_level=compression_level,
            use_dictionary=["stream", *(META + key for key in layout.columns if layout.dictionaries[key])],
            column_encoding={"ts": "DELTA_BINARY_PACKED", "line": "DELTA_LENGTH_BYTE_ARRAY"},
            write_statistics=["stream", "ts"],
            write_page_checksum=True,
            data_page_size=PAGE_BYTES,
            write_batch_size=PAGE_STEP,
        )

    def add(self, batch: Batch) -> None:
        """Writes a row group. Raises OSError."""
        self._writer.write_table(_table(batch, self._names, self._layout, self.schema), row_group_size=len(batch))
        spans = _spans(len(self._spans), batch)
        self._said.append((self._span_count, tally(batch, spans.row)))
        self._spans.append(spans)
        self._span_count += len(spans)

    def sync(self) -> None:
        """Makes durable what is complete so far: no sync of the log waits for much then. Raises OSError."""
        self._collected.flush()
        sync_now(self._sink.fileno())

    def finish(self, identity: Identity) -> Written:
        """Writes the footer, of the streams that rows came of, and syncs as it was told to. Raises OSError."""
        self._collected.flush()  # so that the sink knows all that precedes the footer
        spans = _join_spans(self._spans)
        used, local = np.unique(spans.stream, return_inverse=True)
        streams = self._streams[used]
        footer = Footer(
            tenant=identity.tenant,
            day=identity.day,
            generation=identity.generation,
            streams=tuple(self._stream_table.label_sets(streams)),
            stream_ids=tuple(self._stream_table.ids[streams].tolist()),
            spans=replace(spans, stream=local.astype(np.int32)),
            origins=identity.origins,
            sources=identity.sources,
            columns=self._layout.columns,
            deletes=identity.deletes,
            metadata=encode(join(self._said)),
        )
        said = encode_footer(footer, self._sink.size, self._sink.crc)
        if identity.patterns is not None:
            patterns = identity.patterns(self._stream_table.ids[streams])
            if patterns is not None:
                said[PATTERNS_KEY] = patterns
        self._writer.add_key_value_metadata(said)
        self._writer.close()
        self._collected.flush()
        self._sync(self._sink.fileno())
        return Written(footer, self._sink.size, self._sink.crc)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        finally:
            self._sink.close()


def write_block(
    path: Path,
    parts: Sequence[Batch],
    rows: DayRows,
    table: StreamTable,
    *,
    tenant: str,
    generation: int,
    origins: Sequence[OriginRange],
    options: BlockOptions,
    sources: Sequence[str] = (),
    deletes: Sequence[str] = (),
    patterns: PatternsOf | None = None,
    sync: Sync = sync_now,
) -> Written:
    """Writes the block to `path` (a temporary name), durably unless `sync` leaves that for later. Raises OSError."""
    columns, has_rest = _choose_columns(parts)
    dictionaries = {key: _is_dictionary(key, parts) for key in columns}
    layout = Layout(tuple(columns), dictionaries, has_rest)
    in_columns = not has_rest and all(part.rest is None for part in parts)
    gatherer = Gatherer(parts, dictionaries if in_columns else {})
    pairs = None if in_columns else PairGatherer(parts, columns)
    with BlockWriter(path, rows.streams, rows.names, table, layout, options.compression_level, sync) as writer:
        for start, stop in _row_groups(rows.lengths, options):
            here = slice(start, stop)
            batch = gatherer.take(rows.order[here], rows.stream[here], rows.ts[here], rows.lengths[here])
            if pairs is not None:
                metadata, rest = pairs.take(rows.order[here])
                batch = replace(batch, metadata=metadata, rest=rest)
            for part in within_metadata(batch):
                writer.add(part)
        return writer.finish(
            Identity(tenant, rows.day, generation, tuple(origins), tuple(sources), tuple(deletes), patterns)
        )


def within_metadata(batch: Batch) -> Iterator[Batch]:
    """The batch, cut where its metadata is too much for one row group."""
    ends = np.cumsum(metadata_sizes(batch))
    if ends[-1] <= GROUP_METADATA:
        yield batch
        return
    start = 0
    while start < len(ends):
        base = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + GROUP_METADATA, side="right")))
        yield take_rows(batch, np.arange(start, stop))
        start = stop


def _choose_columns(parts: Sequence[Batch]) -> tuple[list[str], bool]:
    """The metadata keys that get a column, most frequent first kept, and whether others are left."""
    counts: dict[str, int] = {}
    for part in parts:
        for key, column in part.metadata.items():
            counts[key] = counts.get(key, 0) + int(np.count_nonzero(column.codes >= 0))
        if part.rest is not None:
            used = np.bincount(part.rest.keys, minlength=len(part.rest.names))
            for key, count in zip(part.rest.names, used.tolist(), strict=True):
                counts[key] = counts.get(key, 0) + count
    ranked = sorted((key for key in counts if counts[key]), key=lambda key: (-counts[key], key))
    return sorted(ranked[:MAX_COLUMNS]), len(ranked) > MAX_COLUMNS


def _is_dictionary(key: str, parts: Sequence[Batch]) -> bool:
    """Whether the key's values repeat enough for a dictionary page."""
    columns = [part.metadata[key] for part in parts if key in part.metadata]
    return 2 * sum(len(column.values) for column in columns) <= sum(len(column.codes) for column in columns)


def _schema(layout: Layout) -> pa.Schema:
    fields = [
        pa.field("stream", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("ts", pa.timestamp("ns"), nullable=False),
        pa.field("line", pa.large_binary(), nullable=False),
    ]
    for key in layout.columns:
        kind = pa.dictionary(pa.int32(), pa.large_string()) if layout.dictionaries[key] else pa.large_string()
        fields.append(pa.field(META + key, kind))
    if layout.has_rest:
        fields.append(pa.field("meta", pa.map_(pa.string(), pa.large_string())))
    return pa.schema(fields)


def _row_groups(lengths: I64, options: BlockOptions) -> Iterator[tuple[int, int]]:
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        base = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, base + options.row_group_size, side="right"))
        stop = max(start + 1, min(stop, start + options.row_group_rows))
        yield start, stop
        start = stop


def _table(batch: Batch, names: Sequence[str], layout: Layout, schema: pa.Schema) -> pa.Table:
    """The row group; a row's `stream` is its place in `names`, and it has no metadata as columns but those."""
    places = np.zeros(len(names), np.int32)
    used = np.flatnonzero(np.bincount(batch.stream))
    places[used] = np.arange(len(used), dtype=np.int32)
    arrays = [
        pa.DictionaryArray.from_arrays(
            pa.array(places[batch.stream]), pa.array([names[number] for number in used.tolist()], pa.string())
        ),
        pa.Array.from_buffers(pa.timestamp("ns"), len(batch), [None, pa.py_buffer(batch.ts)]),
        batch.lines.to_arrow(),
    ]
    arrays += [
        _arrow_column(batch.metadata.get(key), len(batch), dictionary=layout.dictionaries[key])
        for key in layout.columns
    ]
    if layout.has_rest:
        arrays.append(_arrow_map(batch.rest, len(batch)))
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrow_column(column: Column | None, rows: int, *, dictionary: bool) -> pa.Array:
    kind = pa.dictionary(pa.int32(), pa.large_string()) if dictionary else pa.large_string()
    if column is None:
        return pa.nulls(rows, kind)
    values = column.values.to_arrow().view(pa.large_string())
    absent = column.codes < 0
    if not dictionary and len(values) == rows and bool(np.all(absent | (column.codes == np.arange(rows)))):
        valid = pa.py_buffer(np.packbits(~absent, bitorder="little")) if absent.any() else None
        return pa.Array.from_buffers(values.type, rows, [valid, *values.buffers()[1:]])
    codes = pa.array(column.codes, mask=absent) if absent.any() else pa.array(column.codes)
    coded = pa.DictionaryArray.from_arrays(codes, values)
    return coded if dictionary else coded.dictionary_decode()


def _arrow_map(rest: Pairs | None, rows: int) -> pa.Array:
    kind = pa.map_(pa.string(), pa.large_string())
    if rest is None:
        return pa.array([[]] * rows, kind)
    keys = pa.array(rest.names, pa.string()).take(pa.array(rest.keys))
    values = rest.values.to_arrow().view(pa.large_string())
    return pa.MapArray.from_arrays(pa.array(rest.offsets.astype(np.int32)), keys, values)


def metadata_sizes(batch: Batch) -> I64:
    """int64[n], bytes of each row's metadata, keys and values."""
    sizes = np.zeros(len(batch), np.int64)
    counts = np.zeros(len(batch), np.int64)
    for key, column in batch.metadata.items():
        offsets = np.ascontiguousarray(column.values.offsets)
        add_sizes(np.ascontiguousarray(column.codes), offsets, len(key.encode()), sizes, counts)
    if batch.rest is not None:
        names = np.array([len(name.encode()) for name in batch.rest.names], np.int64)
        total = np.concatenate([[0], np.cumsum(names[batch.rest.keys] + batch.rest.values.lengths)])
        sizes += total[batch.rest.offsets[1:]] - total[batch.rest.offsets[:-1]]
    return sizes


def _spans(group: int, batch: Batch) -> Spans:
    stream = batch.stream
    heads = _heads(stream, batch.ts)
    tails = np.concatenate([heads[1:], [len(stream)]])
    return Spans(
        group=np.full(len(heads), group, np.int32),
        stream=stream[heads],
        row=heads,
        rows=tails - heads,
        min_ts=batch.ts[heads],
        max_ts=batch.ts[tails - 1],
        line_bytes=np.add.reduceat(batch.lines.lengths, heads),
        metadata_bytes=np.add.reduceat(metadata_sizes(batch), heads),
    )


def _join_spans(parts: Sequence[Spans]) -> Spans:
    return Spans(*(np.concatenate([getattr(part, name) for part in parts]) for name in Spans.__slots__))
