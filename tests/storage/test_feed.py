"""Who watches commits and takes a snapshot sees each row once, whatever happens at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

from storage import Commit, Snapshot
from tests.storage.entries import ALWAYS, NOON, Entry, entries_of, entry, quiet, send, start


def told(commits: list[Commit], tenant: str = "t") -> list[Entry]:
    return [
        one for commit in commits if commit.tenant == tenant for batch in commit.batches for one in entries_of(batch)
    ]


def held(snapshot: Snapshot) -> list[Entry]:
    found: list[Entry] = []
    for unit in snapshot.scan("whoever", (), *ALWAYS, "forward"):
        batch = unit.read(unit.times())
        kept = entries_of(batch)
        found += kept if batch.selection is None else [kept[row] for row in batch.selection.tolist()]
    return found


def test_a_watcher_is_told_what_is_committed_and_nobody_after_it(tmp_path: Path) -> None:
    store = start(tmp_path)
    commits: list[Commit] = []
    first = [entry("a", NOON, "before")]
    send(store, first).get()
    store.watch(commits.append)
    second, other = [entry("a", NOON, "x", k="v"), entry("b", NOON + 1, "y")], [entry("a", NOON, "theirs")]
    send(store, second).get()
    send(store, other, "u").get()
    store.watch(None)
    send(store, [entry("a", NOON, "after")]).get()
    assert told(commits) == second
    assert told(commits, "u") == other
    assert [commit.number for commit in commits] == sorted({commit.number for commit in commits})
    store.close()


def test_what_is_there_already_is_not_told_again(tmp_path: Path) -> None:
    store = start(tmp_path)
    send(store, [entry("a", NOON, "x")]).get()
    commits: list[Commit] = []
    store.watch(commits.append)
    send(store, [entry("a", NOON, "x")]).get()
    assert commits == []
    store.close()


def test_a_snapshot_stays_what_it_was(tmp_path: Path) -> None:
    store = start(tmp_path)
    in_block, in_memory = [entry("a", NOON, "block")], [entry("b", NOON + 1, "memory")]
    send(store, in_block).get()
    store.flush()
    send(store, in_memory).get()
    snapshot = store.snapshot("t")
    send(store, [entry("a", NOON + 2, "later")]).get()
    store.flush()
    store.compact()
    assert held(snapshot) == in_block + in_memory
    assert held(store.snapshot("nobody")) == []
    store.close()


def test_a_snapshot_and_later_commits_have_each_row_once(tmp_path: Path) -> None:
    """While one pushes and another flushes, snapshots are taken: what commits up to their number had is in them."""
    store = start(tmp_path, quiet(row_group_rows=64))
    commits: list[Commit] = []
    store.watch(commits.append)
    everything: list[Entry] = []
    done = threading.Event()

    def push() -> None:
        for number in range(60):
            some = [entry(f"app{number % 3}", NOON + number, f"{number} {place}") for place in range(3)]
            everything.extend(some)
            send(store, some).get()
        done.set()

    def flush() -> None:
        while not done.is_set():
            store.flush()

    threads = [threading.Thread(target=run) for run in (push, flush)]
    for thread in threads:
        thread.start()
    snapshots = []
    while not done.is_set():
        snapshots.append(store.snapshot("t"))
        if len(snapshots) > 10:
            done.wait(0.02)
    for thread in threads:
        thread.join()
    assert len({snapshot.number for snapshot in snapshots}) > 3
    for snapshot in snapshots:
        later = told([commit for commit in commits if commit.number > snapshot.number])
        assert sorted(held(snapshot) + later) == sorted(everything)
    store.close()


def test_a_snapshot_reads_blocks_that_compaction_has_replaced(tmp_path: Path) -> None:
    store = start(tmp_path)
    put = []
    for number in range(4):
        some = [entry("a", NOON + number, f"{number}")]
        put += some
        send(store, some).get()
        store.flush()
    snapshot = store.snapshot("t")
    store.compact()
    assert held(snapshot) == put
    store.close()
