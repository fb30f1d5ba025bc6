"""A delete's life, ended at each step that changes the disk, and what the next start makes of it.

A program of its own, because it forks: `python -m tests.crash.delete_life FOLDER kill|power-cut PART PARTS`. It writes
one JSON object: the names of the steps of a whole life, at how many it was ended, what was wrong afterwards.

The life: entries of two streams and days go to blocks, others stay in memory; all of stream `a` is deleted; entries of
`a` come again, one of them equal to a deleted one; compaction carries the delete out, and the log is cut.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import shutil
import sys
import traceback
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pyarrow.compute  # noqa: F401 - loaded once here and not by each child

from storage import DeleteOptions, DeleteStatus, Store, open_store
from tests.crash.interrupt import HANG, SPARE, UNSEEN, in_child
from tests.crash.power_cut import PowerCut
from tests.crash.steps import CRASHED, Moment, Reporter, Steps, Witness
from tests.storage.entries import DAY, NOON, Entry, entry, quiet, read, stored
from tests.storage.test_deletes import compiler

OPTIONS = replace(quiet(row_group_rows=4), deletes=DeleteOptions(compiler, 0.0))

OLD = [entry("a", NOON + day * DAY + n, f"old {day} {n}") for day in range(2) for n in range(6)]
OTHERS = [entry("b", NOON + day * DAY + n, f"other {day} {n}") for day in range(2) for n in range(6)]
AGAIN = [OLD[3], entry("a", NOON + 50, "new")]


def live(data_dir: Path, say: object) -> None:
    """Runs the whole life; `say` is told what was acknowledged."""
    assert callable(say)
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


def check(data_dir: Path, told: set[str]) -> list[str]:
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


def main(folder: Path, kind: str, part: int, parts: int) -> None:
    """Ends a life at every `parts`-th step from `part` on."""
    gc.freeze()  # no child goes through, and by that copies, what they all share
    names = [line for line in _lived(folder / "whole", None, -1, everything=True)[0] if not line[0].isdigit()]
    problems: list[str] = []
    ended = 0
    for step in range(part, len(names) + SPARE, parts):
        if step <= len(names) and names[step - 1] in UNSEEN[kind]:
            continue
        data_dir = folder / f"{step}"
        left = folder / f"{step}-left" if kind == "power-cut" else None
        lines, code = _lived(data_dir, left, step)
        if code == 0:
            continue
        ended += 1
        found = in_child(partial(check, left or data_dir, {line for line in lines if line[0].isdigit()}))
        problems += [f"{kind} after step {step} ({lines[-1]}): {problem}" for problem in found]
        shutil.rmtree(data_dir)
        if left is not None:
            shutil.rmtree(left)
    json.dump({"steps": names, "ended": ended, "problems": problems[:50]}, sys.stdout)


def _lived(data_dir: Path, left: Path | None, step: int, *, everything: bool = False) -> tuple[list[str], int]:
    """What a life said, and how it ended, in a child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _live_and_end(data_dir, left, step, writing, everything=everything)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = told.read().splitlines()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, CRASHED}, f"the life failed at step {step}"
    return lines, code


def _live_and_end(data_dir: Path, left: Path | None, step: int, tell: int, *, everything: bool) -> NoReturn:
    faulthandler.dump_traceback_later(HANG, exit=True)
    write = os.write

    def say(text: object) -> None:
        write(tell, f"{text}\n".encode())

    try:
        data_dir.mkdir()
        witness: Witness | None = Reporter(say) if everything else None
        if left is not None:
            witness = PowerCut(data_dir, left)
        Steps(step, Moment.AFTER, say, witness).install()
        live(data_dir, say)
    except BaseException:  # noqa: BLE001 - a forked child must not run the parent's code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
