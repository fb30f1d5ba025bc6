"""The thread: it compacts by itself, holds back for pushes, and outlives what fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage import CompactionOptions, Store
from storage.compact.engine import Engine
from storage.compact.throttle import Stopped, Throttle
from storage.compact.worker import Worker
from storage.errors import StorageError
from storage.leases import Leases
from tests.storage.compact.test_merge import OPTIONS, blocks_of, filled
from tests.storage.entries import NOON, entry, read, stored


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def by_itself(folder: Path) -> Store:
    options = replace(OPTIONS, compaction=CompactionOptions(quiet=0))
    return filled(folder, *([entry("a", NOON + n, f"{n}")] for n in range(3)), options=options)


def test_a_store_compacts_by_itself(tmp_path: Path) -> None:
    store = by_itself(tmp_path)
    until(lambda: len(blocks_of(store)) == 1)
    until(lambda: store.figures().counters.compaction.pending == 0)
    assert len(read(store)) == 3
    thread = store._worker._thread
    assert (thread.name, thread.is_alive()) == ("weir-compact", True)
    store.close()
    assert not thread.is_alive()


def test_files_go_when_their_readers_have_gone(tmp_path: Path) -> None:
    store = by_itself(tmp_path)
    lease = store._leases.begin()
    until(lambda: len(blocks_of(store)) == 1 and blocks_of(store)[0].rows == 3)
    del lease
    until(lambda: len(list(tmp_path.rglob("*.parquet"))) == 1)
    store.close()


class Failing:
    """An engine whose steps fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.steps = 0

    def pending(self) -> None:
        pass

    def step(self, _: Callable[[], None], *, waits: bool) -> None:
        assert not waits
        self.steps += 1
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), StorageError("no"), ValueError("a bug")])
def test_the_thread_outlives_a_step_that_fails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("storage.compact.worker.TICK", 0.001)
    monkeypatch.setattr("storage.compact.worker.BACKOFF", (0.0,))
    engine, chores = Failing(error), []
    worker = Worker(engine, Leases(), share=0.25, compacts=True, chores=[lambda: chores.append(1)])  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "weir.storage"):
        worker.start()
        until(lambda: engine.steps >= 3 and len(chores) >= 3)
        worker.stop()
    assert "compaction failed, the blocks stay as they are" in caplog.text


def test_a_store_without_compaction_still_does_its_chores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.compact.worker.TICK", 0.001)
    engine, chores = Failing(ValueError()), []
    worker = Worker(engine, Leases(), share=0.25, compacts=False, chores=[lambda: chores.append(1)])  # type: ignore[arg-type]
    worker.start()
    until(lambda: len(chores) >= 3)
    worker.stop()
    assert engine.steps == 0


def test_a_failure_is_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.compact.worker.TICK", 0.001)
    engine, chores = Failing(StorageError("no")), []
    worker = Worker(engine, Leases(), share=0.25, compacts=True, chores=[lambda: chores.append(1)])  # type: ignore[arg-type]
    worker.start()
    until(lambda: len(chores) >= 20)
    worker.stop()
    assert engine.steps == 1


class Long:
    """An engine with one step, which goes on until something has happened."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        self.happened = happened
        self.ended = False

    def pending(self) -> None:
        pass

    def step(self, pause: Callable[[], None], *, waits: bool) -> None:
        assert not waits

        def goes_on() -> bool:
            pause()
            return not self.happened()

        until(lambda: not goes_on())
        self.ended = True


def test_chores_do_not_wait_for_the_end_of_a_long_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.compact.worker.TICK", 0.001)
    monkeypatch.setattr("storage.compact.worker.BACKOFF", (0.0,))
    chores: list[int] = []

    def fails_at_times() -> None:
        chores.append(1)
        if len(chores) % 2:
            raise StorageError("a chore that fails ends no step")

    engine = Long(lambda: len(chores) >= 6)
    worker = Worker(engine, Leases(), share=0.25, compacts=True, chores=[fails_at_times])  # type: ignore[arg-type]
    worker.start()
    until(lambda: engine.ended)
    worker.stop()


def test_chores_do_not_wait_for_a_compaction_that_somebody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.compact.worker.TICK", 0.01)
    store = by_itself(tmp_path)
    until(lambda: len(blocks_of(store)) == 1)
    path = tmp_path / "file"
    path.touch()
    with store._engine._lock:
        stored(store, [entry("a", NOON + 9, "more")])
        store.flush()
        until(lambda: bool(store._engine.pending()))
        store._leases.remove_later(path)
        until(lambda: not path.exists())
    until(lambda: len(blocks_of(store)) == 1)
    store.close()


class Clock:
    """Time that only work and waiting make pass."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 0.0
        patch.setattr("storage.compact.throttle.time.monotonic", lambda: self.wall)
        patch.setattr("storage.compact.throttle.time.thread_time", lambda: self.cpu)

    def work(self, seconds: float, wall: float | None = None) -> None:
        self.cpu += seconds
        self.wall += seconds if wall is None else wall


class Stop(threading.Event):
    """Waits without waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.wall += timeout
        return self.is_set()


def test_beside_pushes_it_takes_a_quarter_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    throttle = Throttle(0.25, lambda: True, Stop(clock))
    for _ in range(10):
        clock.work(0.1)
        throttle.pause()
    assert clock.cpu / clock.wall == pytest.approx(0.25)


def test_waiting_for_the_disk_counts_as_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    throttle = Throttle(0.25, lambda: True, Stop(clock))
    clock.work(0.1, wall=0.3)
    throttle.pause()
    assert clock.wall == pytest.approx(0.4)
    clock.work(0.1, wall=5)
    throttle.pause()
    assert clock.wall == pytest.approx(5.4)


def test_alone_it_takes_all_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    throttle = Throttle(0.25, lambda: False, Stop(clock))
    clock.work(1)
    throttle.pause()
    assert clock.wall == 1


def test_it_ends_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop(Clock(monkeypatch))
    throttle = Throttle(0.25, lambda: True, stop)
    stop.set()
    with pytest.raises(Stopped):
        throttle.pause()


def test_a_push_makes_it_busy_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("storage.compact.worker.time.monotonic", lambda: now[0])
    engine: Engine = Failing(ValueError())  # type: ignore[assignment]
    worker = Worker(engine, Leases(), share=0.25, compacts=True)
    assert not worker._is_busy()
    worker.note_push()
    now[0] += 1.9
    assert worker._is_busy()
    now[0] += 0.2
    assert not worker._is_busy()
