"""What waits to be sent to one tail: bounded in bytes, whatever its reader does. Used on the event loop alone.

What does not fit is dropped and told: its times and labels come with the next frame that is sent.
"""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np

from gateway.tail.figures import DropReason, TailFigures
from gateway.tail.frames import Dropped, Elements, Form, Frame, empty_body, ending, frame_of

QUEUE_BYTES = 2 << 20
"""Bytes of frames that may wait for one reader. Most are held once for all who wait for them."""

MOST_TOLD = 1000
"""Dropped entries that one frame names; of more, only the count is known (Loki)."""


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
        self._untold: list[Dropped] = []
        self._news = asyncio.Event()

    def begin_after(self, number: int) -> None:
        """Has what came with commits up to `number` left out, as the reader has it. To be called once."""
        self._position = number
        frames, self._frames, self._size = self._frames, deque(), 0
        self._untold = [each for each in self._untold if each.number > number]
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
            self.drop(frame.entries, DropReason.SLOW_READER)
            return
        self._frames.append(frame)
        self._size += frame.size
        self._news.set()

    def drop(self, entries: Elements, reason: DropReason) -> None:
        """Notes entries that are not going to be sent."""
        self._figures.dropped[reason] += len(entries)
        some = slice(max(0, MOST_TOLD - len(self._untold)))
        told = zip(entries.number[some].tolist(), entries.ts[some].tolist(), entries.labels[some].tolist(), strict=True)
        self._untold += [Dropped(number, ts, entries.shown[labels]) for number, ts, labels in told]
        self._news.set()

    async def next(self) -> str:
        """The next message; waits for one."""
        while not self._frames and not self._untold:
            self._news.clear()
            await self._news.wait()
        told, self._untold = self._untold, []
        if not self._frames:
            return empty_body() + ending(self.form, told)
        frame = self._frames.popleft()
        self._size -= frame.size
        self._figures.lines += len(frame.entries)
        return frame.told(told, self.form) if told else frame.text
