"""Writing a block: the rows of one tenant and day, in (hour, stream, ts, arrival) order, as one Parquet file.

Row groups are gathered and written one at a time; the memtable is never copied as a whole.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.batch import I32, I64, MAX_COLUMNS, Batch, Column, Pairs
from storage.build import columns_of_pairs
from storage.footer import Footer, OriginRange, Spans, encode_footer
from storage.labels import labels_text
from storage.rows import concat_batches, metadata_pairs, take_rows
from storage.segment import sync_directory, write_all
from storage.streams import DAY, StreamTable

HOUR = 3_600_000_000_000
META = "meta."
"""Prefix of a metadata key's column; the map column of the rarer keys is `meta`."""


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
        stream: int32[n], index into `streams`, in block order.
        ts: int64[n], in block order.
        lengths: int64[n], line bytes, in block order.
    """

    day: int
    order: I64
    streams: I32
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


class _Sink(io.RawIOBase):
    """A file that keeps the CRC32C of what was written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self.size = 0
        self.crc = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = bytes(data)
        write_all(self._fd, view)
        self.size += len(view)
        self.crc = google_crc32c.extend(self.crc, view)
        return len(view)

    def sync(self) -> None:
        """Makes it durable. Raises OSError."""
        os.fsync(self._fd)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


