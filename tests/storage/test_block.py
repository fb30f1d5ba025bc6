from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.batch import I32, I64, Batch
from storage.blockread import open_reader, read_footer, read_rows, stream_bounds, wanted_rows
from storage.blockwrite import BlockOptions, Written, split_days, write_block
from storage.errors import CorruptBlock
from storage.footer import OriginRange
from storage.labels import labels_text
from storage.pages import open_pages
from storage.publish import publish
from storage.reading import Times
from storage.rows import renumber, take_rows
from storage.streams import StreamTable
from tests.storage.entries import (
    DAY,
    HOUR,
    NOON,
    Entry,
    batch_of,
    entries_of,
    entry,
    entry_lists,
    plain,
)


def on(table: StreamTable, entries: Sequence[Entry], *, one_a_row: bool = False) -> Batch:
    batch = batch_of(entries)
    batch = renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))
    return plain(batch) if one_a_row else batch


def write(folder: Path, table: StreamTable, parts: list[Batch], options: BlockOptions) -> list[tuple[Path, Written]]:
    """The blocks of all parts, as a flush writes them."""
    found = []
    for rows in split_days([part for part in parts if len(part)], table):
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        block = write_block(
            path.with_suffix(".tmp"),
            [part for part in parts if len(part)],
            rows,
            table,
            tenant="t",
            generation=3,
            origins=[OriginRange("ab" * 16, 1, 2)],
            options=options,
        )
        publish(path.with_suffix(".tmp"), path)
        found.append((path, block))
    return found


def read_group(path: Path, group: int, rows: I64, stream: I32, table: StreamTable) -> Batch:
    times = Times(table, rows, stream, open_pages(path).timestamps(group, rows))
    batch = read_rows(path, group, times, read_footer(path).columns)
    return batch if batch.selection is None else take_rows(batch, batch.selection)


def read(path: Path, table: StreamTable) -> list[Entry]:
    footer = read_footer(path)
    numbers = table.numbers(np.array(footer.stream_ids, np.uint64))
    found: list[Entry] = []
    for group in range(int(footer.spans.group[-1]) + 1):
        every = np.ones(len(footer.streams), np.bool_)
        rows, stream, _ = wanted_rows(footer, numbers, group, every, -(1 << 63), (1 << 63) - 1)
        found += entries_of(read_group(path, group, rows, stream, table))
    return found


