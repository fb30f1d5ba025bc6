"""The life of a data directory that crash tests interrupt: everything that storage does with a disk, in a second.

Made, filled, flushed with small tenants left waiting, closed, opened with a torn tail, filled, flushed twice more
and compacted after each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from threading import Event

from storage import CompactionOptions, FlushOptions, Receipt, Store, StoreOptions, open_store
from storage.errors import StorageError
from tests.crash.contents import DAY, Push, make_push

NOON = 20_000 * DAY + DAY // 2
TENANTS = ("big", "small-one", "small-two")

OPTIONS = StoreOptions(
    reserve=4096,
    # Nothing is flushed but by the own calls of the scenario; `big` is over small_tenant, the two others under it.
    flush=FlushOptions(size=1 << 20, max_age=1e6, small_tenant=6000, small_tenant_max_age=1e6),
    compaction=CompactionOptions(enabled=False),
)


@functools.cache
def pushes() -> list[Push]:
    """What is sent, in order: several streams and days, late rows, ids, one push over the size that is compressed."""
    found = []
    for number in range(1, 11):
        rows = [(f"app{at % 3}", NOON + number * 1_000_000 + at, 300) for at in range(30 if number == 4 else 8)]
        rows.append(("late", NOON - DAY + number, 40))
        found.append(make_push("big", number, rows, with_id=number % 2 == 0))
        for at, tenant in enumerate(TENANTS[1:]):
            if number % 3 == at:
                small = [("app0", NOON + number, 30), ("app1", NOON + DAY * at + number, 30)]
                found.append(make_push(tenant, 100 * at + 100 + number, small, with_id=number % 2 == 1))
    return found


Sent = Callable[[int, Receipt | StorageError], None]


def live(data_dir: Path, sent: Sent) -> None:
    """Runs the whole life. `sent` is told the outcome of every push, by its place in pushes()."""
    todo = list(enumerate(pushes()))
    first, second, third, fourth = todo[:6], todo[6:9], todo[9:13], todo[13:]
    store = open_store(data_dir, OPTIONS)
    _send(store, first, sent)
    store._flusher.flush(everything=False)
    _send(store, second, sent)
    store._flusher.flush(everything=False)
    store.close()
    _tear(data_dir)
    store = open_store(data_dir, OPTIONS)
    _send(store, third, sent)
    store._flusher.flush(everything=False)
    store.compact()
    _send(store, fourth, sent)
    store.flush()
    store.compact()
    store.close()


def _send(store: Store, some: list[tuple[int, Push]], sent: Sent) -> None:
    for place, push in some:
        # One at a time, so that the steps come in the same order in every run.
        answered = Event()

        def done(outcome: Receipt | StorageError, place: int = place, answered: Event = answered) -> None:
            sent(place, outcome)
            answered.set()

        store.append(push.tenant, push.batch, done, batch_id=push.batch_id)
        assert answered.wait(30), "the store never answered"


def _tear(data_dir: Path) -> None:
    """Leaves half a record at the end of the log, as a crash inside a write does."""
    newest = max(data_dir.joinpath("wal").glob("*.wal"))
    with newest.open("ab") as file:
        file.write(b"WREC" + bytes(range(40)))
