"""What waits to be sent to one tail: bounded in bytes, whatever its reader does. Used on the event loop alone.

What does not fit is dropped and told: its times and labels come with the next frame that is sent. While the reader is
still being sent what there was, drops are kept with their commits: which of them it has already may not be known yet.
"""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np

from gateway.tail.figures import DropReason, TailFigures
from gateway.tail.frames import Dropped, Elements, Form, Frame, empty_body, ending, frame_of
from storage.batch import I64

QUEUE_BYTES = 2 << 20
"""Bytes of frames that may wait for one reader. Most are held once for all who wait for them."""

MOST_TOLD = 1000
"""Dropped entries that one frame names, the last; of more, only the count is known (Loki)."""


class Outbox:
    """One tail's frames.

    Attributes:
        form: of the frames.
    """

    def __init__(self, form: Form, figures: TailFigures) -> None:
        self.form = form
        self._figures = figures
        self._position: int | None = None
        self._frames: deque[Frame] = deque()
        self._size = 0
        self._untold: deque[Elements] = deque()
        self._untold_count = 0
        self._news = asyncio.Event()

    def begin_after(self, number: int) -> None:
        """Has what came with commits up to `number` left out, as the reader has it; again when it has more."""
        self._position = number
        frames, self._frames, self._size = self._frames, deque(), 0
        untold, self._untold, self._untold_count = self._untold, deque(), 0
        for entries in untold:
            self._note(entries.take(np.flatnonzero(entries.number > number)))
        for frame in frames:
            self.put(frame)

    def put(self, frame: Frame) -> None:
        """Takes a frame in, or drops it."""
        if self._position is not None and frame.first <= self._position:
            if frame.last <= self._position:
                return
            new = np.flatnonzero(frame.entries.number > self._position)
            frame = frame_of(frame.entries.take(new), self.form)
        if self._frames and self._size + frame.size > QUEUE_BYTES:
            self.drop(frame.entries, np.ones(len(frame.entries), np.int64), DropReason.SLOW_READER)
            return
        self._frames.append(frame)
        self._size += frame.size
        self._news.set()

    def drop(self, entries: Elements, counts: I64, reason: DropReason) -> None:
        """Notes entries that are not going to be sent; `counts`: int64[n], how many each stands for."""
        entries = entries.textless()
        if self._position is not None:
            new = np.flatnonzero(entries.number > self._position)
            entries, counts = entries.take(new), counts[new]
        self._figures.dropped[reason] += int(counts.sum())
        self._note(entries)

    def _note(self, entries: Elements) -> None:
        if not len(entries):
            return
        self._untold.append(entries)
        self._untold_count += len(entries)
        while self._untold_count - len(self._untold[0]) >= MOST_TOLD:
            self._untold_count -= len(self._untold.popleft())
        self._news.set()

    def _take_untold(self) -> list[Dropped]:
        untold, self._untold, self._untold_count = self._untold, deque(), 0
        told: list[Dropped] = []
        for entries in untold:
            some = zip(entries.number.tolist(), entries.ts.tolist(), entries.labels.tolist(), strict=True)
            told += [Dropped(number, ts, entries.shown[labels]) for number, ts, labels in some]
        return told[-MOST_TOLD:]

    async def next(self) -> str:
        """The next message; waits for one."""
        while not self._frames and not self._untold:
            self._news.clear()
            await self._news.wait()
        told = self._take_untold()
        if not self._frames:
            return empty_body() + ending(self.form, told)
        frame = self._frames.popleft()
        self._size -= frame.size
        self._figures.lines += len(frame.entries)
        return frame.told(told, self.form) if told else frame.text
