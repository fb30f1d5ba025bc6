from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import msgpack
import pytest

from storage.batchids import BatchIds
from storage.control import Control
from storage.errors import CorruptSegment
from storage.figures import ReplayFigures
from storage.record import Request, Section, encode
from storage.replay import Log, ReplayProgress, replay
from storage.segment import Kind, Record, SegmentHeader, pack_header, pack_record, segment_name
from storage.state import State
from storage.streams import StreamTable
from tests.storage.entries import DAY, NOON, Entry, entries_of, entry, packed
from tests.storage.logs import ORIGIN, found_in, open_log, section_of

FIRST = segment_name(1)


class Replayed:
    """What a replay of a folder's wal/ gives."""

    def __init__(self, data_dir: Path, ids: BatchIds) -> None:
        self.state = State()
        self.figures = ReplayFigures()
        self.log: Log = replay(data_dir / "wal", ORIGIN, self.state, ids, self.figures)

    def entries(self, tenant: str = "t") -> list[Entry]:
        return [row for run in self.state.tenant(tenant).view.memory for row in entries_of(run.batch)]

    def lines(self, tenant: str = "t") -> list[bytes]:
        return [row[2] for row in self.entries(tenant)]


@pytest.fixture
def ids(tmp_path: Path) -> Iterator[BatchIds]:
    control = Control(tmp_path)
    yield BatchIds(control)
    control.close()


def write(data_dir: Path, groups: Sequence[Sequence[Entry]], tenant: str = "t") -> Path:
    """A log with a record a group; returns its first segment."""
    table = StreamTable()
    log = open_log(data_dir / "wal")
    for group in groups:
        log.append([section_of(table, group, tenant)])
    log.close()
    return data_dir / "wal" / FIRST


def offsets(path: Path) -> list[int]:
    return [item.offset for item in found_in(path) if isinstance(item, Record)]


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(raw)


GROUPS = [
    [entry("a", NOON, "one", trace="1"), entry("b", NOON + 1, "two")],
    [entry("c", NOON + 2, "three"), entry("d", NOON + 3, "four")],
    [entry("c", NOON + 4, "five"), entry("a", NOON + 5, "six")],
    [entry("d", NOON + 6, "seven")],
]
ROWS = [row for group in GROUPS for row in group]


def test_all_entries_come_back_in_order_of_arrival(tmp_path: Path, ids: BatchIds) -> None:
    write(tmp_path, GROUPS)
    found = Replayed(tmp_path, ids)
    assert found.entries() == ROWS
    assert found.log == Log(next_segment=2, next_seq=5, gaps=())
    assert (found.figures.segments, found.figures.records, found.figures.entries) == (1, 4, len(ROWS))
    assert found.figures.bytes == sum(len(row[2]) for row in ROWS)
    assert found.state.tenant("t").table.active(NOON, NOON + 10).tolist() == [0, 1, 2, 3]


def test_an_empty_folder_starts_at_one(tmp_path: Path, ids: BatchIds) -> None:
    (tmp_path / "wal").mkdir()
    assert Replayed(tmp_path, ids).log == Log(next_segment=1, next_seq=1, gaps=())


def test_a_tail_cut_at_any_byte_of_the_last_record_costs_that_record_alone(tmp_path: Path, ids: BatchIds) -> None:
    path = write(tmp_path, GROUPS)
    whole = path.read_bytes()
    start = offsets(path)[-1]
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        found = Replayed(tmp_path, ids)
        assert found.entries() == ROWS[:-1]
        assert found.figures.torn_tails == (end > start)
        assert found.figures.bad_records == 0
        assert path.stat().st_size == start
        assert found.log.next_seq == 4
    assert not (tmp_path / "quarantine").exists()


