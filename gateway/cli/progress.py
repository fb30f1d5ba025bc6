"""How far a long download is, for the person waiting for it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.status import Status


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
