from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import memtable
from storage.batch import Batch, Texts, texts
from storage.memtable import FAN, LEVELS, RUN_BYTES, RUN_ROWS, Run, add_run, join_runs, make_run
from storage.rows import concat_batches

patterns = st.lists(st.sampled_from([1, 1, 1, 15, 16, 17, 255, 257, 4000, RUN_ROWS - 1, RUN_ROWS, 5000]), max_size=6)


def run_of(rows: int, seq: int, line_bytes: int = 1) -> Run:
    """Rows whose ts says where they came from."""
    ts = np.arange(rows, dtype=np.int64) + seq * 1_000_000
    lines = Texts(np.zeros(rows * line_bytes, np.uint8), np.arange(rows + 1, dtype=np.int64) * line_bytes)
    return make_run(Batch(((("a", "b"),),), np.zeros(rows, np.int32), ts, lines), seq, seq)


class Copies:
    """Counts the rows that joins copy."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        patch.setattr(memtable, "concat_batches", self._concat)

    def _concat(self, parts: list[Batch]) -> Batch:
        self.rows += sum(map(len, parts))
        return concat_batches(parts)


@given(patterns, st.integers(1, 40))
def test_rows_keep_their_order_and_records_their_places(sizes: list[int], times: int) -> None:
    runs: tuple[Run, ...] = ()
    given_sizes = (sizes * times)[:60]
    for seq, size in enumerate(given_sizes):
        runs = add_run(runs, run_of(size, seq))
    kept = [run.batch.ts for run in runs]
    expected = [np.arange(size) + seq * 1_000_000 for seq, size in enumerate(given_sizes)]
    assert not expected or np.array_equal(np.concatenate(kept), np.concatenate(expected))
    assert [run.first_seq for run in runs] == [int(run.batch.ts[0]) // 1_000_000 for run in runs]
    assert [run.last_seq for run in runs] == [int(run.batch.ts[-1]) // 1_000_000 for run in runs]
    assert all(run.min_ts == run.batch.ts.min() and run.max_ts == run.batch.ts.max() for run in runs)
    small = [at for at, run in enumerate(runs) if not run.sealed]
    at_end = next((n for n, run in enumerate(reversed(runs)) if run.sealed), len(runs))
    assert at_end <= (FAN - 1) * LEVELS
    assert all(runs[at + 1].sealed for at in small[: len(small) - at_end])  # before it, none beside another


def test_the_runs_a_reader_holds_do_not_change() -> None:
    runs: tuple[Run, ...] = ()
    held = []
    for seq in range(1, 100):
        runs = add_run(runs, run_of(1, seq))
        held.append((runs, [len(run) for run in runs]))
    assert all([len(run) for run in seen] == sizes for seen, sizes in held)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 32, 100, 300, 5000])
def test_a_row_is_copied_once_a_rank(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    copies = Copies(monkeypatch)
    runs: tuple[Run, ...] = ()
    total = min(size * 3000, 600_000)
    for seq in range(total // size):
        runs = add_run(runs, run_of(size, seq))
    assert copies.rows <= LEVELS * total
    assert sum(map(len, runs)) == total // size * size


@given(st.lists(st.sampled_from([1, 1, 15, 16, 17, 255, 256, 3000, RUN_ROWS - 1, 5000]), min_size=1, max_size=18))
def test_copies_stay_bounded_for_any_repeated_pattern(pattern: list[int]) -> None:
    # 4,000 rows followed by single ones again and again is what a joining by count alone copies hundreds of times.
    with pytest.MonkeyPatch.context() as patch:
        copies = Copies(patch)
        runs: tuple[Run, ...] = ()
        total = 0
        for seq in range(300):
            size = pattern[seq % len(pattern)]
            total += size
            runs = add_run(runs, run_of(size, seq))
        assert copies.rows <= LEVELS * FAN * total


def test_a_large_run_is_not_copied_for_small_ones_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = Copies(monkeypatch)
    runs: tuple[Run, ...] = (run_of(RUN_ROWS - 1, 0),)
    for seq in range(1, 1000):
        runs = add_run(runs, run_of(1, seq))
    assert copies.rows < 2 * 1000


def test_runs_are_left_alone_at_their_limits() -> None:
    assert run_of(RUN_ROWS, 1).sealed
    assert not run_of(RUN_ROWS - 1, 1).sealed
    assert run_of(1, 1, RUN_BYTES).sealed
    runs: tuple[Run, ...] = ()
    for seq in range(40):
        runs = add_run(runs, run_of(10, seq, RUN_BYTES // 100))
    assert all(run.nbytes <= RUN_BYTES for run in runs)
    assert sum(map(len, runs)) == 400
    assert len(runs) < 40


def test_joined_runs_say_what_they_hold() -> None:
    joined = join_runs([run_of(2, 3), run_of(1, 5)])
    assert (joined.first_seq, joined.last_seq, len(joined)) == (3, 5, 3)
    assert (joined.min_ts, joined.max_ts) == (3_000_000, 5_000_000)


def test_the_bytes_of_a_run_are_those_of_its_columns() -> None:
    run = make_run(
        Batch(((("a", "b"),),), np.zeros(2, np.int32), np.zeros(2, np.int64), texts([b"12345", b"678"])), 1, 1
    )
    assert run.nbytes == 2 * 4 + 2 * 8 + 8 + 3 * 8
