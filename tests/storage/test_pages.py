"""Pages of a block: what pyarrow writes is found and decoded, in whole and in part; damage is told, never read past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptBlock
from storage.kernels.pages import (
    CRC,
    DATA_PAGE,
    DELTA_BINARY_PACKED,
    ENCODING,
    FIELDS,
    KIND,
    MALFORMED,
    PAYLOAD,
    VALUES,
    delta_values,
    page_table,
)
from storage.pages import BlockPages, open_pages

int64s = st.integers(-(1 << 63), (1 << 63) - 1)
close = st.integers(-1000, 1000)


def packed(values: list[int]) -> tuple[Any, list[Any]]:
    """A Parquet file of the values, uncompressed, and the pages that the kernel finds in it."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"v": pa.array(values, pa.int64())}, pa.schema([pa.field("v", pa.int64(), nullable=False)])),
        sink,
        compression="none",
        use_dictionary=False,
        column_encoding={"v": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
        data_page_size=500,
        write_batch_size=100,
    )
    raw = sink.getvalue()
    chunk = pq.read_metadata(pa.BufferReader(raw)).row_group(0).column(0)
    data = np.frombuffer(raw, np.uint8)
    table = np.zeros((1000, FIELDS), np.int64)
    start = chunk.data_page_offset
    count = page_table(data, start, start + chunk.total_compressed_size, table)
    return data, list(table[:count])


@given(st.one_of(st.lists(int64s, min_size=1, max_size=600), st.lists(close, min_size=1, max_size=600)))
def test_numbers_that_parquet_packs_are_unpacked(values: list[int]) -> None:
    data, pages = packed(values)
    found: list[int] = []
    for page in pages:
        assert (page[KIND], page[ENCODING]) == (DATA_PAGE, DELTA_BINARY_PACKED)
        assert page[CRC] >= 0
        out = np.zeros(page[VALUES], np.int64)
        assert delta_values(data, page[PAYLOAD], len(data), out) > 0
        found += out.tolist()
    assert found == values


@given(st.binary(max_size=80), st.integers(0, 40))
def test_bytes_that_are_no_numbers_are_told(raw: bytes, count: int) -> None:
    out = np.zeros(count, np.int64)
    end = delta_values(np.frombuffer(raw, np.uint8), 0, len(raw), out)
    assert end == MALFORMED or 0 <= end <= len(raw)


@given(st.lists(close, min_size=200, max_size=200), st.data())
def test_numbers_cut_short_are_told(values: list[int], data: st.DataObject) -> None:
    raw, pages = packed(values)
    page = pages[0]
    out = np.zeros(page[VALUES], np.int64)
    whole = delta_values(raw, page[PAYLOAD], len(raw), out)
    # The last miniblock is padded, and the padding may be missing.
    cut = data.draw(st.integers(0, max(0, whole - page[PAYLOAD] - 64)))
    assert delta_values(raw, page[PAYLOAD], page[PAYLOAD] + cut, out) == MALFORMED


@given(st.binary(max_size=60))
def test_headers_of_any_bytes_are_read_or_told(raw: bytes) -> None:
    table = np.zeros((4, FIELDS), np.int64)
    assert MALFORMED <= page_table(np.frombuffer(raw, np.uint8), 0, len(raw), table) <= 5


LINES = [b"line %d " % number + b"x" * (number % 90) for number in range(3000)]
EVERY = np.arange(2000)
TS = [1_700_000_000_000_000_000 + number * number for number in range(3000)]


def block(folder: Path, name: str = "block") -> Path:
    """A file with the two columns of a block, in pages of a few hundred rows."""
    path = folder / f"{name}.parquet"
    schema = pa.schema(
        [
            pa.field("ts", pa.timestamp("ns"), nullable=False),
            pa.field("line", pa.large_binary(), nullable=False),
        ]
    )
    pq.write_table(
        pa.table({"ts": pa.array(TS).cast(pa.timestamp("ns")), "line": pa.array(LINES, pa.large_binary())}, schema),
        path,
        compression="zstd",
        use_dictionary=False,
        column_encoding={"ts": "DELTA_BINARY_PACKED", "line": "DELTA_LENGTH_BYTE_ARRAY"},
        write_page_checksum=True,
        data_page_size=10_000,
        write_batch_size=50,
        row_group_size=2000,
    )
    return path


@given(rows=st.sets(st.integers(0, 1999), min_size=1, max_size=30) | st.just(set(range(2000))))
def test_any_rows_of_a_row_group_are_read(tmp_path_factory: pytest.TempPathFactory, rows: set[int]) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "block.parquet"
    pages = open_pages(path if path.exists() else block(folder))
    wanted = np.array(sorted(rows))
    assert pages.timestamps(0, wanted).tolist() == [TS[row] for row in sorted(rows)]
    assert pages.lengths(0, wanted).tolist() == [len(LINES[row]) for row in sorted(rows)]
    lines, places = pages.lines(0, wanted)
    assert (lines if places is None else lines.take(places)).tolist() == [LINES[row] for row in sorted(rows)]
    assert (places is None) == (len(rows) == 2000)


def test_few_rows_read_few_bytes(tmp_path: Path) -> None:
    pages = BlockPages(block(tmp_path))
    every = np.arange(2000)
    assert 0 < pages.cost(0, "line", np.array([5])) < pages.cost(0, "line", every) / 5
    assert pages.lines(1, np.arange(1000))[0].tolist() == LINES[2000:]


def test_damage_is_told_with_the_block_and_the_place(tmp_path: Path) -> None:
    good = block(tmp_path)
    raw = good.read_bytes()
    metadata = pq.read_metadata(good)
    told: list[bool] = []
    for column in (0, 1):
        chunk = metadata.row_group(0).column(column)
        for place in range(chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size, 97):
            path = tmp_path / f"{column}-{place}.parquet"
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 0x41]) + raw[place + 1 :])
            pages = BlockPages(path)
            try:  # a page's header has statistics in it that nobody reads
                found = pages.timestamps(0, EVERY).tolist() if column == 0 else pages.lines(0, EVERY)[0].tolist()
            except CorruptBlock as error:
                told.append(path.name in str(error))
            else:
                assert found == (TS if column == 0 else LINES)[:2000]
    assert len(told) > 50
    assert all(told)


def test_a_file_that_is_no_block_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(CorruptBlock):
        BlockPages(path)
    with pytest.raises(CorruptBlock, match=r"gone\.parquet"):
        open_pages(tmp_path / "gone.parquet")
