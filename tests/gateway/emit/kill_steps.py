"""Writes batches through the sink `file` and ends at every step, by SIGKILL, until all of them are archived.

A program of its own, because it forks: `python -m tests.gateway.emit.kill_steps FOLDER
SECOND...`. Each child goes on with the
batches that were not archived, as a relay does: the one in flight first, under its id. It writes one JSON object: steps
that were tried, what was wrong afterwards.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import logging
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from gateway.emit.file import FileOptions, FileSink
from gateway.relay.sink import Archived
from tests.gateway.emit.batches import outgoing

BATCHES = 3
LINES = 5
_CALLS = ("open", "pwrite", "ftruncate", "rename", "unlink", "mkdir")
"""Steps that a kill may come before, inside or behind; a sync makes no difference to it."""


def options(folder: Path) -> FileOptions:
    """Each file takes two batches, or three."""
    return FileOptions("archive", f"{folder}/{{tenant}}.jsonl", folder / "journal", rotate_size=700, gzip=False)


def line(batch: int, number: int) -> str:
    """Of a batch."""
    return f"batch {batch} line {number} " + "x" * 20


def write(folder: Path, archived: list[int]) -> None:
    """Writes what is not archived yet; `archived` is told on disk, as the ledger is, batch by batch."""

    async def main() -> None:
        sink = FileSink(options(folder))
        for batch in range(BATCHES):
            if batch not in archived:
                texts = [line(batch, number) for number in range(LINES)]
                outcome = await sink.send(outgoing(texts, uuid=UUID(int=batch + 1), tenant="t"))
                assert isinstance(outcome, Archived), outcome
                fd = _open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(fd, b"%d\n" % batch)
                os.close(fd)
        await sink.close()

    asyncio.run(main())


_open = os.open


def kill_at(step: int) -> None:
    """Has this process end at a step that changes the disk; a write is three: before, with half of it done, after."""
    left = step

    def ended() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def wrapped(name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return call(*args, **kwargs)
        if ended():
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "pwrite" and ended():
            call(args[0], bytes(args[1])[: len(args[1]) // 2], args[2])
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if ended():
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    for name in _CALLS:
        setattr(os, name, functools.partial(wrapped, name, getattr(os, name)))


def child(folder: Path, step: int) -> NoReturn:
    """One life; exit code 0 if it came to its end."""
    ledger = folder / "ledger"
    archived = [int(word) for word in ledger.read_text().split()] if ledger.exists() else []
    if step:
        kill_at(step)
    try:
        write(folder, archived)
    except BaseException as error:  # noqa: BLE001 - told by the exit code and the text
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def lives(folder: Path, *steps: int) -> int:
    """A life for each step, as long as none comes to its end; the exit code of the last."""
    code = 0
    for step in steps:
        pid = os.fork()
        if not pid:
            child(folder, step)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != -signal.SIGKILL:
            break
    return code


def lines_in(folder: Path) -> Counter[str]:
    """What the files have."""
    found: Counter[str] = Counter()
    for path in folder.glob("t.jsonl*"):
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        assert text.endswith(b"\n") or not text, path
        found.update(json.loads(each)["line"] for each in text.splitlines())
    return found


def main(folder: Path, seconds: Sequence[int]) -> None:
    """Every step; and after each, for each of `seconds` but 0, a life that ends at that step."""
    wanted = Counter(line(batch, number) for batch in range(BATCHES) for number in range(LINES))
    problems: list[str] = []
    step = tried = 0
    killed = True
    while killed:
        step += 1
        for second in seconds:
            place = folder / f"{step}-{second}"
            place.mkdir(parents=True)
            killed = lives(place, step) == -signal.SIGKILL
            code = lives(place, *([second] if second else []), 0)
            tried += killed
            if code != 0:
                problems.append(f"step {step}, {second}: exit code {code}")
            elif (found := lines_in(place)) != wanted:
                more = sorted((found - wanted).elements())[:3]
                problems.append(f"step {step}, {second}: missing {sorted(wanted - found)[:3]}, too many {more}")
            shutil.rmtree(place)
    json.dump({"steps": step - 1, "lives": tried, "problems": problems}, sys.stdout)


if __name__ == "__main__":
    logging.getLogger("weir").setLevel(logging.CRITICAL)  # that something is cut off is what happens here all the time
    main(Path(sys.argv[1]), [int(each) for each in sys.argv[2:]])
