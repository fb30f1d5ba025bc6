from __future__ import annotations

import errno
import threading
from pathlib import Path

import msgpack
import pytest

from storage.errors import StorageUnavailable
from storage.figures import Counters
from storage.record import Request, Section, decode
from storage.segment import Kind, scan_segment, write_all
from storage.streams import StreamTable
from storage.wal import SyncMode
from tests.storage.entries import entry
from tests.storage.logs import ORIGIN, Faults, lines_of, open_log, records_of, section_of

MODES = [SyncMode.COMMIT, SyncMode.INTERVAL, SyncMode.OFF]


def named(folder: Path) -> list[list[int]]:
    """Per record, the stream numbers whose labels it tells."""
    return [
        [number for section in decode(record.body) for number, _ in section.new_streams]
        for record in records_of(folder)
        if record.kind is not Kind.GAP
    ]


@pytest.mark.parametrize("mode", MODES)
def test_records_are_numbered_in_order_and_read_back(tmp_path: Path, mode: SyncMode) -> None:
    table = StreamTable()
    log = open_log(tmp_path, mode)
    assert [log.append([section_of(table, [entry("a", n, f"{n}")])]) for n in range(3)] == [1, 2, 3]
    log.close()
    assert lines_of(tmp_path) == [b"0", b"1", b"2"]
    assert [record.seq for record in records_of(tmp_path)] == [1, 2, 3]


def test_labels_stand_in_two_records_of_each_segment_that_uses_them(tmp_path: Path) -> None:
    table = StreamTable()
    log = open_log(tmp_path)
    for app in ("a", "a", "b", "a", "c"):
        log.append([section_of(table, [entry(app, 1)])])
    log.rotate()
    log.append([section_of(table, [entry("b", 1)])])
    log.close()
    assert named(tmp_path) == [[0], [0], [1], [1], [2], [1]]


def test_labels_of_a_tenant_are_told_again_in_a_record_of_another(tmp_path: Path) -> None:
    one, two = StreamTable(), StreamTable()
    log = open_log(tmp_path)
    log.append([section_of(one, [entry("a", 1)], "one")])
    log.append([section_of(two, [entry("b", 1)], "two")])
    log.close()
    sections = decode(records_of(tmp_path)[1].body)
    assert {section.tenant: [labels for _, labels in section.new_streams] for section in sections} == {
        "one": [(("app", "a"),)],
        "two": [(("app", "b"),)],
    }


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_size=100)
    for n in range(3):
        log.append([section_of(StreamTable(), [entry("a", n)])])
    log.close()
    headers = [scan_segment(path, ORIGIN)[0] for path in sorted(tmp_path.glob("*.wal"))]
    assert [(header.number, header.first_seq) for header in headers if header] == [(1, 1), (2, 2), (3, 3)]


def test_the_number_of_a_segment_is_never_used_twice(tmp_path: Path) -> None:
    log = open_log(tmp_path, next_segment=5, next_seq=9)
    log.append([section_of(StreamTable(), [entry("a", 1)])])
    assert log.segment == 5
    assert log.rotate() == 5
    log.append([section_of(StreamTable(), [entry("a", 2)])])
    assert log.segment == 6
    log.close()


@pytest.mark.parametrize(("mode", "call"), [*((mode, "write") for mode in MODES), (SyncMode.COMMIT, "fdatasync")])
def test_a_failed_record_is_cut_off_and_the_next_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: SyncMode, call: str
) -> None:
    table = StreamTable()
    counters = Counters()
    log = open_log(tmp_path, mode, counters=counters, interval=1e6)
    log.append([section_of(table, [entry("a", 1, "kept")])])
    size = (tmp_path / "000000000001.wal").stat().st_size
    faults = Faults(monkeypatch, call, errno.ENOSPC)
    faults.left = 1
    with pytest.raises(StorageUnavailable, match="full"):
        log.append([section_of(table, [entry("b", 2, "refused")])])
    assert (tmp_path / "000000000001.wal").stat().st_size == size
    assert log.append([section_of(table, [entry("b", 3, "after")])]) == 3
    log.close()
    assert lines_of(tmp_path) == [b"kept", b"after"]
    assert (counters.wal_failures, counters.wal_disk_full) == (1, 1)
    assert named(tmp_path) == [[0], [1]]


