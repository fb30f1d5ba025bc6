"""Reading the `ts` and `line` columns of a block page by page: only the pages that hold wanted rows.

A line column comes out as the buffer that its pages decompress to, without a copy: DELTA_LENGTH_BYTE_ARRAY keeps the
lengths of a page's lines before their bytes, so pages are decompressed from the last to the first, each over the
lengths of the one behind it, which are decoded by then. pyarrow copies line by line (docs/performance.md).
"""

from __future__ import annotations

import mmap
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from storage.batch import I64, U8, Texts
from storage.errors import CorruptBlock
from storage.kept import Kept
from storage.kernels import pages as kernels

OPEN_FILES = 1024
"""Blocks of which the process keeps the mapping and the places of pages; some KB each."""
OPEN_BYTES = 64 << 20
"""Bytes of their footers, which are among what is kept: that of a block of 100,000 streams has 3 MB."""

_LENGTHS_FIRST = 4096
"""Bytes of a page that are decompressed at first when only the lengths of its lines are asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """The data pages of one column of one row group.

    Attributes:
        table: int64[p, FIELDS], see storage/kernels/pages.py.
        first: int64[p + 1], the row of the group with which each page begins; at the end the rows of the group.
    """

    table: I64
    first: I64

    def holding(self, rows: I64) -> I64:
        """The pages that hold some of the rows (ascending)."""
        if len(rows) == self.first[-1]:
            return np.arange(len(self.table))
        return np.flatnonzero(np.diff(np.searchsorted(rows, self.first)))


class _Decompressors(threading.local):
    def __init__(self) -> None:
        self.zstd = zstandard.ZstdDecompressor()


_decompressors = _Decompressors()


class BlockPages:
    """One block's file, mapped. Safe for any number of threads."""

    def __init__(self, path: Path, metadata: pq.FileMetaData | None = None) -> None:
        """`metadata`: of the file, if it is known already. Raises CorruptBlock, also if it is gone; OSError."""
        self._path = path
        try:
            metadata = metadata or pq.read_metadata(path)
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (pa.ArrowInvalid, FileNotFoundError, ValueError) as error:  # ValueError: nothing is in it
            raise CorruptBlock(f"block {path}: {error}", path) from error
        self._data: U8 = np.frombuffer(self._map, np.uint8)
        self._metadata = metadata
        names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        self._places = {name: number for number, name in enumerate(names)}
        self._names = frozenset(metadata.schema.to_arrow_schema().names)
        self._pages: dict[tuple[int, str], Pages] = {}
        self._checked: set[int] = set()

    @property
    def footer_bytes(self) -> int:
        """Bytes of the file's footer."""
        return int(self._metadata.serialized_size)

    def let_go(self) -> None:
        """Takes what was read out of the process' memory; it stays in the system's cache and can be read again."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def has_column(self, name: str) -> bool:
        """Whether the block has a column, perhaps of many values a row, of that name."""
        return name in self._names

    def timestamps(self, group: int, rows: I64) -> I64:
        """int64[len(rows)], ns: the times of the given rows (ascending) of a row group. Raises CorruptBlock."""
        pages = self._of(group, "ts", kernels.DELTA_BINARY_PACKED)
        chosen = pages.holding(rows)
        table = pages.table[chosen]
        found = np.empty(int(table[:, kernels.VALUES].sum()), np.int64)
        at = 0
        for page in table.tolist():
            raw = np.frombuffer(self._decompressed(page), np.uint8)
            part = found[at : at + page[kernels.VALUES]]
            if kernels.delta_values(raw, 0, len(raw), part) < 0:
                raise self._corrupt(group, "a page of times cannot be decoded")
            at += page[kernels.VALUES]
        return found if len(found) == len(rows) else found[_places(pages, chosen, rows)]

    def lines(self, group: int, rows: I64) -> tuple[Texts, I64 | None]:
        """The lines of the pages that hold the given rows (ascending, some) of a row group.

        Returns:
            The lines, and where among them each row stands; None where they are just the rows.

        Raises:
            CorruptBlock: a page's checksum is wrong, or it cannot be decoded.
        """
        pages = self._of(group, "line", kernels.DELTA_LENGTH_BYTE_ARRAY)
        chosen = pages.holding(rows)
        table = pages.table[chosen]
        size = int(table[:, kernels.PLAIN].sum())
        # Arrow's pool keeps freed memory; fresh pages of the system's would cost as much as decompressing.
        data = np.frombuffer(pa.allocate_buffer(size), np.uint8)
        count = int(table[:, kernels.VALUES].sum())
        offsets = np.empty(count + 1, np.int64)
        end, row = size, count
        for page in reversed(table.tolist()):
            begin = end - page[kernels.PLAIN]
            self._decompress(page, data[begin:end])
            first = row - page[kernels.VALUES]
            lengths = offsets[first + 1 : row + 1]
            text = kernels.delta_values(data, begin, end, lengths)
            if text < 0 or int(lengths.min(initial=0)) < 0 or int(lengths.sum()) != end - text:
                raise self._corrupt(group, "a page of lines cannot be decoded")
            end, row = text, first
        offsets[0] = end
        np.cumsum(offsets, out=offsets)
        lines = Texts(data, offsets)
        return lines, None if count == len(rows) else _places(pages, chosen, rows)

    def lengths(self, group: int, rows: I64) -> I64:
        """int64[len(rows)], bytes of the lines of the given rows (ascending); their pages are read to that part only.

        Raises:
            CorruptBlock: a page cannot be decoded.
        """
        pages = self._of(group, "line", kernels.DELTA_LENGTH_BYTE_ARRAY)
        chosen = pages.holding(rows)
        table = pages.table[chosen]
        found = np.empty(int(table[:, kernels.VALUES].sum()), np.int64)
        at = 0
        for page in table.tolist():
            part = found[at : at + page[kernels.VALUES]]
            if not self._decode_lengths(page, part):
                raise self._corrupt(group, "a page of lines cannot be decoded")
            at += page[kernels.VALUES]
        return found if len(found) == len(rows) else found[_places(pages, chosen, rows)]

    def cost(self, group: int, column: str, rows: I64) -> int:
        """Bytes of the file that are read for a column of the given rows (ascending). Raises CorruptBlock."""
        encoding = kernels.DELTA_LENGTH_BYTE_ARRAY if column == "line" else kernels.DELTA_BINARY_PACKED
        pages = self._of(group, column, encoding)
        return int(pages.table[pages.holding(rows), kernels.COMPRESSED].sum())

    def _decode_lengths(self, page: list[int], lengths: I64) -> bool:
        data = np.empty(page[kernels.PLAIN], np.uint8)
        have, wanted = 0, _LENGTHS_FIRST + len(lengths)
        with _decompressors.zstd.stream_reader(self._payload(page)) as reader:
            while have < len(data):
                got = reader.readinto(data[have:wanted])
                if not got:
                    return False
                have += got
                if kernels.delta_values(data, 0, have, lengths) >= 0:
                    return True
                wanted = min(2 * have, len(data)) if have == wanted else wanted
        return False

    def _of(self, group: int, column: str, encoding: int) -> Pages:
        found = self._pages.get((group, column))
        if found is None:
            found = self._pages[group, column] = self._find(group, column, encoding)
        return found

    def _find(self, group: int, column: str, encoding: int) -> Pages:
        chunk = self._metadata.row_group(group).column(self._places[column])
        start = chunk.data_page_offset
        end = start + chunk.total_compressed_size
        if chunk.compression != "ZSTD" or end > len(self._data):
            raise self._corrupt(group, f"column {column} is not where its footer says")
        room = 64
        while True:
            table = np.empty((room, kernels.FIELDS), np.int64)
            count = kernels.page_table(self._data, start, end, table)
            if count <= room:
                break
            room *= 8
        table = table[: max(count, 0)].copy()
        first = np.concatenate([[0], np.cumsum(table[:, kernels.VALUES])])
        if (
            (table[:, kernels.KIND] != kernels.DATA_PAGE).any()
            or (table[:, kernels.ENCODING] != encoding).any()
            or first[-1] != chunk.num_values
        ):
            raise self._corrupt(group, f"the pages of column {column} cannot be read")
        return Pages(table, first)

    def _payload(self, page: list[int]) -> memoryview:
        """A page's bytes as they are in the file. Their checksum is looked at when they are first read."""
        begin = page[kernels.PAYLOAD]
        payload = memoryview(self._map)[begin : begin + page[kernels.COMPRESSED]]
        if begin not in self._checked:
            if page[kernels.CRC] >= 0 and zlib.crc32(payload) != page[kernels.CRC]:
                raise CorruptBlock(
                    f"block {self._path}: the page at {begin} has another checksum than its header says", self._path
                )
            self._checked.add(begin)
        return payload

    def _decompressed(self, page: list[int]) -> Any:
        out = np.empty(page[kernels.PLAIN], np.uint8)
        self._decompress(page, out)
        return out

    def _decompress(self, page: list[int], out: U8) -> None:
        done = 0
        try:
            with _decompressors.zstd.stream_reader(self._payload(page)) as reader:
                while done < len(out) and (got := reader.readinto(out[done:])):
                    done += got
        except zstandard.ZstdError as error:
            raise CorruptBlock(
                f"block {self._path}: the page at {page[kernels.PAYLOAD]}: {error}", self._path
            ) from error
        if done != len(out):
            raise CorruptBlock(
                f"block {self._path}: the page at {page[kernels.PAYLOAD]} is shorter than it says", self._path
            )

    def _corrupt(self, group: int, what: str) -> CorruptBlock:
        return CorruptBlock(f"block {self._path}: row group {group}: {what}", self._path)


def _places(pages: Pages, chosen: I64, rows: I64) -> I64:
    """Where rows of the group stand among the values of the chosen pages."""
    counts = pages.table[chosen][:, kernels.VALUES]
    shift = pages.first[chosen] - (np.cumsum(counts) - counts)
    of = np.searchsorted(pages.first[chosen], rows, side="right") - 1
    places: I64 = rows - shift[of]
    return places


_open: Kept[Path, BlockPages] = Kept(OPEN_FILES, OPEN_BYTES)


def open_pages(path: Path) -> BlockPages:
    """The pages of a block, mapped once a process. Raises CorruptBlock, also if it is gone; OSError."""
    found = _open.get(path)
    if found is None:
        found = _open.put(path, made := BlockPages(path), made.footer_bytes)
    return found


def forget_pages(path: Path) -> None:
    """Lets go of a block that nobody will read again."""
    _open.pop(path)
