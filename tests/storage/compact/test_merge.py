"""What a merged block is: its rows, its footer, its row groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from storage import Compacted, Store, StoreOptions
from storage.batch import MAX_COLUMNS
from storage.blockread import Block, read_footer
from storage.compact import order
from storage.compact.merge import Merge, merge
from storage.compact.order import CannotJoin
from storage.compact.source import UnreadableSource
from storage.compact.writing import CheckedWriter
from storage.errors import CorruptBlock
from storage.footer import OriginRange
from storage.tombstones import Tombstone
from tests.storage.entries import DAY, HOUR, NOON, Entry, entry, in_order, quiet, read, start, stored

OPTIONS = quiet(row_group_rows=4)


def filled(folder: Path, *flushes: list[Entry], options: StoreOptions = OPTIONS) -> Store:
    store = start(folder, options)
    for rows in flushes:
        stored(store, rows)
        store.flush()
    return store


def blocks_of(store: Store) -> tuple[Block, ...]:
    return store._state.tenants["t"].view.blocks


def merging(store: Store, **more: Any) -> Merge:
    tenant = store._state.tenants["t"]
    asked = Merge(
        "t", tenant.table, tenant.view.blocks, (), None, replace(OPTIONS.blocks, compression_level=6), lambda: None
    )
    return replace(asked, **more)


def lines(path: Path) -> list[bytes]:
    found: list[bytes] = pq.read_table(path).column("line").to_pylist()
    return found


def test_rows_stand_by_hour_stream_time_and_arrival(tmp_path: Path) -> None:
    first = [entry("b", NOON, "1"), entry("a", NOON + 5, "2"), entry("a", NOON + HOUR, "3")]
    second = [entry("a", NOON + 5, "4"), entry("b", NOON, "5"), entry("a", NOON, "6"), entry("b", NOON - HOUR, "7")]
    third = [entry("a", NOON + 5, "8"), entry("b", NOON + HOUR, "9")]
    store = filled(tmp_path, first, second, third)
    store.compact()
    (block,) = blocks_of(store)
    assert lines(block.path) == [b"7", b"6", b"2", b"4", b"8", b"1", b"5", b"3", b"9"]
    assert read_footer(block.path).spans.rows.tolist() == [1, 3, 1, 2, 1, 1]
    store.close()


def test_row_groups_are_cut_as_in_a_flush(tmp_path: Path) -> None:
    options = quiet(row_group_rows=4, row_group_size=10)
    store = filled(
        tmp_path, *([entry("a", NOON + n, f"{n}") for n in range(at, 24, 3)] for at in range(3)), options=options
    )
    stored(store, [entry("b", NOON, "x" * size) for size in (3, 8, 30, 1, 1)])
    store.flush()
    store.compact()
    (block,) = blocks_of(store)
    file = pq.ParquetFile(block.path)
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)][:7] == [4, 4, 4, 4, 4, 4, 1]
    for at in range(file.num_row_groups):
        held = [len(line) for line in file.read_row_group(at).column("line").to_pylist()]
        assert len(held) == 1 or sum(held) <= 10
    store.close()


def test_the_footer_says_what_the_block_is_made_of(tmp_path: Path) -> None:
    store = filled(
        tmp_path, [entry("a", NOON, "1")], [entry("b", NOON, "2"), entry("a", NOON + DAY, "x")], [entry("a", NOON, "3")]
    )
    sources = [block for block in blocks_of(store) if block.day == NOON // DAY]
    store.compact()
    made, other = sorted(blocks_of(store), key=lambda block: block.day)
    footer = read_footer(made.path)
    assert footer.generation == sources[-1].generation == made.generation
    assert footer.sources == tuple(block.path.stem for block in sources)
    assert footer.streams == ((("app", "a"),), (("app", "b"),))
    assert footer.rows == made.rows == 3
    assert footer.origins == (OriginRange(footer.origins[0].origin, 1, 3),)
    assert other.compacted
    assert other.rows == 1
    store.close()


def test_ranges_of_records_are_joined_only_where_they_touch(tmp_path: Path) -> None:
    store = start(tmp_path, OPTIONS)
    for number in range(3):
        stored(store, [entry("a", NOON + number, "1")])
        if number == 1:
            stored(store, [entry("a", NOON, "of another")], tenant="u")
        store.flush()
    store.compact()
    (made,) = blocks_of(store)
    assert [(one.first, one.last) for one in made.origins] == [(1, 2), (4, 4)]
    store.close()


def test_sources_of_sources_are_listed_while_their_files_are_there(tmp_path: Path) -> None:
    store = filled(tmp_path, [entry("a", NOON, "1")], [entry("a", NOON + 1, "2")])
    old = [block.path for block in blocks_of(store)]
    lease = store._leases.begin()
    store.compact()
    middle = blocks_of(store)[0].path
    stored(store, [entry("a", NOON + 2, "3")])
    store.flush()
    added = blocks_of(store)[1].path
    store.compact()
    assert all(path.exists() for path in old)
    assert read_footer(blocks_of(store)[0].path).sources == tuple(path.stem for path in (middle, added, *old))
    del lease
    store._leases.sweep()
    stored(store, [entry("a", NOON + 3, "4")])
    store.flush()
    newest = [block.path.stem for block in blocks_of(store)]
    store.compact()
    assert read_footer(blocks_of(store)[0].path).sources == tuple(newest)
    assert [path.name for path in tmp_path.rglob("*.parquet")] == [blocks_of(store)[0].path.name]
    store.close()


def test_a_repeat_goes_and_what_only_looks_like_one_stays(tmp_path: Path) -> None:
    first = [entry("a", NOON, "same", trace="1"), entry("a", NOON + 1, "x")]
    again = [
        entry("a", NOON, "same", trace="1"),
        entry("a", NOON, "same", trace="2"),
        entry("a", NOON, "same"),
        entry("a", NOON, "sama", trace="1"),
        entry("b", NOON, "same", trace="1"),
        entry("a", NOON + 2, "same", trace="1"),
    ]
    store = filled(tmp_path, first, again, again)
    expected = read(store)
    assert expected == in_order([*first, *again[1:]])
    told: list[Compacted] = []
    store.compact(told.append)
    assert read(store) == expected
    assert sum(block.rows for block in blocks_of(store)) == len(expected)
    assert store.figures().counters.compaction.repeated_rows == 1 + len(again)
    assert len(told) == 1
    store.close()


def test_repeats_are_compared_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "COMPARED_BYTES", 10)
    rows = [entry("a", NOON + n // 3, f"line {n}", trace=str(n)) for n in range(30)]
    store = filled(tmp_path, rows, rows[::2], rows)
    store.compact()
    assert read(store) == rows
    assert sum(block.rows for block in blocks_of(store)) == len(rows)
    store.close()


def test_one_time_may_span_row_groups_of_several_sources(tmp_path: Path) -> None:
    parts = [[entry("a", NOON, f"{at}-{n:02}") for n in range(11)] for at in range(3)]
    store = filled(tmp_path, *parts, parts[1])
    expected = read(store)
    store.compact()
    assert read(store) == expected == [row for part in parts for row in part]
    assert sum(block.rows for block in blocks_of(store)) == 33
    store.close()


@pytest.mark.parametrize(("name", "most"), [("MAX_EQUAL", 8), ("MAX_COMPARED", 20)])
def test_too_many_rows_of_one_time_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(order, name, most)
    rows = [entry("a", NOON, f"{n:02}") for n in range(20)]
    store = filled(tmp_path, rows, [*rows[:12], entry("a", NOON, "new")])
    with pytest.raises(CannotJoin) as told:
        merge(tmp_path / "x.tmp", merging(store))
    assert told.value.blocks == blocks_of(store)
    problems = store.compact()  # each is written anew by itself, and then it is tried once more
    assert ["they are not joined until the next start" in problem for problem in problems] == [True] * 2
    assert [block.compacted for block in blocks_of(store)] == [True, True]
    assert len(blocks_of(store)) == 2
    assert len(read(store)) == 21
    store.close()


@pytest.mark.parametrize(("name", "most"), [("MAX_EQUAL", 8), ("MAX_COMPARED", 20)])
def test_other_blocks_of_the_day_are_joined_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(order, name, most)
    many = [entry("a", NOON, f"{n:02}") for n in range(20)]
    few = [[entry("b", NOON + n, "few")] for n in range(6)]
    store = filled(tmp_path, *few[:3], many, [*many[:12], entry("a", NOON, "new")], *few[3:])
    expected = read(store)
    store.compact()
    assert len(blocks_of(store)) <= 4
    assert sum(block.rows for block in blocks_of(store)) == len(expected) + 12
    assert read(store) == expected
    assert store.to_compact() == []
    store.close()


def test_many_rows_of_one_time_in_one_block_are_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MAX_EQUAL", 8)
    many = [entry("a", NOON, f"{n:02}") for n in range(23)]
    others = [entry("a", NOON + n, "same") for n in (-1, 1)]
    store = filled(tmp_path, others, [others[0], *many, others[1]], [*others, entry("b", NOON, "b")])
    expected = read(store)
    assert store.compact() == []
    assert [block.rows for block in blocks_of(store)] == [26]
    assert read(store) == expected
    store.close()


def many_keys(first: int, count: int) -> dict[str, str]:
    return {f"k{number:03}": f"v{number}" for number in range(first, first + count)}


def test_the_most_frequent_keys_have_columns_and_the_rest_share_one(tmp_path: Path) -> None:
    rows = [entry("a", NOON + n, f"{n}", **many_keys(n, 60)) for n in range(40)]
    store = filled(tmp_path, rows[:20], rows[20:])
    expected = read(store)
    store.compact()
    (block,) = blocks_of(store)
    assert read(store) == expected == rows
    footer = read_footer(block.path)
    held = {key: sum(key in dict(row[3]) for row in rows) for row in rows for key, _ in row[3]}
    chosen = sorted(held, key=lambda key: (-held[key], key))[:MAX_COLUMNS]
    assert footer.columns == tuple(sorted(chosen))
    assert "meta" in pq.read_schema(block.path).names
    store.close()


def test_a_key_has_a_dictionary_where_most_rows_came_with_one(tmp_path: Path) -> None:
    alike = [entry("a", NOON + n, f"{n}", level="info", trace=str(n)) for n in range(20)]
    few = [entry("a", NOON + 100 + n, f"{n}", level=str(n), trace="1") for n in range(5)]
    store = filled(tmp_path, alike, few)
    store.compact()
    schema = pq.read_schema(blocks_of(store)[0].path)
    assert str(schema.field("meta.level").type).startswith("dictionary")
    assert str(schema.field("meta.trace").type) == "large_string"
    assert read(store) == [*alike, *few]
    store.close()


def deleting(store: Store, generation: int, **more: Any) -> Tombstone:
    table = store._state.tenants["t"].table
    wanted = np.array([labels == (("app", "a"),) for labels in table])
    return replace(Tombstone("d", wanted, NOON, NOON + 2, generation), **more)


def test_what_was_deleted_and_has_expired_is_left_out(tmp_path: Path) -> None:
    first = [entry(app, NOON + n, f"{app}{n}") for app in "ab" for n in range(4)]
    store = filled(tmp_path, first, [entry("a", NOON, "later"), entry("b", NOON + 9, "b9")])
    one, two = blocks_of(store)
    floor = np.array(
        [NOON - 1, NOON + 2] if store._state.tenants["t"].table[0] == (("app", "a"),) else [NOON + 2, NOON - 1]
    )
    found = merge(tmp_path / "x.tmp", merging(store, tombstones=[deleting(store, one.generation)], floor=floor))
    assert lines(tmp_path / "x.tmp") == [b"later", b"a2", b"a3", b"b2", b"b3", b"b9"]
    assert (found.deleted, found.expired, found.repeated) == (2, 2, 0)
    assert found.written is not None
    assert found.written.footer.deletes == ("d",)
    assert found.sources == (one, two)
    store.close()


def test_a_delete_that_chooses_by_line_takes_those_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, [entry("a", NOON + n % 3, f"{n}") for n in range(9)], [entry("a", NOON + 1, "9")])
    chosen = deleting(
        store, 99, chooses=lambda batch: np.array([line in (b"3", b"4", b"5") for line in batch.lines.tolist()])
    )
    found = merge(tmp_path / "x.tmp", merging(store, tombstones=[chosen]))
    assert lines(tmp_path / "x.tmp") == [b"0", b"6", b"1", b"7", b"9", b"2", b"5", b"8"]
    assert found.deleted == 2  # 5 is past its end
    store.close()


def test_a_deleted_row_does_not_make_a_later_one_a_repeat(tmp_path: Path) -> None:
    row = entry("a", NOON, "x")
    store = filled(tmp_path, [row], [row])
    merge(tmp_path / "x.tmp", merging(store, tombstones=[deleting(store, blocks_of(store)[0].generation)]))
    assert lines(tmp_path / "x.tmp") == [b"x"]
    store.close()


def test_nothing_left_is_no_block(tmp_path: Path) -> None:
    store = filled(tmp_path, [entry("a", NOON, "x")], [entry("a", NOON + 1, "y")])
    found = merge(tmp_path / "x.tmp", merging(store, tombstones=[deleting(store, 99)]))
    assert found.written is None
    assert found.deleted == 2
    store.close()


def test_a_stream_without_rows_is_not_in_the_footer(tmp_path: Path) -> None:
    store = filled(tmp_path, [entry("a", NOON, "x"), entry("b", NOON, "y")], [entry("c", NOON, "z")])
    found = merge(tmp_path / "x.tmp", merging(store, tombstones=[deleting(store, 99)]))
    assert found.written is not None
    assert found.written.footer.streams == ((("app", "b"),), (("app", "c"),))
    store.close()


@pytest.mark.parametrize("at", [200, -400], ids=["page", "footer"])
def test_a_damaged_source_is_named(tmp_path: Path, at: int) -> None:
    store = filled(tmp_path, [entry("a", NOON, "x" * 500)], [entry("a", NOON + 1, "y")])
    path = blocks_of(store)[0].path
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableSource, match=path.name) as found:
        merge(tmp_path / "x.tmp", merging(store))
    assert found.value.block.path == found.value.path == path
    store.close()


def test_what_was_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, [entry("a", NOON, "x" * 400)], [entry("a", NOON + 1, "y" * 400)])
    real = CheckedWriter.finish

    def damaged(self: CheckedWriter, *args: Any) -> Any:
        written = real(self, *args)
        with self._path.open("r+b") as file:
            file.seek(250)
            file.write(b"\x00\x00\x00\x00")
        return written

    monkeypatch.setattr(CheckedWriter, "finish", damaged)
    with pytest.raises(CorruptBlock, match=r"x\.tmp"):
        merge(tmp_path / "x.tmp", merging(store))
    store.close()


def test_sources_that_hold_much_metadata_are_taken_two_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.compact.merge.HELD_METADATA", 100)
    rows = [[entry("a", NOON + n, "x", trace="t" * 40)] for n in range(5)]
    store = filled(tmp_path, *rows)
    told: list[int] = []
    store.compact(lambda done: told.append(len(done.job.sources)))
    assert told == [2, 2, 2, 2]
    assert read(store) == [row for part in rows for row in part]
    store.close()
