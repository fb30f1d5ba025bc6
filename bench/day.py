"""`python -m bench.day [--lines N] [--folder DIR]`: what is told of a day without reading it, over a scan of it.

A day of lines is stored, flushed as a server would and compacted; in each state the questions are asked here.
The table has CPU-ms of the first time and of the fastest of some, and that over the scan. It takes minutes and 1 GB of
disk, so that it is no row of `make bench`.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.lines import APPS, all_lines
from bench.payloads import PODS
from logql import LogExpr, MetricLimits, parse, run_instant
from storage import Grouping, Receipt, Store, StoreOptions, open_store
from storage.batch import Batch, Column, Labels, Texts, texts
from storage.errors import StorageError

DAY = 86_400_000_000_000
START = 20_000 * DAY
POOL, PER_BATCH = 30_000, 10_000
"""Different lines of an app, and lines of a batch: the pool comes again and again, in batches that begin anywhere."""
LEVELS = texts([b"debug", b"info", b"warn", b"error"])
TENANT = "day"
STEPS = 50
RUNS = 5
NEEDLE = 'sum(count_over_time({env="prod"} |= "timeout waiting" [24h]))'


def main() -> None:
    """Prints a table for each state of the data."""
    parser = argparse.ArgumentParser(prog="bench.day", description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where to make the data, and leave it (else a temporary one)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-day-") as temporary:
        store = open_store(asked.folder or Path(temporary), StoreOptions())
        try:
            began = time.process_time()
            rows = fill(store, asked.lines)
            store.flush()
            print(f"{rows} lines stored and flushed in {time.process_time() - began:.0f} CPU-s", flush=True)
            tell(store, "flushed")
            began = time.process_time()
            store.compact()
            print(f"compacted in {time.process_time() - began:.0f} CPU-s", flush=True)
            tell(store, "compacted")
        finally:
            store.close()


def fill(store: Store, lines: int) -> int:
    """Stores about so many lines, in order of time, of all apps in turn; returns how many."""
    stored, failed = threading.Semaphore(8), []

    def done(outcome: Receipt | StorageError) -> None:
        if isinstance(outcome, StorageError):
            failed.append(outcome)
        stored.release()

    rows = 0
    for batch in batches(lines):
        stored.acquire()
        store.append(TENANT, batch, done)
        rows += len(batch)
    for _ in range(8):
        stored.acquire()
    if failed:
        raise failed[0]
    return rows


def batches(lines: int) -> Iterator[Batch]:
    """Batches of PER_BATCH lines of one app each, in PODS streams, spread evenly over the day."""
    made = all_lines(2 * POOL)
    pools = {app: texts(made[app]) for app in APPS}
    rng = np.random.default_rng(7)
    stream = (np.arange(PER_BATCH) % PODS).astype(np.int32)
    stretches = max(lines // (PER_BATCH * len(APPS)), 1)
    for number in range(stretches):
        ts = START + np.linspace(
            DAY * number // stretches, DAY * (number + 1) // stretches - 1, PER_BATCH, dtype=np.int64
        )
        for app in APPS:
            first = int(rng.integers(0, POOL))
            piece = pools[app].slice(first, first + PER_BATCH).compact()
            levels = rng.choice(4, PER_BATCH, p=[0.1, 0.8, 0.07, 0.03]).astype(np.int32)
            yield Batch(
                tuple([_labels(app, pod) for pod in range(PODS)]),
                stream,
                ts,
                Texts(piece.data, piece.offsets),
                {"detected_level": Column(levels, LEVELS)},
            )


def _labels(app: str, pod: int) -> Labels:
    return ("app", app), ("env", "prod"), ("pod", f"{app}-{pod}")


def tell(store: Store, state: str) -> None:
    """Prints what each question takes, and the scan that it is held against."""
    expr = parse(NEEDLE)
    assert not isinstance(expr, LogExpr)

    def scan() -> None:
        run_instant(store, TENANT, expr, START + DAY, limits=MetricLimits())

    end = START + DAY - 1
    pods = Grouping(("app", "pod"), required=True)
    questions: dict[str, Callable[[], object]] = {
        "volume by app": lambda: store.volumes(TENANT, (), START, end, 0, Grouping(("app",))),
        f"volume_range by pod, {STEPS} steps": lambda: store.volumes(TENANT, (), START, end, DAY // STEPS, pods),
        "index/stats": lambda: store.index_stats(TENANT, (), START, end + 1),
        "index/stats, cut on both sides": lambda: store.index_stats(TENANT, (), START + 1, end - DAY // 48),
        "label names": lambda: store.label_names(TENANT, (), START, end),
        "label values": lambda: store.label_values(TENANT, "pod", (), START, end),
        "series": lambda: store.series(TENANT, (), START, end),
        "shards": lambda: store.shards(TENANT, (), START, end, 600 << 20),
    }
    floor = _seconds(scan, 2)
    print(f"{state}: scan `{NEEDLE}` {floor:.2f} CPU-s")
    for name, ask in questions.items():
        first = _seconds(ask, 1)
        least = _seconds(ask, RUNS)
        print(f"| {name} | {first * 1e3:.2f} | {least * 1e3:.2f} | {least / floor:.5f} x scan |", flush=True)


def _seconds(call: Callable[[], object], runs: int) -> float:
    """CPU-seconds of the fastest of some runs."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return min(found)


if __name__ == "__main__":
    main()
