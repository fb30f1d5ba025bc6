"""Runs the life once for every step and moment, ends it there, and checks what the next start finds.

A program: `python -m tests.crash.interrupt FOLDER PART PARTS kill|power-cut MOMENTS all|ends` (tests/crash/lives.py).
`ends`: of the steps that the same lines of code make, only the first and the last. It writes one JSON object: how many
steps a life has, how many were to be its end, at which ones it was ended, what was wrong afterwards.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.compute  # noqa: F401 - loaded once here and not by each of a thousand children

from storage import Receipt, Store, open_store
from storage.errors import StorageError
from storage.verify import verify
from tests.crash.contents import Entry, Push, differences, read_all, store_push, total
from tests.crash.life import OPTIONS, TENANTS, live, pushes
from tests.crash.lives import SPARE, UNSEEN, Say, in_child, lived
from tests.crash.steps import CRASHED, Moment, Surveyor


def main(folder: Path, kind: str, moments: Sequence[Moment], part: int, parts: int, *, everything: bool) -> None:
    """Ends a life at every `parts`-th of its steps from `part` on, at each of the moments."""
    gc.freeze()  # as in tests/crash/lives.py
    survey = _survey(folder / "whole")
    names = [name for name, _ in survey]
    # A dictionary keeps the last of equal keys.
    first, last = ({place: step for step, place in order} for order in (_numbered(survey)[::-1], _numbered(survey)))
    wanted = range(1, len(names) + SPARE) if everything else sorted({*first.values(), *last.values()})
    problems: list[str] = []
    ended: Counter[str] = Counter()
    for step in wanted[part - 1 :: parts]:
        expected = names[step - 1] if step <= len(names) else None
        for moment in moments:
            if moment is Moment.AFTER and expected in UNSEEN[kind]:
                continue
            if moment is Moment.DURING and expected != "write":
                continue
            data_dir = folder / f"{step}-{moment}"
            left = folder / f"{step}-{moment}-left" if kind == "power-cut" else None
            acknowledged, name = _interrupted(data_dir, left, step, moment)
            if name is None:
                continue
            ended[name] += 1
            found = in_child(partial(_check, left or data_dir, acknowledged))
            problems += [f"{kind} {moment} step {step} ({name}): {problem}" for problem in found]
            shutil.rmtree(data_dir)
            if left is not None:
                shutil.rmtree(left)
    chosen = Counter(names[step - 1] for step in wanted if step <= len(names))
    told = {"steps": Counter(names), "chosen": chosen, "ended": ended, "problems": problems[:50]}
    json.dump(told, sys.stdout)


def _numbered(survey: Sequence[tuple[str, str]]) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(survey, 1))


def _survey(data_dir: Path) -> list[tuple[str, str]]:
    """The names of all steps of a life that comes to its end, each with where in the code it was made."""
    lines, code = lived(partial(_live, data_dir), data_dir, None, -1, witness=Surveyor)
    assert code == 0
    steps = [line.split("\t") for line in lines if not line.isdigit()]
    return [(name, place) for name, place in steps]


def _interrupted(data_dir: Path, left: Path | None, step: int, moment: Moment) -> tuple[set[int], str | None]:
    """Which pushes were acknowledged when the life ended at a step, and which it was; None: it came to its end."""
    lines, code = lived(partial(_live, data_dir), data_dir, left, step, moment=moment)
    acknowledged = {int(line) for line in lines if line.isdigit()}
    return acknowledged, lines[-1] if code == CRASHED else None


def _live(data_dir: Path, say: Say) -> None:
    def sent(place: int, outcome: Receipt | StorageError) -> None:
        assert isinstance(outcome, Receipt), outcome
        say(place)

    live(data_dir, sent)


def _check(data_dir: Path, acknowledged: set[int]) -> list[str]:
    """What is wrong with a data directory: at once, sent again, flushed, compacted, and started again."""
    everything = pushes()
    sent = total(everything)
    store = open_store(data_dir, OPTIONS)
    problems = _wrong(store, "at once", total(everything[place] for place in acknowledged), sent)
    problems += _hidden_rows(store)
    problems += _repeat(store, everything, acknowledged)
    problems += _wrong(store, "sent again", sent, sent)
    store.flush()
    problems += _wrong(store, "flushed", sent, sent)
    problems += store.compact()
    problems += _wrong(store, "compacted", sent, sent)
    problems += _hidden_rows(store)
    store.close()
    problems += verify(data_dir, rebuild=True, report=lambda _: None).problems
    store = open_store(data_dir, OPTIONS)
    problems += _repeat(store, everything, set(range(len(everything))))
    problems += _wrong(store, "started again", sent, sent)
    store.close()
    return problems


def _wrong(store: Store, when: str, must: Counter[Entry], may: Counter[Entry]) -> list[str]:
    return [f"{when}: {problem}" for problem in differences(read_all(store, TENANTS), must, may)]


def _hidden_rows(store: Store) -> list[str]:
    """Whether rows are held twice where a reader would not see it."""
    held = sum(item.memory_rows + item.block_rows for item in store.figures().tenants.values())
    seen = read_all(store, TENANTS).total()
    return [] if held == seen else [f"{held} rows are held and {seen} seen"]


def _repeat(store: Store, everything: Sequence[Push], acknowledged: set[int]) -> list[str]:
    """Sends everything that has an id or was not acknowledged again, as a client would."""
    problems = []
    for place, push in enumerate(everything):
        if push.batch_id is None and place in acknowledged:
            continue
        outcome = store_push(store, push)
        if not isinstance(outcome, Receipt):
            problems.append(f"push {place} sent again: {outcome}")
        elif place in acknowledged and not outcome.deduplicated:
            problems.append(f"push {place} was stored under its id before and is stored again")
    return problems


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[4],
        [Moment(word) for word in sys.argv[5].split(",")],
        int(sys.argv[2]),
        int(sys.argv[3]),
        everything=sys.argv[6] == "all",
    )
