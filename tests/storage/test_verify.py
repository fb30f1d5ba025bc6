from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import pytest

from storage.catalog import remove_index
from storage.copying import Progress
from storage.errors import DirectoryLocked, StorageError
from storage.segment import Record
from storage.verify import VerifyResult, verify
from tests.storage.entries import DAY, NOON, entry, put, quiet, start
from tests.storage.logs import found_in
from tests.storage.test_catalog import contents


def make(data_dir: Path) -> Path:
    """Two blocks and a log of two segments with a record each."""
    store = start(data_dir, quiet(segment_size=1))
    put(store, [entry("a", NOON + n, f"line {n} of the first day", trace=f"{n}") for n in range(50)])
    put(store, [entry("b", NOON + DAY + n, "y" * 40, level="info") for n in range(50)])
    store.flush()
    put(store, [entry("c", NOON, "in the log")])
    put(store, [entry("c", NOON + 1, "in the log too")])
    store.close()
    return data_dir


def check(data_dir: Path, *, rebuild: bool = False) -> VerifyResult:
    return verify(data_dir, rebuild=rebuild, report=lambda _: None)


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def segments(data_dir: Path) -> list[Path]:
    return [path for path in sorted((data_dir / "wal").iterdir()) if found_in(path)]


def block(data_dir: Path) -> Path:
    return min((data_dir / "blocks").glob("*/*/*.parquet"))


def test_a_sound_directory_has_no_problems(tmp_path: Path) -> None:
    told: list[Progress] = []
    result = verify(make(tmp_path), rebuild=False, report=told.append)
    assert result.problems == []
    assert (result.blocks, result.records, result.rows) == (2, 2, 102)
    assert len({progress.name for progress in told}) == result.blocks + result.segments
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert told[-1].done == told[-1].total > 0


def test_every_flipped_byte_of_a_middle_segment_is_found(tmp_path: Path) -> None:
    path = segments(make(tmp_path))[0]
    whole = path.read_bytes()
    used = [at for at in range(len(whole)) if not 44 <= at < 64]  # the zeros behind the header mean nothing
    for at in used:
        flip(path, at)
        problems = check(tmp_path).problems
        assert len(problems) == 1, at
        assert path.name in problems[0]
        path.write_bytes(whole)


def test_a_torn_tail_of_the_last_segment_is_no_problem_but_elsewhere_it_is(tmp_path: Path) -> None:
    older, last = segments(make(tmp_path))
    last.write_bytes(last.read_bytes()[:-3])
    assert check(tmp_path).problems == []
    older.write_bytes(older.read_bytes()[:-3])
    (problem,) = check(tmp_path).problems
    assert older.name in problem


def test_every_flipped_byte_of_a_block_is_found(tmp_path: Path) -> None:
    path = block(make(tmp_path))
    whole = path.read_bytes()
    chosen = {*range(8), *range(len(whole) - 8, len(whole)), *Random(7).sample(range(len(whole)), 150)}
    for at in sorted(chosen):
        flip(path, at)
        problems = check(tmp_path).problems
        assert problems, at
        assert all(path.name in problem for problem in problems)
        path.write_bytes(whole)
    assert check(tmp_path).problems == []


def test_a_block_that_is_cut_or_empty_is_found(tmp_path: Path) -> None:
    path = block(make(tmp_path))
    whole = path.read_bytes()
    for end in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert check(tmp_path).problems, end


def test_a_block_that_is_gone_is_found_even_while_the_index_is_made_anew(tmp_path: Path) -> None:
    lost = block(make(tmp_path))
    lost.unlink()
    for _ in range(2):
        (problem,) = check(tmp_path).problems
        assert lost.name in problem
        assert "gone" in problem
    assert lost.name in check(tmp_path, rebuild=True).problems[0]
    assert check(tmp_path).problems == []


def test_another_sound_block_in_the_place_of_one_is_found(tmp_path: Path) -> None:
    one, other = sorted((make(tmp_path) / "blocks").glob("*/*/*.parquet"))
    one.write_bytes(other.read_bytes())
    (problem,) = check(tmp_path).problems
    assert one.name in problem


def test_a_damaged_index_is_found_and_made_anew_on_request(tmp_path: Path) -> None:
    before = contents(make(tmp_path))
    remove_index(tmp_path)
    (tmp_path / "index.db").write_bytes(b"rubbish" * 1000)
    (problem,) = check(tmp_path).problems
    assert "index.db" in problem
    assert "--rebuild" in problem
    assert check(tmp_path, rebuild=True).problems == []
    assert contents(tmp_path) == before
    assert check(tmp_path).problems == []


def test_an_index_with_wrong_facts_is_equal_after_a_rebuild(tmp_path: Path) -> None:
    before = contents(make(tmp_path))
    with sqlite3.connect(tmp_path / "index.db") as db:
        db.execute("UPDATE blocks SET rows = 1, generation = 99, stream_min = stream_max")
        db.execute("DELETE FROM streams")
    db.close()
    check(tmp_path, rebuild=True)
    assert contents(tmp_path) == before


def test_a_damaged_control_db_is_found(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "control.db").write_bytes(b"rubbish" * 1000)
    (problem,) = check(tmp_path).problems
    assert "control.db" in problem


def test_a_control_db_that_is_gone_is_found_and_not_made(tmp_path: Path) -> None:
    make(tmp_path)
    for path in tmp_path.glob("control.db*"):
        path.unlink()
    for _ in range(2):
        (problem,) = check(tmp_path).problems
        assert "control.db is missing" in problem


def test_nothing_is_changed_without_a_rebuild(tmp_path: Path) -> None:
    make(tmp_path)
    last = segments(tmp_path)[-1]
    last.write_bytes(last.read_bytes()[:-3])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    check(tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


def test_a_directory_in_use_or_of_someone_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a data directory"):
        check(tmp_path)
    store = start(tmp_path)
    with pytest.raises(DirectoryLocked):
        check(tmp_path)
    store.close()


def test_records_of_the_log_are_counted_once(tmp_path: Path) -> None:
    found = [item for path in segments(make(tmp_path)) for item in found_in(path)]
    assert sum(isinstance(item, Record) for item in found) == check(tmp_path).records
