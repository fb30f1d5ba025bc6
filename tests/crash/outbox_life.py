"""The life of a server that passes its lines on, ended at each step that changes the disk, and what comes of it.

A program: `python -m tests.crash.outbox_life FOLDER PART PARTS kill|power-cut` (tests/crash/lives.py).

The life: lines of two tenants come in, in several segments; a relay passes batches on to a file elsewhere, which takes
each id once; segments leave the log, are packed and go; small tenants are carried. At the end all lines are in the file
once, whenever the life was ended.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pyarrow.compute  # noqa: F401 - loaded once here and not by each child

from storage import BatchId, FlushOptions, RelayBatch, Sender, Store, StoreOptions, batch_digest, open_store
from storage.outbox.outbox import Outbox
from tests.crash.lives import Say, end_at_steps
from tests.storage.entries import NOON, batch_of, entry, quiet, stored
from tests.storage.outbox.owing import RELAY, look

OPTIONS: StoreOptions = replace(
    quiet(segment_size=1500), flush=FlushOptions(size=1 << 30, max_age=1e9, small_tenant=1000, small_tenant_max_age=1e9)
)
"""`big` is over small_tenant, `small` under it."""
PUSHES = 6
_START = "_start"
SENDER = Sender("edge", ("e1",))


class Destination:
    """A file that takes each batch id once. What it has it has: it is on another machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, uuid: UUID, lines: list[str]) -> None:
        """Takes a batch; the same contents must come under the same id."""
        known = self.batches().get(str(uuid))
        assert known in (None, lines), f"other lines under one id: {known} and {lines}"
        if known is None:
            with self._path.open("a") as file:
                file.write(json.dumps([str(uuid), lines]) + "\n")

    def batches(self) -> dict[str, list[str]]:
        """What came, by id."""
        text = self._path.read_text() if self._path.exists() else ""
        return dict(json.loads(line) for line in text.splitlines())

    def lines(self) -> Counter[str]:
        """How often each line came."""
        return Counter(line for lines in self.batches().values() for line in lines)


def relay_some(store: Store, destination: Destination, rows: int, *, stops_before: bool = False) -> bool:
    """Sends a batch: the one that is open, or the next rows; whether there was one.

    `stops_before`: the answer is lost, so that the next one has to send it again.
    """
    ledger = store.outbox.ledger
    opened = ledger.open_batches(RELAY)
    if opened:
        (batch,) = opened
    else:
        stretch = store.outbox.read(store.outbox.cursors()[RELAY], rows)
        if stretch.end == stretch.first:
            return False
        batch = RelayBatch(RELAY, uuid4(), "", stretch.first, stretch.end, stretch.rows, 0, started=time.time_ns())
        ledger.begin([replace(batch, status="sending")])
    parts = store.outbox.read(batch.first, 1 << 30, upto=batch.end).parts
    destination.take(batch.uuid, [line.decode() for part in parts for line in part.batch.lines.tolist()])
    if not stops_before:
        ledger.settle(RELAY, [replace(batch, status="archived", completed=time.time_ns())], batch.end)
    return True


def push(store: Store, number: int, say: Say) -> None:
    """A push of each tenant; the first with an id, as one that was passed on by another server."""
    rows = [entry(f"app{n}", NOON + number * 100 + n, f"big {number} {n} ".ljust(300, ".")) for n in range(3)]
    name = BatchId(number.to_bytes(16, "big"), batch_digest(batch_of(rows)), SENDER)
    stored(store, rows, "big", name)
    say(f"0 {number} big")
    stored(store, [entry("small", NOON + number, f"small {number}")], "small")
    say(f"0 {number} small")


def live(data_dir: Path, elsewhere: Path, say: Say) -> None:
    """Runs the whole life; `say` is told what was acknowledged."""
    destination = Destination(elsewhere)
    store = open_store(data_dir, OPTIONS)
    store.outbox.subscribe(RELAY)
    for number in range(3):
        push(store, number, say)
    relay_some(store, destination, 2)
    store._flusher.flush(everything=False)
    relay_some(store, destination, 5, stops_before=True)
    look(store)
    for number in range(3, 5):
        push(store, number, say)
    store.close()
    store = open_store(data_dir, OPTIONS)
    relay_some(store, destination, 3)
    store._flusher.flush(everything=False)
    look(store)
    while relay_some(store, destination, 6):
        pass
    look(store)
    for number in range(5, PUSHES):
        push(store, number, say)
    relay_some(store, destination, 1)
    store.flush()
    look(store)
    store.close()


def check(data_dir: Path, elsewhere: Path, told: set[str]) -> list[str]:
    """What is wrong after the next start, when all has been passed on."""
    destination = Destination(elsewhere)
    store = open_store(data_dir, OPTIONS)
    outbox, problems = store.outbox, []
    if RELAY not in outbox.cursors():
        if told:
            problems.append("the relay is forgotten")
        store.close()
        return problems
    acknowledged = {line for line in told if line[0] == "0"}
    # A push that was sent and not acknowledged may be stored, and is sent again then: under its id it is there once.
    for number in range(PUSHES):
        if f"0 {number} big" not in acknowledged:
            push(store, number, lambda text: acknowledged.add(str(text)))
            break
    relay_some(store, destination, 4)
    store.flush()
    look(store)
    while relay_some(store, destination, 3):
        pass
    look(store)
    if list(data_dir.glob("archive/*")):
        problems.append(f"what is passed is kept: {sorted(data_dir.glob('archive/*/*/*/*'))}")
    if outbox.backlog(outbox.cursors()[RELAY]).rows or outbox.lost:
        problems.append("there is a backlog, or records were lost")
    came = destination.lines()
    problems += [f"{line!r} came {count} times" for line, count in came.items() if count > 1]
    must = [f"big {line.split()[1]} {n} ".ljust(300, ".") for line in acknowledged if "big" in line for n in range(3)]
    must += [f"small {line.split()[1]}" for line in acknowledged if "small" in line]
    problems += [f"{line!r} did not come" for line in must if line not in came]
    totals = outbox.ledger.totals(RELAY)
    if totals.of("archived").batches != len(destination.batches()):
        problems.append(f"{len(destination.batches())} batches came, the totals say {totals}")
    stored_batches = len({line.split()[1] for line in came if line.startswith("big")})
    (instance,) = store.instances()
    if (instance.batches, instance.records) != (stored_batches, 3 * stored_batches):
        problems.append(f"{stored_batches} batches were stored, the figures say {instance}")
    store.close()
    return problems


def quieten() -> None:
    """No outbox begins a thread: what it does is done in `look`, so that steps come in one order."""
    setattr(Outbox, _START, lambda _: None)


if __name__ == "__main__":
    quieten()
    end_at_steps(live, check)
