from __future__ import annotations

from pathlib import Path
from random import Random

import google_crc32c
import pytest

from storage.errors import CorruptSegment
from storage.segment import (
    COMPRESS_FROM,
    Damage,
    Kind,
    Record,
    SegmentHeader,
    pack_header,
    pack_record,
    scan_segment,
    segment_name,
)
from tests.storage.logs import ORIGIN

HEADER = SegmentHeader(ORIGIN, 7, 41)
BODIES = [b"first body", b"x" * COMPRESS_FROM, b"third body"]


def segment(folder: Path, records: list[bytes], header: bytes = pack_header(HEADER)) -> Path:
    path = folder / segment_name(HEADER.number)
    path.write_bytes(header + b"".join(records))
    return path


def packed(bodies: list[bytes] = BODIES) -> list[bytes]:
    records: list[bytes] = []
    for at, body in enumerate(bodies):
        records.append(pack_record(HEADER, 64 + sum(map(len, records)), Kind.ENTRIES, 41 + at, body))
    return records


def found(path: Path, origin: bytes = ORIGIN) -> list[tuple[int, bytes] | Damage]:
    return [item if isinstance(item, Damage) else (item.seq, item.body) for item in scan_segment(path, origin)[1]]


WHOLE = [(41 + at, body) for at, body in enumerate(BODIES)]


def test_a_segment_gives_back_its_records(tmp_path: Path) -> None:
    path = segment(tmp_path, packed())
    header, records = scan_segment(path, b"\0" * 16)
    assert header == HEADER
    items = [item for item in records if isinstance(item, Record)]
    assert [(item.seq, item.body) for item in items] == WHOLE
    assert [item.end for item in items][:-1] == [item.offset for item in items][1:]
    assert items[-1].end == path.stat().st_size


def test_names_sort_as_numbers() -> None:
    numbers = [1, 9, 10, 99, 100, 10**11]
    assert sorted(map(segment_name, numbers)) == [segment_name(number) for number in numbers]


def test_large_bodies_are_compressed_where_that_saves_bytes() -> None:
    assert len(pack_record(HEADER, 64, Kind.ENTRIES, 1, b"x" * COMPRESS_FROM)) < 200
    small = b"x" * (COMPRESS_FROM - 1)
    assert small in pack_record(HEADER, 64, Kind.ENTRIES, 1, small)
    random = Random(1).randbytes(COMPRESS_FROM)
    assert random in pack_record(HEADER, 64, Kind.ENTRIES, 1, random)


def test_a_tail_cut_at_any_byte_is_torn_and_the_rest_is_read(tmp_path: Path) -> None:
    records = packed()
    whole = segment(tmp_path, records).read_bytes()
    last = len(whole) - len(records[-1])
    for end in range(last + 1, len(whole)):
        path = segment(tmp_path, [])
        path.write_bytes(whole[:end])
        assert found(path) == [*WHOLE[:-1], Damage(last, end, torn=True)]


def test_a_flipped_byte_costs_the_record_it_is_in_and_no_other(tmp_path: Path) -> None:
    records = packed()
    whole = segment(tmp_path, records).read_bytes()
    start = len(whole) - len(records[-1]) - len(records[-2])
    stop = start + len(records[-2])
    for at in range(start, stop):
        raw = bytearray(whole)
        raw[at] ^= 0x40
        path = segment(tmp_path, [])
        path.write_bytes(raw)
        assert found(path) == [WHOLE[0], Damage(start, stop, torn=False), WHOLE[2]]


@pytest.mark.parametrize("at", range(44))
def test_a_damaged_header_costs_no_record(tmp_path: Path, at: int) -> None:
    raw = bytearray(segment(tmp_path, packed()).read_bytes())
    raw[at] ^= 1
    path = segment(tmp_path, [])
    path.write_bytes(raw)
    assert scan_segment(path, ORIGIN)[0] is None
    assert found(path) == [Damage(0, 64, torn=False), *WHOLE]


@pytest.mark.parametrize("writer", [HEADER, SegmentHeader(ORIGIN, 6, 1), SegmentHeader(b"\1" * 16, 7, 1)])
def test_a_body_that_holds_a_whole_record_is_not_taken_for_one(tmp_path: Path, writer: SegmentHeader) -> None:
    # What someone who debugs a log server may log: a record of this very segment, of another one, of another server.
    inner = pack_record(writer, 64, Kind.ENTRIES, 99, b"from a line")
    records = packed([b"before", b"line: " + inner + b" end", b"after"])
    raw = bytearray(segment(tmp_path, records).read_bytes())
    raw[64 + len(records[0]) + 5] ^= 1  # so that a reader looks for the next record inside the line
    path = segment(tmp_path, [])
    path.write_bytes(raw)
    start = 64 + len(records[0])
    assert found(path) == [(41, b"before"), Damage(start, start + len(records[1]), torn=False), (43, b"after")]


def test_a_record_of_another_segment_is_no_record_here(tmp_path: Path) -> None:
    other = pack_record(SegmentHeader(ORIGIN, 8, 41), 64, Kind.ENTRIES, 41, b"body")
    assert found(segment(tmp_path, [other])) == [Damage(64, 64 + len(other), torn=True)]


@pytest.mark.parametrize("front", [b"small", b"x" * COMPRESS_FROM, Random(3).randbytes(COMPRESS_FROM)])
def test_blocks_stand_behind_the_body_as_they_are(tmp_path: Path, front: bytes) -> None:
    blocks = [b"one block" * 1000, b"another"]
    record = pack_record(HEADER, 64, Kind.ENTRIES, 41, front, blocks)
    assert record.endswith(b"".join(blocks))
    path = segment(tmp_path, [record])
    assert found(path) == [(41, front + b"".join(blocks))]
    raw = path.read_bytes()
    for at in range(64, len(raw), 101):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        assert found(path) == [Damage(64, len(raw), torn=True)]


def test_another_version_is_told_and_not_read(tmp_path: Path) -> None:
    raw = bytearray(pack_header(HEADER))
    raw[7] = 3
    raw[40:44] = google_crc32c.value(bytes(raw[:40])).to_bytes(4, "little")
    path = segment(tmp_path, packed(), bytes(raw))
    with pytest.raises(CorruptSegment, match=r"000000000007\.wal.*version 3"):
        scan_segment(path, ORIGIN)


def test_an_unknown_kind_is_told_and_not_guessed(tmp_path: Path) -> None:
    unknown = pack_record(HEADER, 64, 9, 1, b"body")  # type: ignore[arg-type]
    with pytest.raises(CorruptSegment, match="kind 9"):
        found(segment(tmp_path, [unknown]))


def test_an_empty_segment_has_no_records(tmp_path: Path) -> None:
    assert found(segment(tmp_path, [])) == []
    assert found(segment(tmp_path, [], header=b"")) == []