def test_a_flipped_byte_anywhere_in_a_middle_record_sets_it_aside_and_all_others_load(
    tmp_path: Path, ids: BatchIds, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, GROUPS)
    whole = path.read_bytes()
    _, start, end, _ = offsets(path)
    for at in range(start, end):
        path.write_bytes(whole)
        flip(path, at)
        damaged = path.read_bytes()
        found = Replayed(tmp_path, ids)
        # `c` and `d` were named first in the damaged record; their later rows load all the same
        assert found.entries() == GROUPS[0] + GROUPS[2] + GROUPS[3]
        assert (found.figures.bad_records, found.figures.torn_tails) == (1, 0)
        assert found.figures.set_aside_bytes == end - start
        (aside,) = (tmp_path / "quarantine").iterdir()
        assert aside.name == f"000000000001-{start}.bin"
        assert aside.read_bytes() == damaged[start:end]
        assert found.log.next_seq == 5
    assert f"{FIRST}: bytes {start} to {end}" in caplog.text


@pytest.mark.parametrize("at", [0, 7, 10, 30, 41])
def test_a_damaged_header_is_set_aside_and_all_records_load(tmp_path: Path, ids: BatchIds, at: int) -> None:
    path = write(tmp_path, GROUPS)
    flip(path, at)
    found = Replayed(tmp_path, ids)
    assert found.entries() == ROWS
    assert (tmp_path / "quarantine" / "000000000001-0.bin").stat().st_size == 64


def test_damage_at_the_end_of_an_older_segment_is_set_aside_and_not_cut(tmp_path: Path, ids: BatchIds) -> None:
    log = open_log(tmp_path / "wal", segment_size=1)
    table = StreamTable()
    for group in GROUPS:
        log.append([section_of(table, group)])
    log.close()
    path = tmp_path / "wal" / segment_name(2)
    size = path.stat().st_size
    flip(path, size - 1)
    found = Replayed(tmp_path, ids)
    assert found.entries() == GROUPS[0] + GROUPS[2] + GROUPS[3]
    assert (found.figures.bad_records, found.figures.torn_tails) == (1, 0)
    assert path.stat().st_size == size
    assert (tmp_path / "quarantine" / "000000000002-64.bin").exists()


def test_a_line_that_holds_the_bytes_of_a_record_is_a_line(tmp_path: Path, ids: BatchIds) -> None:
    (tmp_path / "other").mkdir()
    inside = write(tmp_path / "other", GROUPS).read_bytes()
    rows = [[entry("a", NOON, b"first")], [entry("a", NOON + 1, inside)], [entry("a", NOON + 2, b"last")]]
    path = write(tmp_path, rows)
    assert Replayed(tmp_path, ids).lines() == [b"first", inside, b"last"]
    flip(path, offsets(path)[1] + 45)  # a reader now searches the line for the next record
    assert Replayed(tmp_path, ids).lines() == [b"first", b"last"]


def test_a_log_of_version_1_is_read(tmp_path: Path, ids: BatchIds) -> None:
    path = write(tmp_path, GROUPS)
    now = Replayed(tmp_path, ids).lines()
    raw = path.read_bytes()
    header = bytearray(raw[:64])
    assert header[7] == 2
    header[7] = 1
    header[40:44] = google_crc32c.value(bytes(header[:40])).to_bytes(4, "little")
    path.write_bytes(bytes(header) + raw[64:])
    assert Replayed(tmp_path, ids).lines() == now != []


@pytest.mark.parametrize("lines", [3, 500])
def test_lines_that_came_packed_are_there_again(tmp_path: Path, ids: BatchIds, lines: int) -> None:
    rows = [entry("a", NOON + n, f"line {n} " + "x" * 40) for n in range(lines)]
    table = StreamTable()
    section = section_of(table, rows)
    batch = packed(section.batch, [b"before", b"", b"the next one"])
    log = open_log(tmp_path / "wal")
    log.append([replace(section, batch=batch)])
    log.append([section_of(table, [entry("a", 2 * NOON, "after")])])
    log.close()
    assert batch.lines.packed is not None
    assert batch.lines.packed.block in (tmp_path / "wal" / FIRST).read_bytes()
    assert Replayed(tmp_path, ids).entries() == [*rows, entry("a", 2 * NOON, "after")]


