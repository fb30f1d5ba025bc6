"""A log that was cut or whose bytes were changed: what can be read is read, and the log goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage import Receipt, Store, StoreOptions, open_store
from storage.segment import Record, scan_segment
from tests.crash.contents import Push, differences, make_push, read_all, store_push, total
from tests.crash.life import NOON

OPTIONS = StoreOptions(reserve=0)
TENANTS = ("one", "two")


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """A data directory nobody has open, with one push to a record of its only segment."""

    data_dir: Path
    pushes: tuple[Push, ...]
    records: tuple[Record, ...]

    @property
    def segment(self) -> Path:
        (found,) = self.data_dir.joinpath("wal").glob("*.wal")
        return found


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    data_dir = tmp_path_factory.mktemp("log") / "data"
    pushes = tuple(
        make_push(TENANTS[number % 2], number, [(f"app{number // 3}", NOON + number, 20)] * 1, with_id=number % 2 == 0)
        for number in range(1, 7)
    )
    store = open_store(data_dir, OPTIONS)
    for push in pushes:
        assert store_push(store, push) == Receipt()
    store.close()
    (segment,) = data_dir.joinpath("wal").glob("*.wal")
    _, found = scan_segment(segment, bytes.fromhex((data_dir / "origin").read_text()))
    records = tuple(item for item in found if isinstance(item, Record))
    assert len(records) == len(pushes)
    return Log(data_dir, pushes, records)


@pytest.fixture
def copies(tmp_path: Path, log: Log) -> Iterator[Path]:
    """Fresh copies of the log's segment in a data directory that keeps all else."""
    data_dir = tmp_path / "data"

    def fresh() -> Path:
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.copytree(log.data_dir, data_dir)
        return data_dir / "wal" / log.segment.name

    return iter(fresh, None)


def _loads(segment: Path, kept: tuple[Push, ...], why: str, *, goes_on: bool = True) -> None:
    """Opens the store and demands exactly `kept`; `goes_on`: that it takes more, and both survive another start."""
    data_dir = segment.parent.parent
    store = open_store(data_dir, OPTIONS)
    _holds(store, kept, why)
    if not goes_on:
        store.close()
        return
    more = make_push(TENANTS[0], 99, [("more", NOON + 99, 20)])
    assert store_push(store, more) == Receipt(), why
    store.close()
    store = open_store(data_dir, OPTIONS)
    _holds(store, (*kept, more), f"{why}, started again")
    store.close()


def _holds(store: Store, pushes: tuple[Push, ...], why: str) -> None:
    expected = total(pushes)
    assert not differences(read_all(store, TENANTS), expected, expected), why


def test_a_log_cut_at_any_byte_of_its_last_record_keeps_all_others(log: Log, copies: Iterator[Path]) -> None:
    last = log.records[-1]
    for size in range(last.offset, last.end):
        segment = next(copies)
        with segment.open("r+b") as file:
            file.truncate(size)
        _loads(segment, log.pushes[:-1], f"cut at byte {size} of {last.offset}..{last.end}", goes_on=size % 8 == 0)


def test_any_changed_byte_of_a_record_costs_that_record_alone(log: Log, copies: Iterator[Path]) -> None:
    place = 2
    record = log.records[place]
    others = log.pushes[:place] + log.pushes[place + 1 :]
    for at in range(record.offset, record.end):
        segment = next(copies)
        raw = bytearray(segment.read_bytes())
        raw[at] ^= 1 << at % 8
        segment.write_bytes(raw)
        _loads(segment, others, f"byte {at} of {record.offset}..{record.end} changed", goes_on=at % 8 == 0)
        quarantined = segment.parent.parent / "quarantine" / f"{segment.stem}-{record.offset}.bin"
        assert quarantined.read_bytes() == bytes(raw[record.offset : record.end])


def test_any_changed_byte_of_the_segments_header_costs_nothing(log: Log, copies: Iterator[Path]) -> None:
    for at in range(log.records[0].offset):
        segment = next(copies)
        raw = bytearray(segment.read_bytes())
        raw[at] ^= 1 << at % 8
        segment.write_bytes(raw)
        _loads(segment, log.pushes, f"byte {at} of the header changed", goes_on=at % 8 == 0)


def test_a_file_of_zeros_after_the_last_record_is_a_torn_tail(log: Log, copies: Iterator[Path]) -> None:
    # What ext4 and XFS leave when the power goes after a file grew and before its data were written.
    segment = next(copies)
    with segment.open("ab") as file:
        file.write(bytes(10_000))
    _loads(segment, log.pushes, "10,000 zeros at the end")
