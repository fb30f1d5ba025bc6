"""`weir compact`: the blocks of a stopped server."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from storage import open_store
from tests.gateway.weir_command import weir
from tests.storage.entries import DAY, NOON, entry, quiet, read, start, stored

ROWS = [entry("a", NOON + day * DAY + n, f"line {day} {n}") for day in range(2) for n in range(3)]


def filled(folder: Path) -> None:
    store = start(folder)
    for row in ROWS[:-1]:
        stored(store, [row])
        store.flush()
    stored(store, ROWS[-1:])  # still in the log
    store.close()


def test_every_day_becomes_one_block(tmp_path: Path) -> None:
    filled(tmp_path)
    done = weir("compact", "--data-dir", str(tmp_path), "--set", "wal.reserve=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 blocks became 2: ")
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    again = weir("compact", "--data-dir", str(tmp_path), "--set", "wal.reserve=0")
    assert again.stdout.startswith("0 blocks became 0: ")
    store = open_store(tmp_path, quiet())
    assert read(store) == ROWS
    store.close()


def test_a_block_that_cannot_be_read_is_named_and_the_rest_is_compacted(tmp_path: Path) -> None:
    filled(tmp_path)
    damaged = min(tmp_path.rglob("*.parquet"))
    data = bytearray(damaged.read_bytes())
    lines = pq.read_metadata(damaged).row_group(0).column(2)
    data[lines.data_page_offset + lines.total_compressed_size - 1] ^= 0xFF
    damaged.write_bytes(data)
    done = weir("compact", "--data-dir", str(tmp_path), "--set", "wal.reserve=0")
    assert done.returncode == 1
    assert damaged.name in done.stderr
    assert "cannot be compacted stay as they are: 1" in done.stderr
    assert len(list(tmp_path.rglob("*.parquet"))) == 3


def test_a_directory_that_a_server_uses_is_left_alone(tmp_path: Path) -> None:
    store = start(tmp_path)
    done = weir("compact", "--data-dir", str(tmp_path))
    store.close()
    assert done.returncode == 1
    assert done.stdout == ""
    missing = weir("compact", "--data-dir", str(tmp_path / "missing"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no data directory" in missing.stderr
