"""Ends the process before, inside or after the k-th step that changes the disk. Nothing in the product knows of it.

A step is one call of what changes the disk: an open for writing, a write, a sync, a rename, an unlink, a cut, a new
folder, a SQLite commit. Writes to one file with nothing between them are one step: a block is written in a hundred.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol

CRASHED = 9
"""Exit code of a process that was ended here."""

_STORAGE = Path(__file__).parents[2] / "storage"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CALLS = ("fsync", "fdatasync", "rename", "replace", "unlink", "truncate", "ftruncate", "mkdir", "posix_fallocate")


class Moment(StrEnum):
    """When, around its step, the process ends. `DURING` is for writes: half of the bytes are written."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Witness(Protocol):
    """Sees each step after it is done, and the end."""

    def saw(self, name: str, args: tuple[Any, ...]) -> None:
        """The step `os.<name>(*args)` is done."""

    def end(self) -> None:
        """The process ends here."""


class Reporter:
    """A witness that only says the names of the steps."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def saw(self, name: str, _args: tuple[Any, ...]) -> None:
        self._say(name)

    def end(self) -> None:
        """Nothing is left to say."""


class Surveyor(Reporter):
    """A witness that says the name of each step and, behind a tab, a number of the code that it came from."""

    def saw(self, name: str, _args: tuple[Any, ...]) -> None:
        lines = []
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if Path(frame.f_code.co_filename).is_relative_to(_STORAGE):
                lines.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        self._say(f"{name}\t{hash(tuple(lines))}")


class Steps:
    """Counts steps and ends the process at the chosen one."""

    def __init__(
        self,
        target: int,
        moment: Moment,
        tell: Callable[[str], object],
        witness: Witness | None = None,
        *,
        thread: str | None = None,
    ) -> None:
        """`tell` gets the name of the step at which the process ends. `thread`: only its steps count."""
        self.count = 0
        self._thread = thread
        self._target = target
        self._moment = moment
        self._tell = tell
        self._witness = witness
        self._lock = threading.RLock()
        self._write = os.write
        self._writing: int | None = None

    def install(self) -> None:
        """Puts itself in front of every call that changes the disk, for the rest of the process."""
        for name in _CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        really_open = os.open

        def open_(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if not flags & _WRITING:
                return really_open(path, flags, *args, **kwargs)
            return int(self.step("open", really_open, path, flags, *args, **kwargs))

        os.open = open_
        os.write = functools.partial(self.step, "write", self._write)
        connect: Any = functools.partial(sqlite3.connect, factory=self._connection())
        sqlite3.connect = connect

    def step(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One step."""
        if self._thread is not None and threading.current_thread().name != self._thread:
            return call(*args, **kwargs)
        with self._lock:
            file = args[0] if name == "write" else None
            if file is not None and file == self._writing:
                return call(*args, **kwargs)
            self._writing = file
            self.count += 1
            here = self.count == self._target
            if here and self._moment is Moment.BEFORE:
                self._end(name)
            if here and self._moment is Moment.DURING and name == "write":
                fd, data = args
                self._write(fd, data[: len(data) // 2])
                self._end(name)
            try:
                result = call(*args, **kwargs)
            except BaseException:
                self.count -= 1  # it changed nothing and nobody saw it: the next one has its number
                raise
            if self._witness is not None:
                self._witness.saw(name, args)
            if here:
                self._end(name)
            return result

    def _end(self, name: str) -> None:
        self._tell(name)
        if self._witness is not None:
            self._witness.end()
        if self._thread is not None:  # others run: they are to notice nothing, as of kill -9
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(CRASHED)

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return functools.partial(self.step, name, call)

    def _connection(self) -> type[sqlite3.Connection]:
        step = self.step

        class SteppedConnection(sqlite3.Connection):
            """Each commit is a step: SQLite answers for what is inside one."""

            def commit(self) -> None:
                step("sqlite commit", super().commit)

            def executescript(self, script: str, /) -> sqlite3.Cursor:
                cursor: sqlite3.Cursor = step("sqlite script", super().executescript, script)
                return cursor

            def __exit__(
                self,
                kind: type[BaseException] | None,
                error: BaseException | None,
                trace: TracebackType | None,
                /,
            ) -> Literal[False]:
                step("sqlite transaction", super().__exit__, kind, error, trace)
                return False

        return SteppedConnection