def test_another_version_stops_the_start(tmp_path: Path, ids: BatchIds) -> None:
    path = write(tmp_path, GROUPS)
    raw = bytearray(path.read_bytes())
    header = bytearray(pack_header(SegmentHeader(ORIGIN, 1, 1)))
    header[7] = 3
    header[40:44] = google_crc32c.value(bytes(header[:40])).to_bytes(4, "little")
    path.write_bytes(bytes(header) + raw[64:])
    with pytest.raises(CorruptSegment, match="version 3"):
        Replayed(tmp_path, ids)
    assert path.read_bytes() == bytes(header) + raw[64:]


# -- tenants, sections


def test_a_section_that_cannot_be_loaded_takes_no_other_tenant_with_it(
    tmp_path: Path, ids: BatchIds, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    one, two = StreamTable(), StreamTable()
    log = open_log(tmp_path / "wal")
    log.append([section_of(one, [entry("a", NOON, "a1")], "one")])
    log.append([section_of(two, [entry("b", NOON, "b1")], "two")])  # names `a` of one again
    log.append([section_of(one, [entry("a", NOON + 1, "a2")], "one"), section_of(two, [entry("b", 5, "b2")], "two")])
    log.close()
    path = tmp_path / "wal" / FIRST
    for start in offsets(path)[:2]:
        flip(path, start + 20)
    found = Replayed(tmp_path, ids)
    # both records that name `a` are gone, and so is its row in the third; `b` is named there again
    assert found.lines("one") == []
    assert found.lines("two") == [b"b2"]
    assert "labels of 1 streams of 'one'" in caplog.text
    assert found.figures.bad_records == 2


def test_labels_of_another_segment_mean_nothing(tmp_path: Path, ids: BatchIds) -> None:
    log = open_log(tmp_path / "wal", segment_size=1)
    log.append([section_of(StreamTable(), [entry("a", NOON, "first")])])
    log.append([section_of(StreamTable(), [entry("b", NOON, "second")])])  # number 0 again, another process
    log.close()
    assert Replayed(tmp_path, ids).entries() == [entry("a", NOON, "first"), entry("b", NOON, "second")]


# -- numbers


def test_numbers_go_on_from_headers_gaps_and_records(tmp_path: Path, ids: BatchIds) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    header = SegmentHeader(ORIGIN, 3, 40)
    (folder / segment_name(3)).write_bytes(pack_header(header))
    assert Replayed(tmp_path, ids).log == Log(4, 40, ())
    gap = pack_record(header, 64, Kind.GAP, 0, msgpack.packb([41, 57]))
    (folder / segment_name(3)).write_bytes(pack_header(header) + gap)
    assert Replayed(tmp_path, ids).log == Log(4, 58, ((41, 57),))


def test_a_record_that_was_given_up_but_not_cut_off_is_not_loaded(tmp_path: Path, ids: BatchIds) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    table = StreamTable()
    refused = replace(section_of(table, [entry("a", NOON, "refused")]), new_streams=((0, (("app", "a"),)),))
    refused = replace(refused, requests=(Request(1, b"i" * 16, b"d" * 16),))
    again = replace(section_of(table, [entry("a", NOON, "refused")]), new_streams=((0, (("app", "a"),)),))
    first, second = SegmentHeader(ORIGIN, 1, 1), SegmentHeader(ORIGIN, 2, 2)
    (folder / segment_name(1)).write_bytes(
        pack_header(first) + pack_record(first, 64, Kind.ENTRIES, 1, encode([refused]))
    )
    gap = pack_record(second, 64, Kind.GAP, 0, msgpack.packb([1, 1]))
    stored = pack_record(second, 64 + len(gap), Kind.ENTRIES, 2, encode([again]))
    (folder / segment_name(2)).write_bytes(pack_header(second) + gap)
    found = Replayed(tmp_path, ids)
    assert found.entries() == []
    assert ids.digest_of("t", b"i" * 16) is None  # its sender was refused and may send it again
    (folder / segment_name(2)).write_bytes(pack_header(second) + gap + stored)
    assert Replayed(tmp_path, ids).lines() == [b"refused"]  # once, not twice


# -- carried rows


def carried(table: StreamTable, entries: Sequence[Entry], first: int, last: int) -> Section:
    return replace(section_of(table, entries), covers=((first, last),))


def test_carried_rows_replace_the_records_they_repeat(tmp_path: Path, ids: BatchIds) -> None:
    table = StreamTable()
    log = open_log(tmp_path / "wal")
    for group in GROUPS[:3]:
        log.append([section_of(table, group)])
    log.rotate()
    log.append([section_of(table, GROUPS[3])])
    log.carry([carried(table, [row for group in GROUPS[:3] for row in group], 1, 3)])
    log.close()
    assert Replayed(tmp_path, ids).entries() == ROWS  # a crash before the old segment went
    (tmp_path / "wal" / FIRST).unlink()
    found = Replayed(tmp_path, ids)  # and after; the carried rows keep their place before record 4
    assert found.entries() == ROWS
    assert found.log.next_seq == 5


def test_of_carried_sections_the_widest_counts_and_of_equals_the_last(tmp_path: Path, ids: BatchIds) -> None:
    table = StreamTable()
    log = open_log(tmp_path / "wal")
    log.append([section_of(table, GROUPS[0])])
    log.append([section_of(table, GROUPS[1])])
    log.carry([carried(table, GROUPS[0], 1, 1)])
    log.carry([carried(table, GROUPS[0] + GROUPS[1], 1, 2)])
    log.carry([carried(table, GROUPS[0] + GROUPS[1], 1, 2)])
    log.close()
    found = Replayed(tmp_path, ids)
    assert found.entries() == GROUPS[0] + GROUPS[1]
    assert found.figures.skipped_entries == 4 + 2 + 4


def test_carried_rows_hide_only_their_own_tenant(tmp_path: Path, ids: BatchIds) -> None:
    one, two = StreamTable(), StreamTable()
    log = open_log(tmp_path / "wal")
    log.append([section_of(one, [entry("a", 1, "a1")], "one"), section_of(two, [entry("b", 1, "b1")], "two")])
    log.carry([replace(section_of(one, [entry("a", 1, "a1")], "one"), covers=((1, 1),))])
    log.close()
    found = Replayed(tmp_path, ids)
    assert (found.lines("one"), found.lines("two")) == ([b"a1"], [b"b1"])


def test_a_damaged_carried_record_leaves_the_records_it_repeats(tmp_path: Path, ids: BatchIds) -> None:
    table = StreamTable()
    log = open_log(tmp_path / "wal")
    log.append([section_of(table, GROUPS[0])])
    log.carry([carried(table, GROUPS[0], 1, 1)])
    log.append([section_of(table, GROUPS[1])])
    log.close()
    path = tmp_path / "wal" / FIRST
    flip(path, offsets(path)[1] + 50)
    assert Replayed(tmp_path, ids).entries() == GROUPS[0] + GROUPS[1]


# -- progress


def test_progress_is_told_a_segment_at_a_time(tmp_path: Path, ids: BatchIds) -> None:
    log = open_log(tmp_path / "wal", segment_size=1)
    for n in range(3):
        log.append([section_of(StreamTable(), [entry("a", NOON + n * DAY)])])
    log.close()
    told: list[ReplayProgress] = []
    replay(tmp_path / "wal", ORIGIN, State(), ids, ReplayFigures(), told.append)
    assert told == [ReplayProgress(1, 3, 1), ReplayProgress(2, 3, 2), ReplayProgress(3, 3, 3)]


def test_a_replay_can_be_replayed(tmp_path: Path, ids: BatchIds) -> None:
    path = write(tmp_path, GROUPS)
    path.write_bytes(path.read_bytes()[:-3])
    flip(path, 100)
    shutil.copytree(tmp_path / "wal", tmp_path / "before")
    first = Replayed(tmp_path, ids).entries()
    assert Replayed(tmp_path, ids).entries() == first == GROUPS[1] + GROUPS[2]
