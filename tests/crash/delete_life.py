"""A delete's life, ended at each step that changes the disk, and what the next start makes of it.

A program: `python -m tests.crash.delete_life FOLDER PART PARTS kill|power-cut` (tests/crash/lives.py).

The life: entries of two streams and days go to blocks, others stay in memory; all of stream `a` is deleted; entries of
`a` come again, one of them equal to a deleted one; compaction carries the delete out, and the log is cut.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.compute  # noqa: F401 - loaded once here and not by each child

from storage import DeleteOptions, DeleteStatus, Store, open_store
from tests.crash.lives import Say, end_at_steps
from tests.storage.entries import DAY, NOON, Entry, entry, quiet, read, stored
from tests.storage.test_deletes import compiler

OPTIONS = replace(quiet(row_group_rows=4), deletes=DeleteOptions(compiler, 0.0))

OLD = [entry("a", NOON + day * DAY + n, f"old {day} {n}") for day in range(2) for n in range(6)]
OTHERS = [entry("b", NOON + day * DAY + n, f"other {day} {n}") for day in range(2) for n in range(6)]
AGAIN = [OLD[3], entry("a", NOON + 50, "new")]


def live(data_dir: Path, _elsewhere: Path, say: Say) -> None:
    """Runs the whole life; `say` is told what was acknowledged."""
    store = open_store(data_dir, OPTIONS)
    stored(store, [*OLD[::2], *OTHERS[::2]])
    store.flush()
    stored(store, [*OLD[1::2], *OTHERS[1::2]])
    say("0 pushed")
    store.delete("t", "a", NOON - DAY, NOON + 9 * DAY, "a test")
    say("1 deleted")
    stored(store, AGAIN)
    say("2 again")
    store.compact()
    store._deletes.settle()
    store.close()
    say("3 done")


def check(data_dir: Path, _elsewhere: Path, told: set[str]) -> list[str]:
    """What is wrong: at once, without index.db, compacted, and started again."""
    problems: list[str] = []
    store = open_store(data_dir, OPTIONS)
    problems += _wrong(store, "at once", told)
    store.close()
    for path in data_dir.glob("index.db*"):
        path.unlink()
    store = open_store(data_dir, OPTIONS)
    problems += _wrong(store, "without index.db", told)
    deleted = bool(store.deletes("t"))
    store.compact()
    store._deletes.settle()
    problems += _wrong(store, "compacted", told)
    if deleted and [each.record.status for each in store.deletes("t")] != [DeleteStatus.PROCESSED]:
        problems.append("the delete is not done")
    store.close()
    store = open_store(data_dir, OPTIONS)
    problems += _wrong(store, "started again", told)
    store.close()
    return problems


def _wrong(store: Store, when: str, told: set[str]) -> list[str]:
    seen = Counter(read(store))
    deleted = bool(store.deletes("t"))
    if "1 deleted" in told and not deleted:
        return [f"{when}: the delete is forgotten"]
    must: list[Entry] = []
    if "0 pushed" in told:
        must += OTHERS if deleted else [*OLD, *OTHERS]
    if "2 again" in told:
        must += AGAIN
    may = [*OTHERS, *(AGAIN if deleted else OLD)]
    problems = [f"{when}: {row} is seen {count} times" for row, count in seen.items() if count > 1]
    problems += [f"{when}: {row} is lost" for row in must if row not in seen]
    problems += [f"{when}: {row} is seen" for row in seen if row not in may]
    return problems


if __name__ == "__main__":
    end_at_steps(live, check)
