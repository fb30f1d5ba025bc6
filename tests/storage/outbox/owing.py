"""What the tests of the outbox share: stores whose outbox works only when it is told to, and a relay that is simple."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from storage import Outbox, Place, RelayBatch, Store, StoreOptions, open_store
from tests.storage.entries import Entry, entries_of, quiet

RELAY = "up"


def start(data_dir: Path, options: StoreOptions | None = None) -> Store:
    """A store whose outbox removes and packs only in `look`."""
    store = open_store(data_dir, options or quiet())
    still(store.outbox)
    return store


def still(outbox: Outbox) -> None:
    """Ends the outbox's thread, and lets no other begin."""
    outbox.stop()


def look(store: Store) -> None:
    """What the thread does, with nothing left to be waited for."""
    outbox = store.outbox
    outbox._kept_since = dict.fromkeys((segment.number for segment in outbox._segments.kept()), -1e9)
    outbox._stop.clear()
    try:
        outbox.look()
    finally:
        outbox._stop.set()


def rows_from(store: Store, first: Place, rows: int = 1 << 30, *, upto: Place | None = None) -> list[tuple[str, Entry]]:
    """All rows from a place on, read so many at a time."""
    found = []
    while True:
        stretch = store.outbox.read(first, rows, upto=upto)
        assert stretch.rows <= rows
        found += [(part.tenant, row) for part in stretch.parts for row in entries_of(part.batch)]
        if stretch.end == first:
            return found
        first = stretch.end


def passed(store: Store, place: Place, relay: str = RELAY) -> None:
    """The relay has sent all before a place."""
    store.outbox.ledger.settle(relay, (), place)


def batch(first: Place, end: Place, records: int = 1, **values: Any) -> RelayBatch:
    return RelayBatch(RELAY, uuid4(), "t", first, end, records, 10 * records, **values)


def files(data_dir: Path) -> list[str]:
    """What is kept out of the log."""
    return sorted(path.name for path in data_dir.glob("archive/*/*/*/*"))
