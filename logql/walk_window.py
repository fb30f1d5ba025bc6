"""The entries of a stretch of time over all units that reach into it, in answer order, without their contents.

Blocks hold an hour stream by stream, so that all row groups of an hour may reach over all of it. A walk in order of
time therefore looks at the times of many units together; a window is as long as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logql.source import Direction, Unit
from logql.stream_ids import StreamIds
from storage.batch import I64, Mask
from storage.reading import Times


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What a window has of a unit.

    Attributes:
        unit: the unit.
        times: its entries in the window.
        ids: uint64[n], their streams' ids.
    """

    unit: Unit
    times: Times
    ids: NDArray[np.uint64]

    def take(self, places: I64) -> Part:
        """Some of the entries, by ascending places."""
        return Part(self.unit, self.times.take(places), self.ids[places])


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """All n entries of a stretch of time, in answer order.

    Attributes:
        parts: by unit.
        ts: int64[n], ns.
        ids: uint64[n], of streams.
        part: int64[n], which of the parts each entry is in.
        place: int64[n], where in its times.
        sizes: int64[n], bytes of the lines.
        forward: whether times ascend, and arrival among entries of one stream and time.
        mirrored: whether ids of streams descend among entries of one time.
    """

    parts: Sequence[Part]
    ts: I64
    ids: NDArray[np.uint64]
    part: I64
    place: I64
    sizes: I64
    forward: bool
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.ts)

    def same(self, ts: int, stream: int) -> I64:
        """Where the entries of one stream and time stand, ascending: one stretch."""
        low, high = self._at(ts)
        return low + np.flatnonzero(self.ids[low:high] == np.uint64(stream))

    def before(self, ts: int, stream: int) -> int:
        """How many entries come before all of one stream and time, whether there are any of these or not."""
        low, high = self._at(ts)
        ids, own = self.ids[low:high], np.uint64(stream)
        return low + int(np.count_nonzero(ids > own if self.mirrored else ids < own))

    def _at(self, ts: int) -> tuple[int, int]:
        """Between which places the entries of a time stand."""
        ascending = self.ts if self.forward else self.ts[::-1]
        low, high = (int(np.searchsorted(ascending, ts, side)) for side in ("left", "right"))
        return (low, high) if self.forward else (len(self) - high, len(self) - low)


class Windows:
    """Windows over the units of a scan, one after the other. What a window has passed is let go of."""

    def __init__(
        self,
        units: Sequence[Unit],
        direction: Direction,
        room: int,
        check: Callable[[], None],
        *,
        only: int | None = None,
        mirrored: bool = False,
    ) -> None:
        """The units come in the scan's order.

        Args:
            units: of one scan.
            direction: of the walk.
            room: entries of a window, about; all of one ns are in one window, however many.
            check: raises to stop; called before each unit is looked at.
            only: id of the one stream that is wanted; None: all.
            mirrored: whether ids of streams descend among entries of one time.
        """
        self._left = list(units)
        self._sign = 1 if direction is Direction.FORWARD else -1
        self._room = room
        self._check = check
        self._only = only
        self._mirrored = mirrored
        self._ids = StreamIds()
        self._next: int | None = None

    def following(self) -> Window | None:
        """The next window, perhaps without entries; None after the last."""
        if not self._left:
            return None
        parts, stop = self._loaded()
        window = self._ordered(parts)
        self._next = stop
        self._left = [] if stop is None else [unit for unit in self._left if self._last(unit) >= stop]
        return window

    def _first(self, unit: Unit) -> int:
        return unit.min_ts if self._sign > 0 else -unit.max_ts

    def _last(self, unit: Unit) -> int:
        return unit.max_ts if self._sign > 0 else -unit.min_ts

    def _loaded(self) -> tuple[list[Part], int | None]:
        """What the next window has of each unit, and the signed time at which it stops; None: at the end."""
        parts: list[Part] = []
        stop: int | None = None
        held = shrinks_over = 0
        for unit in self._left:
            if stop is not None and self._first(unit) >= stop:
                break
            self._check()
            part = self._part(unit, stop)
            if not len(part.times):
                continue
            parts.append(part)
            held += len(part.times)
            if held > max(self._room, shrinks_over):
                stop = self._stop(parts)
                parts = [cut for part in parts if len((cut := part.take(self._till(part.times.ts, stop))).times)]
                held = sum(len(part.times) for part in parts)
                shrinks_over = 2 * held  # entries of one ns are not looked at again and again
        return parts, stop

    def _stop(self, parts: Sequence[Part]) -> int:
        """A signed time before which the window has half its room full, or one ns at least."""
        keys = self._sign * np.concatenate([part.times.ts for part in parts])
        half = min(self._room // 2, len(keys) - 1)
        return max(int(np.partition(keys, half)[half]), int(keys.min()) + 1)

    def _till(self, ts: I64, stop: int) -> I64:
        return np.flatnonzero(self._sign * ts < stop)

    def _part(self, unit: Unit, stop: int | None) -> Part:
        times = unit.times()
        ids = self._ids.of(times.streams, times.stream)
        wanted: Mask = np.ones(len(times), np.bool_)
        if self._next is not None:
            wanted &= self._sign * times.ts >= self._next
        if stop is not None:
            wanted &= self._sign * times.ts < stop
        if self._only is not None:
            wanted &= ids == np.uint64(self._only)
        part = Part(unit, times, ids)
        return part if wanted.all() else part.take(np.flatnonzero(wanted))

    def _ordered(self, parts: list[Part]) -> Window:
        forward = self._sign > 0
        # One after the other as they arrived, or the other way round: what ties stays so.
        parts.sort(key=lambda part: part.unit.arrival, reverse=not forward)
        counts = [len(part.times) for part in parts]
        turn = slice(None, None, self._sign)
        none: I64 = np.zeros(0, np.int64)
        ts = np.concatenate([none, *(part.times.ts[turn] for part in parts)])
        ids = np.concatenate([none.astype(np.uint64), *(part.ids[turn] for part in parts)])
        place = np.concatenate([none, *(np.arange(count, dtype=np.int64)[turn] for count in counts)])
        sizes = np.concatenate([none, *(part.unit.lengths(part.times)[turn] for part in parts)])
        of = np.repeat(np.arange(len(parts), dtype=np.int64), counts)
        order = np.argsort(self._sign * ts, kind="stable")
        ordered = ts[order]
        same = ordered[1:] == ordered[:-1]
        if same.any():
            tied: Mask = np.zeros(len(order), np.bool_)
            tied[1:] |= same
            tied[:-1] |= same
            some = order[tied]
            rank = ~ids[some] if self._mirrored else ids[some]
            order[tied] = some[np.lexsort((rank, self._sign * ts[some]))]
        return Window(parts, ts[order], ids[order], of[order], place[order], sizes[order], forward, self._mirrored)
