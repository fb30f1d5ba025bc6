from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from storage.catalog import Catalog, file_checksum, listed_blocks, open_database, remove_index
from storage.errors import CorruptCatalog, StorageError
from tests.storage.entries import DAY, NOON, Entry, entry, put, quiet, read, start, stored

ENTRIES: list[Entry] = [entry("a", NOON), entry("b", NOON + DAY, "x", trace="1"), entry("a", NOON + DAY, "y")]


def filled(data_dir: Path) -> Path:
    """A data directory with two blocks."""
    store = start(data_dir)
    put(store, ENTRIES)
    store.flush()
    store.close()
    return data_dir


def contents(data_dir: Path) -> tuple[list[object], list[object]]:
    """Everything in index.db, as rows."""
    with sqlite3.connect(data_dir / "index.db") as db:
        found = tuple(list(db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")) for table in ("streams", "blocks"))
    db.close()
    return found[0], found[1]


def test_the_catalog_says_what_the_footers_say(tmp_path: Path) -> None:
    catalog = Catalog(filled(tmp_path))
    rows = list(catalog.blocks())
    assert sorted(row.day for row in rows) == [20_000, 20_001]
    assert sum(row.rows for row in rows) == 3
    for row in rows:
        assert file_checksum(tmp_path / row.path) == (row.size, row.crc)
        assert row.stream_min.min() // DAY == row.stream_max.max() // DAY == row.day
    assert {labels for _, _, labels in catalog.streams()} == {(("app", "a"),), (("app", "b"),)}
    catalog.close()
    assert listed_blocks(tmp_path) == {row.path: row.crc for row in rows}


@pytest.mark.parametrize("loss", ["gone", "empty", "not a database", "another version"])
def test_a_lost_index_is_made_anew_from_the_blocks(tmp_path: Path, loss: str) -> None:
    before = contents(filled(tmp_path))
    if loss == "another version":
        with sqlite3.connect(tmp_path / "index.db") as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        remove_index(tmp_path)
        if loss != "gone":
            (tmp_path / "index.db").write_bytes(b"" if loss == "empty" else b"rubbish" * 1000)
    store = start(tmp_path)
    assert sorted(read(store)) == sorted(ENTRIES)
    store.close()
    assert contents(tmp_path) == before


def test_a_block_whose_file_is_gone_is_forgotten_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = min((filled(tmp_path) / "blocks").glob("*/*/*.parquet"))
    lost.unlink()
    store = start(tmp_path)
    assert sorted(read(store)) == sorted(row for row in ENTRIES if row[1] >= NOON + DAY)
    store.close()
    assert lost.name in caplog.text
    assert "lost" in caplog.text


def test_temporary_files_go_and_damaged_blocks_are_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    block = min((filled(tmp_path) / "blocks").glob("*/*/*.parquet"))
    block.with_name("00000000000000000000000000.tmp").write_bytes(b"half")
    block.with_name("00000000000000000000000001.parquet").write_bytes(b"no block")
    store = start(tmp_path)
    assert sorted(read(store)) == sorted(ENTRIES)
    store.close()
    assert not list(tmp_path.rglob("*.tmp"))
    assert "00000000000000000000000001.parquet" in caplog.text


def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as found:
        open_database(tmp_path / "no-such-folder" / "index.db", "", 1)
    assert not isinstance(found.value, CorruptCatalog)


def test_a_file_that_a_listed_block_replaces_goes_and_is_not_listed_again(tmp_path: Path) -> None:
    """As a crash leaves it: the catalog has the new block in the old one's place, whose file is still there."""
    store = start(filled(tmp_path), quiet())
    stored(store, [entry("a", NOON + 1, "later")])
    store.flush()
    old = {path: path.read_bytes() for path in tmp_path.glob("blocks/t/*/*.parquet")}
    expected = read(store)
    store.compact()
    store.close()
    new = set(tmp_path.glob("blocks/t/*/*.parquet"))
    replaced = old.keys() - new
    assert replaced
    for path in replaced:
        path.write_bytes(old[path])
    for _ in range(2):
        store = start(tmp_path)
        assert read(store) == expected
        assert set(tmp_path.glob("blocks/t/*/*.parquet")) == new
        store.close()
        assert {tmp_path / path for path in listed_blocks(tmp_path)} == new


def test_streams_are_put_in_once_and_again_if_they_did_not_stay(tmp_path: Path) -> None:
    store = start(tmp_path)
    catalog = store._catalog
    tried: list[int] = []

    def flushed(*entries: Entry) -> None:
        stored(store, list(entries))
        before = catalog._db.total_changes
        store.flush()
        tried.append(catalog._db.total_changes - before)

    catalog._db.execute("PRAGMA query_only = 1")
    flushed(entry("a", NOON))
    catalog._db.execute("PRAGMA query_only = 0")
    flushed(entry("a", NOON + 1), entry("b", NOON))
    flushed(entry("b", NOON + 1), entry("a", NOON + 2))
    flushed(entry("c", NOON), entry("b", NOON + 2))
    assert tried == [0, 3, 1, 2]  # rows of streams and blocks
    store.close()
    assert {labels for _, labels, _ in read_streams(tmp_path)} == {"a", "b", "c"}


def read_streams(data_dir: Path) -> list[tuple[str, str, int]]:
    """Of each stream of index.db tenant, app and id."""
    catalog = Catalog(data_dir)
    found = [(tenant, dict(labels)["app"], number) for tenant, number, labels in catalog.streams()]
    catalog.close()
    return found
