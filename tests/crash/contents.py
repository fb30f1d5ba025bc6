"""What crash tests put into a store and how they see what came out: every entry with a count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event

from storage import BatchId, Receipt, Store, batch_digest
from storage.batch import Batch, Labels
from storage.build import BatchBuilder
from storage.errors import StorageError
from tests.batch_unit import everything

DAY = 86_400_000_000_000
FOREVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line as a reader sees it."""

    tenant: str
    labels: Labels
    ts: int
    line: bytes
    metadata: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Push:
    """One batch of a tenant, perhaps with an id."""

    tenant: str
    batch: Batch
    batch_id: BatchId | None = None

    @property
    def entries(self) -> Counter[Entry]:
        return count_entries(self.tenant, [self.batch])


def make_push(tenant: str, number: int, rows: Sequence[tuple[str, int, int]], *, with_id: bool = False) -> Push:
    """A push whose lines nobody else sends: rows are (app, ts in ns, bytes of the line)."""
    builder = BatchBuilder()
    streams: dict[str, int] = {}
    for at, (app, ts, size) in enumerate(rows):
        if app not in streams:
            streams[app] = builder.add_stream((("app", app), ("job", tenant)))
        line = f"{tenant} push {number} line {at} ".encode().ljust(size, b".")
        builder.add(streams[app], ts, line, [("trace", f"{number}-{at}".encode())] if at % 2 else [])
    batch = builder.build()
    batch_id = BatchId(number.to_bytes(16, "big"), batch_digest(batch)) if with_id else None
    return Push(tenant, batch, batch_id)


def store_push(store: Store, push: Push) -> Receipt | StorageError:
    """Appends and waits for the outcome."""
    settled = Event()
    outcomes: list[Receipt | StorageError] = []

    def done(outcome: Receipt | StorageError) -> None:
        outcomes.append(outcome)
        settled.set()

    store.append(push.tenant, push.batch, done, batch_id=push.batch_id)
    assert settled.wait(30), "the store never answered"
    return outcomes[0]


def count_entries(tenant: str, batches: Iterable[Batch]) -> Counter[Entry]:
    found: Counter[Entry] = Counter()
    for batch in batches:
        lines = batch.lines.tolist()
        for row in range(len(batch)):
            pairs = [(key, value) for key, column in batch.metadata.items() if (value := column[row]) is not None]
            labels = batch.streams[int(batch.stream[row])]
            found[Entry(tenant, labels, int(batch.ts[row]), lines[row], tuple(sorted(pairs)))] += 1
    return found


def read_all(store: Store, tenants: Iterable[str]) -> Counter[Entry]:
    """Everything a query over all time would see."""
    found: Counter[Entry] = Counter()
    for tenant in tenants:
        found += count_entries(tenant, (everything(unit) for unit in store.scan(tenant, (), 0, FOREVER, "forward")))
    return found


def total(pushes: Iterable[Push]) -> Counter[Entry]:
    """Entries of all pushes together."""
    found: Counter[Entry] = Counter()
    for push in pushes:
        found += push.entries
    return found


def differences(found: Counter[Entry], must: Counter[Entry], may: Counter[Entry]) -> list[str]:
    """What is wrong with `found`: everything in `must` is to be there once, what is in `may` at most once, no more."""
    problems = [f"missing: {entry}" for entry in must if entry not in found]
    for entry, count in found.items():
        if entry not in must and entry not in may:
            problems.append(f"nobody sent it: {entry}")
        elif count > 1:
            problems.append(f"there {count} times: {entry}")
    return problems