def split_days(parts: Sequence[Batch], table: StreamTable) -> list[DayRows]:
    """All rows of all parts by day, each day in block order."""
    stream = np.concatenate([part.stream for part in parts])
    ts = np.concatenate([part.ts for part in parts])
    lengths = np.concatenate([part.lines.lengths for part in parts])
    numbers, codes = np.unique(stream, return_inverse=True)
    names = [labels_text(table[number]) for number in numbers.tolist()]
    by_name = np.argsort(np.array(names, dtype=object), kind="stable")
    rank = np.empty(len(numbers), np.int32)
    rank[by_name] = np.arange(len(numbers), dtype=np.int32)
    ranks = rank[codes]
    order = np.lexsort((ts, ranks, ts // HOUR))
    days = ts[order] // DAY
    cuts = np.flatnonzero(np.diff(days)) + 1
    result = []
    for rows in np.split(order, cuts):
        used, local = np.unique(ranks[rows], return_inverse=True)
        result.append(
            DayRows(
                day=int(ts[rows[0]] // DAY),
                order=rows,
                streams=numbers[by_name][used].astype(np.int32),
                stream=local.astype(np.int32),
                ts=ts[rows],
                lengths=lengths[rows],
            )
        )
    return result


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
) -> Written:
    """Writes the block to `path` (a temporary name) and syncs it. Raises OSError."""
    columns, has_rest = _choose_columns(parts)
    dictionaries = {key: _is_dictionary(key, parts) for key in columns}
    names = [labels_text(table[number]) for number in rows.streams.tolist()]
    schema = _schema(columns, dictionaries, has_rest)
    spans: list[Spans] = []
    sink = _Sink(path)
    writer = pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        compression="zstd",
        compression_level=options.compression_level,
        use_dictionary=["stream", *(META + key for key in columns if dictionaries[key])],
        column_encoding={"ts": "DELTA_BINARY_PACKED", "line": "DELTA_LENGTH_BYTE_ARRAY"},
        write_statistics=["stream", "ts"],
        write_page_checksum=True,
    )
    try:
        for number, (start, stop) in enumerate(_row_groups(rows.lengths, options)):
            batch = _gather(parts, rows.order[start:stop])
            group = _table(batch, rows.stream[start:stop], names, columns, dictionaries, schema)
            writer.write_table(group, row_group_size=stop - start)
            spans.append(_spans(number, rows.stream[start:stop], batch))
        footer = Footer(
            tenant=tenant,
            day=rows.day,
            generation=generation,
            streams=tuple(table[stream] for stream in rows.streams.tolist()),
            stream_ids=tuple(table.ids[rows.streams].tolist()),
            spans=_join_spans(spans),
            origins=tuple(origins),
            sources=(),
            columns=tuple(columns),
        )
        writer.add_key_value_metadata(encode_footer(footer, sink.size, sink.crc))
        writer.close()
        sink.sync()
    finally:
        try:
            writer.close()
        finally:
            sink.close()
    return Written(footer, sink.size, sink.crc)


def publish(temporary: Path, final: Path) -> None:
    """Gives a synced file its name, durably. Raises OSError."""
    temporary.rename(final)
    sync_directory(final.parent)


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


def _schema(columns: Sequence[str], dictionaries: dict[str, bool], has_rest: bool) -> pa.Schema:
    fields = [
        pa.field("stream", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("ts", pa.timestamp("ns"), nullable=False),
        pa.field("line", pa.large_binary(), nullable=False),
    ]
    for key in columns:
        kind = pa.dictionary(pa.int32(), pa.large_string()) if dictionaries[key] else pa.large_string()
        fields.append(pa.field(META + key, kind))
    if has_rest:
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


def _gather(parts: Sequence[Batch], positions: I64) -> Batch:
    """The rows at positions in the concatenation of all parts, in that order."""
    bases = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    of_part = np.searchsorted(bases, positions, side="right") - 1
    taken, places = [], []
    for number in np.unique(of_part).tolist():
        at = np.flatnonzero(of_part == number)
        taken.append(take_rows(parts[number], positions[at] - bases[number]))
        places.append(at)
    joined = concat_batches(taken)
    place = np.concatenate(places)
    if bool(np.all(place[1:] > place[:-1])):
        return joined
    back = np.empty(len(place), np.int64)
    back[place] = np.arange(len(place))
    return take_rows(joined, back)


def _table(
    batch: Batch,
    stream: I32,
    names: Sequence[str],
    columns: Sequence[str],
    dictionaries: dict[str, bool],
    schema: pa.Schema,
) -> pa.Table:
    used, codes = np.unique(stream, return_inverse=True)
    arrays = [
        pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32)), pa.array([names[number] for number in used.tolist()], pa.string())
        ),
        pa.array(batch.ts).cast(pa.timestamp("ns")),
        batch.lines.to_arrow(),
    ]
    metadata, rest = _arrange(batch, columns)
    arrays += [_arrow_column(metadata.get(key), len(batch), dictionary=dictionaries[key]) for key in columns]
    if "meta" in schema.names:
        arrays.append(_arrow_map(rest, len(batch)))
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrange(batch: Batch, columns: Sequence[str]) -> tuple[dict[str, Column], Pairs | None]:
    """The batch's metadata with exactly the wanted keys as columns and all others in the rest."""
    if batch.rest is None and set(batch.metadata) <= set(columns):
        return dict(batch.metadata), None
    row, key, names, values = metadata_pairs(batch)
    wanted = np.array([name in set(columns) for name in names], np.bool_)[key]
    chosen = np.flatnonzero(wanted)
    found, _ = columns_of_pairs(len(batch), names, row[chosen], key[chosen], values.take(chosen))
    left = np.flatnonzero(~wanted)
    offsets = np.zeros(len(batch) + 1, np.int64)
    np.cumsum(np.bincount(row[left], minlength=len(batch)), out=offsets[1:])
    return found, Pairs(offsets, key[left], tuple(names), values.take(left))


def _arrow_column(column: Column | None, rows: int, *, dictionary: bool) -> pa.Array:
    kind = pa.dictionary(pa.int32(), pa.large_string()) if dictionary else pa.large_string()
    if column is None:
        return pa.nulls(rows, kind)
    values = column.values.to_arrow().view(pa.large_string())
    absent = column.codes < 0
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
    for key, column in batch.metadata.items():
        present = column.codes >= 0
        sizes[present] += column.values.lengths[column.codes[present]] + len(key.encode())
    if batch.rest is not None:
        names = np.array([len(name.encode()) for name in batch.rest.names], np.int64)
        total = np.concatenate([[0], np.cumsum(names[batch.rest.keys] + batch.rest.values.lengths)])
        sizes += total[batch.rest.offsets[1:]] - total[batch.rest.offsets[:-1]]
    return sizes


def _spans(group: int, stream: I32, batch: Batch) -> Spans:
    hours = batch.ts // HOUR
    heads = np.flatnonzero(np.concatenate([[True], (stream[1:] != stream[:-1]) | (hours[1:] != hours[:-1])]))
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
