"""Where a query's time goes: seconds by stage.

`Timings` is for a query that is to be explained and has all of them; `WallTimings` for any other, which must not be
slower for it by what anybody could notice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter, thread_time
from typing import Protocol


class Stage(StrEnum):
    """What a query's time is spent on, in the order in which it comes to it."""

    PARSE = "parse query"
    PLAN = "plan"
    SELECT = "select streams and units"
    INDEX = "read footers"
    TIMES = "read times"
    LINES = "read lines"
    LINE_FILTERS = "line filters"
    COLUMNS = "stages by columns"
    ROWS = "stages row by row"
    AGGREGATE = "aggregate"
    ENCODE = "encode answer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a stage took, added up over all threads.

    Attributes:
        wall: seconds that passed on the threads that did it, waiting included.
        cpu: seconds of processor time of these threads. Threads that Arrow starts for itself are not seen.
    """

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


class Clock(Protocol):
    """What spans of time are given to."""

    def span(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of the block for a stage, less that of spans within it."""

    def by_stage(self) -> dict[Stage, Seconds]:
        """The stages that took any time so far, in order; spans that this thread is within count up to now."""


def _now() -> Seconds:
    return Seconds(perf_counter(), thread_time())


@dataclass(slots=True)
class _Open:
    """A span that has not ended: when it began, and what spans within it took."""

    stage: Stage
    began: Seconds
    within: Seconds


class Timings:
    """Adds up spans of time by stage. For several threads; a span within another is not counted in that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        self._taken: dict[Stage, Seconds] = {}

    @contextmanager
    def span(self, stage: Stage) -> Iterator[None]:
        """Counts the time of the block, as this thread sees it."""
        open_ = self._open()
        open_.append(_Open(stage, _now(), Seconds()))
        try:
            yield
        finally:
            done = open_.pop()
            taken = _now() - done.began
            if open_:
                open_[-1].within += taken
            with self._lock:
                self._taken[stage] = self._taken.get(stage, Seconds()) + taken - done.within

    def by_stage(self) -> dict[Stage, Seconds]:
        """The stages that took any time so far, in order; spans that this thread is within count up to now."""
        with self._lock:
            taken = dict(self._taken)
        now, inner = _now(), Seconds()
        for each in reversed(self._open()):
            whole = now - each.began
            taken[each.stage] = taken.get(each.stage, Seconds()) + whole - each.within - inner
            inner = whole
        return {stage: taken[stage] for stage in Stage if stage in taken}

    def _open(self) -> list[_Open]:
        """The spans that this thread is within, the innermost last."""
        try:
            found: list[_Open] = self._of_thread.open
        except AttributeError:
            found = self._of_thread.open = []
        return found


_UNTIMED = nullcontext()


class WallTimings:
    """As Timings, of the time that passed alone, and nothing of what is done with a unit that is not read.

    A span costs half a microsecond: to ask the processor's time would cost as much again, and units that are not read
    take no more than twenty.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._taken: dict[Stage, float] = {}

    def span(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of the block, as this thread sees it."""
        if stage is Stage.INDEX:
            return _UNTIMED
        return _WallSpan(self, stage)

    def by_stage(self) -> dict[Stage, Seconds]:
        """The stages that took any time so far, in order; spans that this thread is within count up to now."""
        with self._lock:
            taken = dict(self._taken)
        now, inner = perf_counter(), 0.0
        span: _WallSpan | None = getattr(self._of_thread, "open", None)
        while span is not None:
            whole = now - span.began
            taken[span.stage] = taken.get(span.stage, 0.0) + whole - span.within - inner
            inner, span = whole, span.outer
        return {stage: Seconds(taken[stage]) for stage in Stage if stage in taken}

    def opened(self, span: _WallSpan) -> None:
        """A span of this thread begins."""
        of_thread = self._of_thread
        span.outer = getattr(of_thread, "open", None)
        of_thread.open = span

    def ended(self, span: _WallSpan, seconds: float) -> None:
        """The span of this thread that began last has ended."""
        outer = self._of_thread.open = span.outer
        if outer is not None:
            outer.within += seconds
        with self._lock:
            self._taken[span.stage] = self._taken.get(span.stage, 0.0) + seconds - span.within


class _WallSpan(AbstractContextManager[None]):
    """A span of WallTimings.

    Attributes:
        stage: that it counts for.
        began: perf_counter() seconds.
        within: seconds of spans within it.
        outer: the span that it is within.
    """

    __slots__ = ("_timings", "began", "outer", "stage", "within")

    def __init__(self, timings: WallTimings, stage: Stage) -> None:
        self._timings = timings
        self.stage = stage
        self.within = 0.0
        self.outer: _WallSpan | None = None
        self.began = 0.0

    def __enter__(self) -> None:
        self._timings.opened(self)
        self.began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.ended(self, perf_counter() - self.began)
