"""How far a long download or a long look at files is, for the person waiting for it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gateway.cli.terminal import escape_controls

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.status import Status

    from storage.copying import Progress as FileProgress


class Progress:
    """A counter on stderr, from the second page on; silent unless stderr is a terminal and stdout is not."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty() and not sys.stdout.isatty()
        self._began = time.monotonic()
        self._lines = 0
        self._pages = 0
        self._status: Status | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def advance(self, lines: int) -> None:
        """Another page of `lines` lines has been written."""
        self._lines += lines
        self._pages += 1
        if not self._on or self._pages < 2:
            return
        if self._status is None:
            from rich.console import Console  # noqa: PLC0415 - rich costs start-up time that short commands need not pay

            self._status = self._stack.enter_context(Console(stderr=True).status(""))
        rate = self._lines / max(time.monotonic() - self._began, 0.001)
        self._status.update(f"{self._lines:,} lines, {rate:,.0f} a second")


class Bar:
    """A bar on stderr for work on files, as bytes of those that are known; silent unless stderr is a terminal."""

    def __init__(self, done: str) -> None:
        """`done` says what is done with files: "copied"."""
        self._on = sys.stderr.isatty()
        self._done = done
        self._shown: tuple[RichProgress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown[0].stop()

    def show(self, progress: FileProgress) -> None:
        """How far it is now."""
        if not self._on:
            return
        if self._shown is None:
            self._shown = self._start()
        bar, task = self._shown
        bar.update(task, completed=progress.done, total=progress.total, name=escape_controls(progress.name))

    def _start(self) -> tuple[RichProgress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 - as above
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - as above
        from rich.progress import Progress as Columns  # noqa: PLC0415 - as above

        columns = (
            DownloadColumn(binary_units=True),
            TextColumn(self._done),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[name]}", markup=False),
        )
        bar = Columns(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task("", total=None, name="")
        bar.start()
        return bar, task
