"""Reading a block: the catalog's view of it, and row groups back into batches."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.batch import I32, I64, Batch, Column, Pairs, Texts, empty_batch, texts, texts_from_arrow
from storage.blockwrite import META
from storage.errors import CorruptBlock
from storage.footer import Footer, OriginRange, decode_footer
from storage.kept import Kept
from storage.pages import forget_pages, open_pages
from storage.reading import EVERYTHING, Columns, Times
from storage.rows import spans

OPEN_READERS = 64
"""Parquet files that each thread keeps open. Opening one costs 0.8 ms; one open costs a mapping and its metadata."""
READER_BYTES = 16 << 20
"""Bytes of the footers of those: a footer of 100,000 streams has 3 MB."""
FOOTERS = 256
"""Footers kept decoded in the process."""
FOOTER_BYTES = 64 << 20
"""Bytes that they take, about."""
_SPAN_BYTES = 64
_STREAM_BYTES = 80
"""A stream's id and its share of what its label set is packed in."""
_LABELS_BYTES = 2_000
"""A stream whose label set is unpacked."""
_FEW = 4
"""Lines are copied out of their pages when fewer than one in this many of those is wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What the catalog knows of a block without opening it.

    Attributes:
        path: the file.
        day: days since the epoch.
        generation: place in order of arrival.
        min_ts, max_ts: ns.
        rows: entries.
        size: bytes of the file.
        origins: WAL records whose rows (of this day) it holds.
        deletes: ids of the deletes whose entries it was written without.
        streams: int32[k], stream numbers in this process' table.
        stream_min, stream_max: int64[k], ns, per stream.
        compacted: whether compaction wrote it.
    """

    path: Path
    day: int
    generation: int
    min_ts: int
    max_ts: int
    rows: int
    size: int
    origins: tuple[OriginRange, ...]
    deletes: frozenset[str]
    streams: I32
    stream_min: I64
    stream_max: I64
    compacted: bool = False


class _Files:
    """A thread's open files, the last used at the end. Other threads take out of them what nobody will read again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, pq.ParquetFile] = OrderedDict()

    def get(self, path: Path) -> pq.ParquetFile | None:
        """The file, if it is open."""
        with self._lock:
            found = self._open.get(path)
            if found is not None:
                self._open.move_to_end(path)
            return found

    def put(self, path: Path, reader: pq.ParquetFile) -> None:
        """Keeps a file open, and closes others where it is too many of them or their footers are too large."""
        closed = []
        with self._lock:
            opened = self._open
            opened[path] = reader
            while len(opened) > 1 and (len(opened) > OPEN_READERS or self._footer_bytes() > READER_BYTES):
                closed.append(opened.popitem(last=False)[1])
        for each in closed:
            each.close()

    def forget(self, path: Path) -> None:
        """Lets go of a file."""
        with self._lock:
            self._open.pop(path, None)

    def _footer_bytes(self) -> int:
        return sum([reader.metadata.serialized_size for reader in self._open.values()])


_all_files: WeakSet[_Files] = WeakSet()
_all_files_lock = threading.Lock()


class _Readers(threading.local):
    def __init__(self) -> None:
        self.files = _Files()
        with _all_files_lock:
            _all_files.add(self.files)


_readers = _Readers()


def forget(path: Path) -> None:
    """Lets go of a file that nobody will read again, in every thread: what is mapped stays on disk."""
    with _all_files_lock:
        every = list(_all_files)
    for files in every:
        files.forget(path)
    _footers.pop(path)
    forget_pages(path)


def open_reader(path: Path) -> pq.ParquetFile:
    """This thread's open file for a block; page checksums are verified as pages are read.

    Raises CorruptBlock if it is no Parquet file or gone.
    """
    found = _readers.files.get(path)
    if found is not None:
        return found
    try:
        reader = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        if not says_of_the_file(error):
            raise
        raise CorruptBlock(f"block {path}: {error}", path) from error
    _readers.files.put(path, reader)
    return reader


def says_of_the_file(error: Exception) -> bool:
    """Whether an error says something of a file's contents, or that it is gone: too many open files, say, does not."""
    return not isinstance(error, OSError) or error.errno in (None, errno.ENOENT)


_footers: Kept[Path, Footer] = Kept(FOOTERS, FOOTER_BYTES)


def read_footer(path: Path) -> Footer:
    """A block's footer. Raises CorruptBlock."""
    found = _footers.get(path)
    if found is None:
        found = _footers.put(path, made := _decoded(path), _size_of(made))
    return found


def _size_of(footer: Footer) -> int:
    """Bytes that a decoded footer takes, about."""
    per_stream = _LABELS_BYTES if isinstance(footer.streams, tuple) else _STREAM_BYTES
    return len(footer.spans) * _SPAN_BYTES + len(footer.streams) * per_stream + len(footer.metadata)


def _decoded(path: Path) -> Footer:
    try:
        return decode_footer(open_reader(path).metadata.metadata, path.name)
    except CorruptBlock as error:
        raise CorruptBlock(str(error), path) from error


def stream_bounds(footer: Footer) -> tuple[I64, I64]:
    """(min, max) ts of each of the footer's streams, int64[k] ns."""
    low = np.full(len(footer.streams), np.iinfo(np.int64).max, np.int64)
    high = np.full(len(footer.streams), np.iinfo(np.int64).min, np.int64)
    np.minimum.at(low, footer.spans.stream, footer.spans.min_ts)
    np.maximum.at(high, footer.spans.stream, footer.spans.max_ts)
    return low, high


