"""Files that threads keep open, and that others let go of meanwhile."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import blockread
from storage.blockread import forget, open_reader


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockread, "OPEN_READERS", 8)


def files(folder: Path, count: int) -> list[Path]:
    found = [folder / f"{number}.parquet" for number in range(count)]
    for number, path in enumerate(found):
        pq.write_table(pa.table({"x": [number]}), path)
    return found


def test_a_file_stays_open_until_it_is_forgotten_or_others_were_used_since(tmp_path: Path) -> None:
    first, second, *others = files(tmp_path, 10)
    kept, forgotten = open_reader(first), open_reader(second)
    assert open_reader(first) is kept
    forget(second)
    assert open_reader(second) is not forgotten
    for path in others:
        open_reader(path)
    again = open_reader(first)
    assert again is not kept
    assert kept.closed
    assert not again.closed


def test_threads_read_while_another_forgets_what_they_have_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, wrong = files(tmp_path, 80), []
    done = threading.Event()

    def read(seed: int) -> None:
        try:
            for turn in range(400):
                number = (turn * 7 + seed) % len(paths)
                assert open_reader(paths[number]).schema_arrow.names == ["x"]
        except Exception as error:  # noqa: BLE001 - told to the test
            wrong.append(error)

    def let_go() -> None:
        while not done.is_set():
            for path in paths:
                forget(path)

    # Where a thread is made to wait is up to the collector too, which runs the callbacks of weak references.
    monkeypatch.setattr(blockread, "OPEN_READERS", 64)
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        other = threading.Thread(target=let_go)
        other.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        other.join()
    finally:
        gc.set_threshold(*thresholds)
    assert not wrong
