"""How much memory compaction takes: kinds of data, and a program that compacts blocks of one and looks at itself.

python -m tests.storage.compact.memory KIND PERCENT
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage import Store, StoreOptions
from storage.batch import Batch, Column, Labels, Pairs, Texts
from storage.memory import give_back
from tests.storage.entries import HOUR, NOON, Outcome, quiet, start

ROOT = Path(__file__).parents[3]
MEMORY = 64 << 20
"""Bytes of a flush, as `memtable.size` is by default."""
ONE: tuple[Labels, ...] = ((("app", "a"),),)
_RNG = np.random.default_rng(8)


def texts(count: int, size: int) -> Texts:
    """Strings of one size that do not compress well."""
    return Texts(_RNG.integers(97, 113, count * size, dtype=np.uint8), np.arange(count + 1, dtype=np.int64) * size)


def rows(count: int, size: int, first: int, step: int = 1_000) -> Batch:
    """Rows of one stream."""
    ts = first + step * np.arange(count, dtype=np.int64)
    return Batch(ONE, np.zeros(count, np.int32), ts, texts(count, size))


def streams(size: int) -> Iterator[Batch]:
    """Two blocks of the same 100,000 streams at full size, with ten labels each."""
    count = 100_000 * size // 100
    further = [[(f"label_{k}", f"value-{k}-{i % 7 ** (k % 4 + 1)}") for k in range(9)] for i in range(count)]
    labels = tuple((("id", f"stream-{i}"), *pairs) for i, pairs in enumerate(further))
    for flush in range(2):
        ts = NOON + flush * 10**9 + 1_000 * np.arange(2 * count, dtype=np.int64)
        yield Batch(labels, np.tile(np.arange(count, dtype=np.int32), 2), ts, texts(2 * count, 60))


def hours(size: int) -> Iterator[Batch]:
    """A block of which each row is a span of its own: 20,000 streams at full size in 24 hours, and one like it."""
    count = 20_000 * size // 100
    labels = tuple((("id", f"stream-{i}"),) for i in range(count))
    midnight = NOON - 12 * HOUR
    for flush in range(2):
        stream = np.repeat(np.arange(count, dtype=np.int32), 24)
        ts = midnight + HOUR * np.tile(np.arange(24, dtype=np.int64), count) + flush
        yield Batch(labels, stream, ts, texts(len(ts), 60))


def keys(size: int, count: int = 2_500, blocks: int = 8) -> Iterator[Batch]:
    """Blocks of rows with 200 metadata keys."""
    for flush in range(max(2, blocks * size // 100)):
        codes = [_RNG.integers(0, count, count).astype(np.int32) for _ in range(64)]
        columns = {f"key{k:03}": Column(own, texts(count, 16)) for k, own in enumerate(codes)}
        names = tuple(f"key{k:03}" for k in range(64, 200))
        rest = Pairs(
            np.arange(count + 1, dtype=np.int64) * 136,
            np.tile(np.arange(136, dtype=np.int32), count),
            names,
            texts(count * 136, 16),
        )
        yield replace(rows(count, 100, NOON + flush * 10**9), metadata=columns, rest=rest)


def heavy(size: int) -> Iterator[Batch]:
    """Blocks of one row group with 50 MB of metadata, of 200 keys."""
    yield from keys(100, 15_000 * size // 100, 3)


def heavy_again(size: int) -> Iterator[Batch]:
    """The same such block three times."""
    once = next(keys(100, 15_000 * size // 100))
    yield from (once, once, once)


def values(size: int) -> Iterator[Batch]:
    """Blocks of one row group with 60 MB of metadata, of one key."""
    count = 30_000 * size // 100
    for flush in range(3):
        columns = {"key": Column(np.arange(count, dtype=np.int32), texts(count, 2_000))}
        yield replace(rows(count, 20, NOON + flush * 10**9), metadata=columns)


def wide(size: int) -> Iterator[Batch]:
    """Blocks of few rows with much metadata: one value of each has 1 MB."""
    for flush in range(max(2, 8 * size // 100)):
        column = Column(np.arange(40, dtype=np.int32), texts(40, 1 << 20))
        yield replace(rows(40, 100, NOON + flush * 10**9), metadata={"key": column})


def giant(size: int) -> Iterator[Batch]:
    """Lines of 5 MB, sixty of them at full size."""
    for flush in range(6):
        yield rows(max(1, 10 * size // 100), 5 << 20, NOON + flush * 10**9)


def largest(size: int) -> Iterator[Batch]:
    """Four lines of 64 MB at full size, in a block each."""
    for flush in range(4):
        yield rows(1, (64 << 20) * size // 100, NOON + flush * 10**9)


def one_time(size: int) -> Iterator[Batch]:
    """Three blocks of 1,300,000 rows of one stream and time at full size, no two alike."""
    for _ in range(3):
        yield rows(1_300_000 * size // 100, 30, NOON, 0)


def one_time_again(size: int) -> Iterator[Batch]:
    """Rows of one stream and time, 45 MB at full size, that come three times."""
    once = rows(150_000 * size // 100, 300, NOON, 0)
    yield from (once, once, once)


def again(size: int) -> Iterator[Batch]:
    """All that came comes 15 times more."""
    once = rows(150_000 * size // 100, 300, NOON)
    for _ in range(16):
        yield once


def logs(size: int) -> Iterator[Batch]:
    """Common lines of 100 streams with two keys of metadata, in 16 blocks."""
    count = 150_000 * size // 100
    labels = tuple((("app", f"app-{i}"), ("env", "prod")) for i in range(100))
    for flush in range(16):
        ts = NOON + flush * 60 * 10**9 + 1_000 * np.arange(count, dtype=np.int64)
        columns = {
            "level": Column(_RNG.integers(0, 4, count).astype(np.int32), texts(4, 5)),
            "trace_id": Column(np.arange(count, dtype=np.int32), texts(count, 32)),
        }
        yield Batch(labels, (np.arange(count) % 100).astype(np.int32), ts, texts(count, 240), columns)


_ALL = (streams, hours, keys, heavy, heavy_again, values, wide, giant, largest, one_time, one_time_again, again, logs)
KINDS: dict[str, Callable[[int], Iterator[Batch]]] = {made.__name__: made for made in _ALL}


def options() -> StoreOptions:
    return quiet(size=MEMORY)


def push(store: Store, batch: Batch, tenant: str = "t") -> None:
    """Stores a batch in blocks of its own."""
    outcome = Outcome()
    store.append(tenant, batch, outcome.settle)
    outcome.get()
    store.flush()


def fill(folder: Path, kind: str, size: int) -> None:
    """Makes the blocks."""
    store = start(folder, options())
    for batch in KINDS[kind](1):
        push(store, batch, "another")  # for what is loaded at the first merge
    for batch in KINDS[kind](size):
        push(store, batch)
    store.close()


def compact(folder: Path) -> tuple[int, int, int]:
    """Compacts them; see `measured`."""
    store = start(folder, options())
    tenants = store._state.tenants
    store._state.tenants = {"another": tenants["another"]}
    store.compact()
    store._state.tenants = tenants
    give_back()
    idle, blocks = resident("VmRSS"), len(tenants["t"].view.blocks)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    store.compact()
    grew = resident("VmHWM") - idle
    store.close()
    return grew, blocks, len(tenants["t"].view.blocks)


def resident(field: str) -> int:
    """Bytes of a field of the process' status."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def measured(kind: str, size: int) -> tuple[int, int, int]:
    """Bytes by which a process that compacts grows at most, and how many blocks there are before and after.

    Args:
        kind: of KINDS.
        size: percent.
    """
    with tempfile.TemporaryDirectory() as folder:
        for step in ("fill", "compact"):  # in processes of their own
            command = [sys.executable, "-m", "tests.storage.compact.memory", kind, str(size), step, folder]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    grew, before, after = json.loads(done.stdout)
    return grew, before, after


def main(kind: str, size: str, step: str = "", folder: str = "") -> None:
    if step == "fill":
        fill(Path(folder), kind, int(size))
    elif step == "compact":
        print(json.dumps(compact(Path(folder))))
    else:
        grew, before, after = measured(kind, int(size))
        print(f"{kind}: {before} blocks became {after}, the process grew by {grew / 1e6:.0f} MB at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