def test_half_a_record_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    log.append([section_of(StreamTable(), [entry("a", 1, "kept")])])

    def half(fd: int, data: bytes) -> None:
        write_all(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr("storage.wal.write_all", half)
        with pytest.raises(StorageUnavailable):
            log.append([section_of(StreamTable(), [entry("a", 2, "refused")])])
    log.close()
    assert lines_of(tmp_path) == [b"kept"]


def test_numbers_given_up_are_on_record_and_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    log.append([section_of(StreamTable(), [entry("a", 1)])])
    faults = Faults(monkeypatch, "fdatasync")
    for _ in range(3):
        faults.left = 1
        with pytest.raises(StorageUnavailable):
            log.append([section_of(StreamTable(), [entry("a", 2)])])
    assert log.append([section_of(StreamTable(), [entry("a", 3)])]) == 5
    log.close()
    found = records_of(tmp_path)
    gaps = [msgpack.unpackb(record.body) for record in found if record.kind is Kind.GAP]
    assert [number for first, last in gaps for number in range(first, last + 1)] == [2, 3, 4]
    assert [record.seq for record in found if record.kind is Kind.ENTRIES] == [1, 5]


def test_a_record_that_cannot_be_made_leaves_a_log_that_replays(tmp_path: Path) -> None:
    table = StreamTable()
    log = open_log(tmp_path)
    log.append([section_of(table, [entry("a", 1, "kept")])])
    poison = section_of(table, [entry("b", 2, "refused")])
    poison = Section(poison.tenant, (), (Request(rows=object()),), poison.batch)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        log.append([poison])
    log.append([section_of(table, [entry("b", 3, "after")])])
    log.close()
    assert lines_of(tmp_path) == [b"kept", b"after"]
    assert named(tmp_path)[-1] == [1]
    assert [msgpack.unpackb(r.body) for r in records_of(tmp_path) if r.kind is Kind.GAP] == [[2, 2]]


@pytest.mark.parametrize("mode", [SyncMode.INTERVAL, SyncMode.OFF])
def test_what_was_acknowledged_before_a_sync_is_never_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: SyncMode
) -> None:
    log = open_log(tmp_path, mode, interval=1e6)
    for n in range(3):
        log.append([section_of(StreamTable(), [entry("a", n, f"{n}")])])
    faults = Faults(monkeypatch, "write", errno.ENOSPC)
    faults.left = 1
    with pytest.raises(StorageUnavailable):
        log.append([section_of(StreamTable(), [entry("a", 9, "refused")])])
    log.close()
    assert lines_of(tmp_path) == [b"0", b"1", b"2"]


def test_a_failed_interval_sync_ends_the_segment_and_keeps_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(monkeypatch, "fdatasync")
    synced = threading.Event()

    class Watched(Counters):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "wal_failures" and value == 1:
                synced.set()

    log = open_log(tmp_path, SyncMode.INTERVAL, interval=0.01, counters=Watched())
    with log._guard:  # the write and the fault come before the next sync
        faults.left = 1
        log._write(Kind.ENTRIES, 1, [section_of(StreamTable(), [entry("a", 1, "acked")])], sync=False)
        log.next_seq = 2
    assert synced.wait(10)
    log.append([section_of(StreamTable(), [entry("a", 2, "next")])])
    assert log.segment == 2
    log.close()
    assert lines_of(tmp_path) == [b"acked", b"next"]


@pytest.mark.parametrize("mode", MODES)
def test_carried_rows_are_synced_in_every_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: SyncMode) -> None:
    log = open_log(tmp_path, mode, interval=1e6)
    faults = Faults(monkeypatch, "fdatasync")
    log.carry([section_of(StreamTable(), [entry("a", 1)])])
    assert faults.calls == 1
    log.close()


def test_a_sync_that_fails_when_a_segment_ends_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path, SyncMode.INTERVAL, interval=1e6)
    log.append([section_of(StreamTable(), [entry("a", 1)])])
    faults = Faults(monkeypatch, "fdatasync")
    faults.left = 1
    with pytest.raises(StorageUnavailable):
        log.rotate()
    log.append([section_of(StreamTable(), [entry("a", 2)])])
    assert log.segment == 2
    log.close()


def test_a_segment_that_cannot_be_opened_leaves_no_file_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    faults = Faults(monkeypatch, "fsync", errno.ENOSPC)
    faults.left = 1
    with pytest.raises(StorageUnavailable):
        log.append([section_of(StreamTable(), [entry("a", 1)])])
    assert list(tmp_path.iterdir()) == []
    assert log.append([section_of(StreamTable(), [entry("a", 2)])]) == 2
    log.close()
    assert len(records_of(tmp_path)) == 2


def test_removal_leaves_a_segment_that_keeps_the_next_number(tmp_path: Path) -> None:
    counters = Counters()
    log = open_log(tmp_path, counters=counters, segment_size=100)
    for n in range(4):
        log.append([section_of(StreamTable(), [entry("a", n)])])
    log.remove(log.rotate())
    (left,) = tmp_path.glob("*.wal")
    header = scan_segment(left, ORIGIN)[0]
    assert header is not None
    assert header.first_seq == 5
    assert counters.wal_segments_removed == 4
    assert log.append([section_of(StreamTable(), [entry("a", 9)])]) == 5
    log.close()