def in_block_order(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda item: (item[1] // HOUR, labels_text(item[0]), item[1]))


OPTIONS = st.builds(
    BlockOptions,
    row_group_rows=st.sampled_from([1, 3, 32_768]),
    row_group_size=st.sampled_from([1, 20, 8 << 20]),
)


@settings(max_examples=60)
@given(parts=st.lists(st.tuples(entry_lists, st.booleans()), min_size=1, max_size=3), options=OPTIONS)
def test_blocks_give_back_every_row_in_block_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[list[Entry], bool]], options: BlockOptions
) -> None:
    everything = [row for part, _ in parts for row in part]
    if not everything:
        return
    table = StreamTable()
    batches = [on(table, part, one_a_row=one_a_row) for part, one_a_row in parts]
    blocks = write(tmp_path_factory.mktemp("blocks"), table, batches, options)
    assert [block.footer.day for _, block in blocks] == sorted({row[1] // DAY for row in everything})
    for path, block in blocks:
        expected = in_block_order([row for row in everything if row[1] // DAY == block.footer.day])
        assert read(path, table) == expected
        check_footer(path, block, expected)


def check_footer(path: Path, block: Written, rows: list[Entry]) -> None:
    footer = read_footer(path)
    spans = footer.spans
    assert footer.rows == len(rows)
    assert list(footer.streams) == sorted({row[0] for row in rows}, key=labels_text)
    assert int(spans.line_bytes.sum()) == sum(len(line) for _, _, line, _ in rows)
    assert int(spans.metadata_bytes.sum()) == sum(
        len(key.encode()) + len(value) for *_, metadata in rows for key, value in metadata
    )
    start = 0
    for at in range(len(spans)):  # spans tile the rows
        part = rows[start : start + int(spans.rows[at])]
        start += len(part)
        assert {row[0] for row in part} == {footer.streams[int(spans.stream[at])]}
        assert (part[0][1], part[-1][1]) == (int(spans.min_ts[at]), int(spans.max_ts[at]))
    assert start == len(rows)
    low, high = stream_bounds(footer)
    for number, labels in enumerate(footer.streams):
        times = [row[1] for row in rows if row[0] == labels]
        assert (low[number], high[number]) == (min(times), max(times))
    assert block.size == path.stat().st_size


@pytest.mark.parametrize(("rows", "size", "groups"), [(100, 8 << 20, 3), (32_768, 1000, 25), (1, 1, 250)])
def test_row_groups_end_at_rows_or_line_bytes(tmp_path: Path, rows: int, size: int, groups: int) -> None:
    table = StreamTable()
    batch = on(table, [entry("a", NOON + n, b"x" * 100) for n in range(250)])
    ((path, _),) = write(tmp_path, table, [batch], BlockOptions(row_group_rows=rows, row_group_size=size))
    assert pq.ParquetFile(path).num_row_groups == groups
    assert len(read(path, table)) == 250


def test_wanted_rows_are_those_of_accepted_streams_in_spans_that_overlap(tmp_path: Path) -> None:
    table = StreamTable()
    rows = [entry(app, NOON + hour * HOUR + n) for app in "abc" for hour in range(3) for n in range(4)]
    ((path, _),) = write(tmp_path, table, [on(table, rows)], BlockOptions(row_group_rows=10))
    footer = read_footer(path)
    numbers = table.numbers(np.array(footer.stream_ids, np.uint64))
    accepted = np.array([labels != (("app", "b"),) for labels in footer.streams])
    found = []
    for group in range(4):
        at, stream, inside = wanted_rows(footer, numbers, group, accepted, NOON + HOUR, NOON + HOUR + 1)
        assert inside == (not len(at))
        found += entries_of(read_group(path, group, at, stream, table))
    assert sorted(found) == [row for row in rows if row[0][0][1] != "b" and NOON + HOUR <= row[1] < NOON + 2 * HOUR]


# -- what others read


def test_a_block_is_plain_parquet_with_the_documented_columns(tmp_path: Path) -> None:
    table = StreamTable()
    rows = [
        entry("a", NOON, b"first", level="info", trace="1"),
        entry("a", NOON + 1, b"bad \xff", level="info", trace="2"),
        entry("b", NOON + 1, b"", trace="3"),
        entry("b", NOON + 2, b"last", level="info", trace="4"),
    ]
    ((path, _),) = write(tmp_path, table, [on(table, rows)], BlockOptions())
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        assert schema.names == ["stream", "ts", "line", "meta.level", "meta.trace"]
        assert schema.field("ts").type == pa.timestamp("ns")
        assert pa.types.is_binary(schema.field("line").type) or pa.types.is_large_binary(schema.field("line").type)
        encodings = {
            chunk.path_in_schema: set(chunk.encodings)
            for chunk in (file.metadata.row_group(0).column(n) for n in range(5))
        }
        assert {file.metadata.row_group(0).column(n).compression for n in range(5)} == {"ZSTD"}
    assert "DELTA_BINARY_PACKED" in encodings["ts"]
    assert "DELTA_LENGTH_BYTE_ARRAY" in encodings["line"]
    assert any("DICTIONARY" in name for name in encodings["stream"])
    assert any("DICTIONARY" in name for name in encodings["meta.level"])
    assert not any("DICTIONARY" in name for name in encodings["meta.trace"])
    found = pq.read_table(path)
    assert found.column("stream").to_pylist() == ['{app="a"}', '{app="a"}', '{app="b"}', '{app="b"}']
    assert found.column("ts").cast(pa.int64()).to_pylist() == [row[1] for row in rows]
    assert found.column("line").to_pylist() == [row[2] for row in rows]
    assert found.column("meta.level").to_pylist() == ["info", "info", None, "info"]
    assert found.column("meta.trace").to_pylist() == ["1", "2", "3", "4"]


def test_keys_past_64_stand_in_one_map_column(tmp_path: Path) -> None:
    table = StreamTable()
    rows = [entry("a", NOON + row, "x", common="v", **{f"k{row}-{n}": f"{n}" for n in range(10)}) for row in range(10)]
    ((path, _),) = write(tmp_path, table, [on(table, rows)], BlockOptions())
    found = pq.read_table(path)
    assert sum(name.startswith("meta.") for name in found.schema.names) == 64
    assert found.schema.names[-1] == "meta"
    together = [
        {name[5:]: row[name] for name in row if name.startswith("meta.") and row[name] is not None} | dict(row["meta"])
        for row in found.drop_columns(["ts"]).to_pylist()
    ]
    assert together == [{key: value.decode() for key, value in row[3]} for row in rows]
    assert read(path, table) == rows


# -- damage


def test_a_file_that_is_no_block_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(CorruptBlock, match=r"x\.parquet"):
        open_reader(path)
    other = tmp_path / "y.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(CorruptBlock, match=r"y\.parquet"):
        read_footer(other)
    with pytest.raises(CorruptBlock, match=r"gone\.parquet"):
        open_reader(tmp_path / "gone.parquet")


def test_a_flipped_byte_of_a_line_is_told_when_it_is_read(tmp_path: Path) -> None:
    table = StreamTable()
    rows = [entry("a", NOON + n, f"line number {n}") for n in range(200)]
    ((path, _),) = write(tmp_path, table, [on(table, rows)], BlockOptions())
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(0).column(2)
        last = chunk.data_page_offset + chunk.total_compressed_size - 1
    raw = bytearray(path.read_bytes())
    raw[last] ^= 1
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(raw)
    with pytest.raises(CorruptBlock, match=r"damaged\.parquet"):
        read(damaged, table)


def test_a_block_that_cannot_be_written_says_so_and_leaves_no_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = StreamTable()

    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.blockwrite.write_all", full)
    with pytest.raises(OSError, match="No space left") as found:
        write(tmp_path, table, [on(table, [entry("a", NOON)])], BlockOptions())
    assert found.value.errno == 28
