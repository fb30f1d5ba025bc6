"""Lives of a store, each in a process of its own that ends at one of its steps, and checks of what they leave.

For programs of their own, because all of this forks: who uses it never starts a thread. tests/crash/programs.py runs
such programs.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol

from tests.crash.power_cut import PowerCut
from tests.crash.steps import CRASHED, Moment, Reporter, Steps, Witness

SPARE = 5
"""Steps past the last one of a quiet run that are tried: a busy machine may shift them."""
UNSEEN = {
    "kill": {"fsync", "fdatasync"},
    "power-cut": {"rename", "unlink", "mkdir", "truncate", "ftruncate", "posix_fallocate"},
}
"""Steps that make no difference: a kill loses nothing that was not synced, a power cut loses what is not synced yet."""
HANG = 60.0
"""Seconds after which a life or a check that hangs shows where, and fails."""

Say = Callable[[object], None]
"""Tells the program a line of text, at once: what was acknowledged begins with a digit, names of steps do not."""


class Live(Protocol):
    """A whole life."""

    def __call__(self, data_dir: Path, elsewhere: Path, say: Say, /) -> None:
        """Lives in `data_dir`; `elsewhere` is a path on another machine, which no power cut here touches."""


class Check(Protocol):
    """The next start."""

    def __call__(self, data_dir: Path, elsewhere: Path, told: set[str], /) -> list[str]:
        """What is wrong, when a life that ended had said `told`."""


def end_at_steps(live: Live, check: Check) -> None:
    """The whole of a program `FOLDER PART PARTS kill|power-cut`: ends a life at every PARTS-th step from PART on.

    It writes one JSON object: the names of the `steps` of a whole life, at how many it was `ended`, the `problems`.
    """
    folder, part, parts, kind = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    gc.freeze()  # no child goes through, and by that copies, what they all share

    def lived_in(data_dir: Path, left: Path | None = None, step: int = -1) -> tuple[list[str], int]:
        witness = Reporter if step < 0 else None
        return lived(partial(live, data_dir, _elsewhere(data_dir)), data_dir, left, step, witness=witness)

    names = [line for line in lived_in(folder / "whole")[0] if not line[0].isdigit()]
    problems: list[str] = []
    ended = 0
    for step in range(part, len(names) + SPARE, parts):
        if step <= len(names) and names[step - 1] in UNSEEN[kind]:
            continue
        data_dir = folder / f"{step}"
        left = folder / f"{step}-left" if kind == "power-cut" else None
        lines, code = lived_in(data_dir, left, step)
        if code == 0:
            continue
        ended += 1
        told = {line for line in lines if line[0].isdigit()}
        found = in_child(partial(check, left or data_dir, _elsewhere(data_dir), told))
        problems += [f"{kind} after step {step} ({lines[-1]}): {problem}" for problem in found]
        shutil.rmtree(data_dir)
        if left is not None:
            shutil.rmtree(left)
    json.dump({"steps": names, "ended": ended, "problems": problems[:50]}, sys.stdout)


def _elsewhere(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.elsewhere")


def lived(
    live: Callable[[Say], None],
    data_dir: Path,
    left: Path | None,
    step: int,
    *,
    moment: Moment = Moment.AFTER,
    witness: Callable[[Say], Witness] | None = None,
) -> tuple[list[str], int]:
    """Runs a life in a child; what it said, and its exit code: 0, or CRASHED if the step was its end.

    Args:
        live: it.
        data_dir: made for it.
        left: if the end is a power cut: what the disk has after it.
        step, moment: when to end; the last line is the name of the step then.
        witness: sees the steps, if there is to be no power cut.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _live_and_end(live, data_dir, left, step, moment, witness, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = told.read().splitlines()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, CRASHED}, f"the life failed at {moment} step {step}"
    return lines, code


def _live_and_end(
    live: Callable[[Say], None],
    data_dir: Path,
    left: Path | None,
    step: int,
    moment: Moment,
    witness: Callable[[Say], Witness] | None,
    tell: int,
) -> NoReturn:
    faulthandler.dump_traceback_later(HANG, exit=True)
    write = os.write

    def say(text: object) -> None:
        write(tell, f"{text}\n".encode())

    try:
        data_dir.mkdir()
        seen_by = witness(say) if witness is not None else None
        if left is not None:
            seen_by = PowerCut(data_dir, left)
        Steps(step, moment, say, seen_by).install()
        live(say)
    except BaseException:  # noqa: BLE001 - a forked child must not run the parent's code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def in_child(check: Callable[[], list[str]]) -> list[str]:
    """Runs a check in a process of its own: this one never starts a thread, so that it can fork."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            found = check()
        except BaseException:  # noqa: BLE001 - as above
            found = [traceback.format_exc()]
        with os.fdopen(writing, "w") as told:
            json.dump(found, told)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return [str(problem) for problem in json.loads(text)]
