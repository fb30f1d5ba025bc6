"""How far an import is, for the person waiting for it: on stderr, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gateway.cli.exits import say
from gateway.cli.terminal import escape_controls
from gateway.client.importing import Figures, Source

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Meter:
    """A bar of bytes, with lines, the rate and the file; what a server says that is waited for stands above it."""

    def __init__(self, sources: Sequence[Source], figures: Figures) -> None:
        self._on = sys.stderr.isatty()
        self._figures = figures
        known = all(source.path is not None and not source.packing for source in sources)
        self._total = sum(source.size for source in sources) if known else None
        self._name = ""
        self._waited = ""
        self._shown: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown[0].stop()

    def begin(self, source: Source) -> None:
        """The next file."""
        self._name = source.name
        self.show()

    def show(self) -> None:
        """The figures have changed."""
        if not self._on:
            return
        bar, task = self._shown = self._shown or self._start()
        figures = self._figures
        bar.update(
            task,
            completed=figures.bytes + figures.skipped,
            total=self._total,
            lines=f"{figures.lines:,} lines",
            name=escape_controls(self._name),
        )

    def waits(self, text: str) -> None:
        """A batch has to wait; each new reason is said once."""
        reason = text.rpartition(";")[0]
        if reason != self._waited:
            self._waited = reason
            say(text)

    def _start(self) -> tuple[Progress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 - rich costs start-up time that short commands need not pay
        from rich.progress import (  # noqa: PLC0415 - as above
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Columns  # noqa: PLC0415 - as above

        columns = (
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[lines]}"),
            TransferSpeedColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[name]}", markup=False),
        )
        bar = Columns(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task("", total=self._total, lines="", name="")
        bar.start()
        return bar, task
