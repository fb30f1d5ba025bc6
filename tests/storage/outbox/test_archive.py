"""Segments that left the log: what the files are, and that nothing owed is lost whatever fails on their way."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Place, Store
from storage.errors import StorageUnavailable
from storage.outbox.archive import LEVEL, read_index
from storage.record import decode
from storage.segment import Kind, Record, scan_bytes
from tests.storage.entries import NOON, Entry, entry, put, quiet, stored
from tests.storage.outbox.owing import RELAY, files, look, passed, rows_from, start


def push(store: Store, *numbers: int) -> list[tuple[str, Entry]]:
    rows = []
    for number in numbers:
        some = [entry(f"app{n % 2}", NOON + 100 * number + n, f"line {number} {n}", k=str(n)) for n in range(4)]
        stored(store, some)
        rows += [("t", row) for row in some]
    return rows


def no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_archive_file_unpacks_to_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`zstd -d` makes a segment of it, which names all streams it uses; passed records are not in it."""
    monkeypatch.setattr("storage.outbox.archive.FRAME_BYTES", 600)  # frames of a few records
    store = start(tmp_path)
    store.outbox.subscribe(RELAY)
    push(store, *range(6))
    passed(store, Place(2, 1))
    store.flush()
    look(store)
    (path,) = tmp_path.glob("archive/*/*/*/*.zst")
    assert re.fullmatch(r"archive/\d{4}/\d\d/\d\d/000000000001\.wal\.zst", str(path.relative_to(tmp_path)))
    raw = _unpacked(path)
    header, found = scan_bytes(raw, 1, b"")
    assert header is not None
    assert (header.origin, header.number) == (store.origin, 1)
    records = [item for item in found if isinstance(item, Record)]
    assert [record.seq for record in records] == [2, 3, 4, 5, 6]
    assert {record.kind for record in records} == {Kind.ENTRIES}
    index = read_index(path)
    assert [index.marks[at].offset for at in range(5)] == [record.offset for record in records]
    assert len(index.frames) == 2
    for frame in index.frames:  # each names its streams
        first = next(record for record in records if record.offset >= frame.start)
        (section,) = decode(first.body)
        assert {number for number, _ in section.new_streams} == set(np.unique(section.batch.stream).tolist())
    assert LEVEL == 1
    store.close()


def _unpacked(path: Path) -> bytes:
    try:
        return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    except FileNotFoundError:
        import pyarrow as pa

        with pa.input_stream(path, compression="zstd") as file:
            return bytes(file.read())


@pytest.mark.parametrize("call", ["mkdir", "rename"])
def test_a_segment_that_cannot_leave_the_log_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    really: Callable[..., Any] = getattr(os, call)

    def failing(path: Any, *args: Any, **kwargs: Any) -> Any:
        return no_room() if {"archive", "wal"} & set(Path(path).parts) else really(path, *args, **kwargs)

    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing)
        store.flush()
        assert not files(tmp_path)
        assert len(list(tmp_path.glob("wal/*.wal"))) == 2
        rows += push(store, 3)
        store.flush()
    assert rows_from(store, first) == rows
    store.close()
    store = start(tmp_path)
    assert rows_from(store, first) == rows
    store.flush()
    assert len(files(tmp_path)) == 2
    assert len(list(tmp_path.glob("wal/*.wal"))) == 1
    assert rows_from(store, first) == rows
    store.close()


@pytest.mark.parametrize("call", ["fsync", "rename", "statvfs"])
def test_a_segment_that_cannot_be_packed_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    store.flush()
    full = os.statvfs_result((4096, 4096, 1000, 0, 0, 0, 0, 0, 0, 255))
    with monkeypatch.context() as broken:
        if call == "statvfs":
            broken.setattr(os, call, lambda _: full)
            look(store)
        else:
            broken.setattr(os, call, no_room)
            with pytest.raises(OSError, match="space"):
                look(store)
        assert files(tmp_path) == ["000000000001.wal"]
        assert rows_from(store, first) == rows
    store.close()
    store = start(tmp_path)
    assert rows_from(store, first) == rows
    look(store)
    assert files(tmp_path) == ["000000000001.wal.zst"]
    assert rows_from(store, first) == rows
    store.close()


def test_pushes_are_refused_before_anything_owed_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve cannot be had: as long as the disk is full, and not longer."""
    store = start(tmp_path, quiet())
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    store.flush()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_room)
        store._reserve.release()
        store._reserve._tried = float("-inf")
        assert isinstance(put(store, [entry("a", NOON, "refused")]), StorageUnavailable)
        look(store)
        assert rows_from(store, first) == rows
    store._reserve._tried = float("-inf")
    rows += push(store, 3)
    assert rows_from(store, first) == rows
    store.close()


def test_what_a_crash_left_is_put_right(tmp_path: Path) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    store.flush()
    (path,) = tmp_path.glob("archive/*/*/*/*.wal")
    raw = path.read_bytes()
    look(store)
    rows += push(store, 3)
    store.flush()
    store.close()
    path.write_bytes(raw)  # packed, and not removed yet
    path.with_name("000000000009.wal.tmp").write_bytes(b"half a file")
    store = start(tmp_path)
    assert files(tmp_path) == ["000000000001.wal.zst", "000000000002.wal"]
    assert rows_from(store, first) == rows
    assert store.outbox.next_segment == 3
    store.close()


def test_a_segment_in_the_log_and_out_of_it_counts_once(tmp_path: Path) -> None:
    """A power cut may bring back a name that a rename had taken away."""
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    (path,) = tmp_path.glob("wal/*.wal")
    raw = path.read_bytes()
    store.flush()
    store.close()
    path.write_bytes(raw)
    for _ in range(2):
        store = start(tmp_path)
        assert rows_from(store, first) == rows
        assert store.outbox.backlog(first).rows == len(rows)
        store.flush()
        assert not path.exists()
        look(store)
        store.close()


def test_an_index_that_is_damaged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.outbox.archive.FRAME_BYTES", 600)
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, *range(6))
    store.flush()
    look(store)
    store.close()
    (path,) = tmp_path.glob("archive/*/*/*/*.zst")
    before, raw = read_index(path), path.read_bytes()
    for damaged in (raw[:-1], raw[:-40] + b"?" + raw[-39:]):
        path.write_bytes(damaged)
        store = start(tmp_path)
        (segment,) = store.outbox._segments.all()
        assert store.outbox._segments.index(segment).marks.columns() == before.marks.columns()
        assert rows_from(store, first) == rows
        store.close()
    frame = before.frames[1]
    path.write_bytes(raw[: frame.offset + 5] + b"????" + raw[frame.offset + 9 : -1])
    store = start(tmp_path)
    assert rows_from(store, first) == rows[:8]
    store.close()


def test_a_long_backlog_is_packed_and_read_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six megabytes in sixty records: a few of them at most are in memory."""
    monkeypatch.setattr("storage.outbox.archive.FRAME_BYTES", 256 << 10)
    store = start(tmp_path, quiet(segment_size=2 << 20))
    first = store.outbox.subscribe(RELAY)
    for number in range(60):
        stored(store, [entry("a", NOON + 1000 * number + n, os.urandom(500).hex()) for n in range(100)])
    store.flush()
    tracemalloc.start()
    try:
        look(store)
        packing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        place, rows = first, 0
        while (stretch := store.outbox.read(place, 70)).end != place:
            place, rows = stretch.end, rows + stretch.rows
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 60 * 100
    assert max(packing, reading) < 2 << 20
    store.close()