def read_rows(path: Path, group: int, times: Times, names: Sequence[str], wanted: Columns = EVERYTHING) -> Batch:
    """Entries of one row group.

    Args:
        path: the block.
        group: row group.
        times: the entries; `rows` are numbers within the row group.
        names: metadata keys with a column of their own.
        wanted: what to read of them.

    Returns:
        A batch whose selection is the entries, or whose rows are.

    Raises:
        CorruptBlock: a page's checksum is wrong or it cannot be decoded.
    """
    count = len(times)
    if not count:
        return empty_batch(times.streams)
    metadata, rest = _metadata(path, group, times.rows, names, wanted.metadata)
    if not wanted.lines:
        return Batch(times.streams, times.stream, times.ts, _no_lines(count), metadata, rest)
    lines, places = open_pages(path).lines(group, times.rows)
    if places is None:
        return Batch(times.streams, times.stream, times.ts, lines, metadata, rest)
    if _FEW * count < len(lines) or rest is not None:
        return Batch(times.streams, times.stream, times.ts, lines.take(places), metadata, rest)
    stream, ts = np.zeros(len(lines), np.int32), np.zeros(len(lines), np.int64)
    stream[places], ts[places] = times.stream, times.ts
    spread = {key: _spread(column, places, len(lines)) for key, column in metadata.items()}
    return Batch(times.streams, stream, ts, lines, spread, None, places)


def _spread(column: Column, places: I64, rows: int) -> Column:
    codes = np.full(rows, -1, np.int32)
    codes[places] = column.codes
    return Column(codes, column.values)


def _no_lines(count: int) -> Texts:
    return Texts(np.zeros(0, np.uint8), np.zeros(count + 1, np.int64))


def _metadata(
    path: Path, group: int, rows: I64, names: Sequence[str], wanted: frozenset[str] | None
) -> tuple[dict[str, Column], Pairs | None]:
    """The structured metadata of rows of a row group."""
    chosen = [name for name in names if wanted is None or name in wanted]
    columns = [META + name for name in chosen]
    # Which keys the map column holds is not known before it is read.
    has_rest = (wanted is None or bool(wanted)) and open_pages(path).has_column("meta")
    if has_rest:
        columns.append("meta")
    if not columns:
        return {}, None
    table = _read_group(path, group, columns)
    index = None if len(rows) == table.num_rows else pa.array(rows)

    def column(name: str) -> pa.Array:
        chunked = table.column(name)
        array = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
        return array if index is None else array.take(index)

    metadata = {}
    for name in chosen:
        found = column_of(column(META + name))
        if found is not None:
            metadata[name] = found
    return metadata, pairs_of(column("meta")) if has_rest else None


def _read_group(path: Path, group: int, columns: list[str]) -> pa.Table:
    try:
        return open_reader(path).read_row_group(group, columns=columns, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptBlock(f"block {path}: row group {group}: {error}", path) from error


def column_of(array: pa.Array) -> Column | None:
    """A metadata column; None if no row has a value."""
    if array.null_count == len(array):
        return None
    if pa.types.is_dictionary(array.type):
        codes = array.indices.fill_null(-1).to_numpy()
        return Column(codes.astype(np.int32, copy=False), texts_from_arrow(array.dictionary))
    codes = np.full(len(array), -1, np.int32)
    present = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    codes[present] = np.arange(len(present), dtype=np.int32)
    return Column(codes, texts_from_arrow(array.drop_null()))


def pairs_of(array: pa.Array) -> Pairs | None:
    """What a map column holds; None if no row has anything."""
    offsets = np.asarray(array.offsets.to_numpy(), np.int64)
    if offsets[-1] == offsets[0]:
        return None
    first, last = int(offsets[0]), int(offsets[-1])
    coded = array.keys.slice(first, last - first).dictionary_encode()
    values = array.items.slice(first, last - first)
    return Pairs(
        offsets=offsets - first,
        keys=coded.indices.to_numpy().astype(np.int32, copy=False),
        names=tuple(coded.dictionary.to_pylist()),
        values=texts_from_arrow(values) if len(values) else texts([]),
    )


def wanted_rows(
    footer: Footer, numbers: I32, group: int, accepted: np.ndarray, start: int, end: int
) -> tuple[I64, I32, bool]:
    """Row numbers of a row group in accepted streams' spans that overlap start..end, and their stream numbers.

    And whether all of those rows lie within start..end.

    Args:
        footer: the block's.
        numbers: int32[k], the footer's streams as numbers of the process' table.
        group: row group.
        accepted: bool[k].
        start: ns, inclusive.
        end: ns, exclusive.
    """
    said = footer.spans
    # A list would be int64, and all groups would be copied to compare.
    first, last = np.searchsorted(said.group, np.array([group, group + 1], said.group.dtype)).tolist()
    chosen = first + np.flatnonzero(accepted[said.stream[first:last]])
    chosen = chosen[(said.max_ts[chosen] >= start) & (said.min_ts[chosen] < end)]
    starts, counts = said.row[chosen], said.rows[chosen]
    if len(chosen) and bool((starts[1:] == starts[:-1] + counts[:-1]).all()):
        rows = np.arange(starts[0], starts[-1] + counts[-1])
    else:
        rows = spans(starts, counts)
    inside = bool(((said.min_ts[chosen] >= start) & (said.max_ts[chosen] < end)).all())
    return rows, np.repeat(numbers[said.stream[chosen]], counts), inside
