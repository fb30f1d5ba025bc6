"""The collector: one thread that reads, cuts into batches and notes how far it is; others send."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from gateway.client.errors import BadArgument
from gateway.collect.building import Building
from gateway.collect.clock import ReadingClock
from gateway.collect.delivery import Delivery
from gateway.collect.figures import CollectorFigures
from gateway.collect.followed import Followed, Reading
from gateway.collect.following import Following
from gateway.collect.positions import Position, Positions, read_positions, write_positions
from gateway.collect.rules import Rule
from gateway.collect.sender import Sender
from gateway.collect.sources import Changed, Damaged
from gateway.collect.spool import Head, Spool
from gateway.logs import event

_log = logging.getLogger("weir.collect")

AHEAD = 1
"""Batches that wait on disk while others are sent, so that reading and sending go on at the same time."""
_SAVE_EVERY = 0.25
_SAVED_BATCHES = 16
"""Seconds, and acknowledged batches, after which positions are written."""
_DISK_AGAIN = 5.0
"""Seconds after which a disk that could not be written is tried again."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a collector works.

    Attributes:
        state: the folder of positions and batches.
        reading: how files are read.
        batch_size: bytes of lines of a batch.
        batch_wait: seconds after which a smaller one is sent.
        in_flight: batches sent at once.
        poll: seconds between two looks at the files.
        scan: seconds between two looks for files.
        once: end when all that is there is stored.
    """

    state: Path
    reading: Reading
    batch_size: int = 1 << 20
    batch_wait: float = 1.0
    in_flight: int = 1
    poll: float = 0.25
    scan: float = 1.0
    once: bool = False


class Collector:
    """Follows files; for one thread, in which `run` is called.

    Args:
        rules: which files.
        options: how.
        connect: makes a way to the server, for each sending thread.
        figures: counted on.
        shown: is called now and then, for somebody who watches.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        options: Options,
        connect: Callable[[], Delivery],
        figures: CollectorFigures | None = None,
        shown: Callable[[], None] | None = None,
    ) -> None:
        self._rules = rules
        self._options = options
        self._connect = connect
        self.figures = figures or CollectorFigures()
        self._shown = shown or (lambda: None)
        self._clock = ReadingClock()
        self._building = Building(self._clock)
        self._settled: SimpleQueue[Head | None] = SimpleQueue()
        self._on_way: dict[int, Head] = {}
        self._acknowledged: set[int] = set()
        self._stop = threading.Event()
        self._last_served = 0
        self._disk_again = 0.0

    def stop(self) -> None:
        """Ends `run` soon; from any thread, and from a signal's handler."""
        self._stop.set()
        self._settled.put(None)

    def run(self, grace: float = 5.0) -> None:
        """Follows the files until `stop`, or once through.

        Args:
            grace: seconds in which the batches on their way may still be acknowledged after `stop`.

        Raises:
            BadArgument: another process uses the state, or it is none.
            OSError: the state cannot be read or written at the start.
        """
        state = self._options.state
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(state):
            self._spool = Spool(state / "batches")
            saved = read_positions(state)
            left = self._spool.left(saved.upto)
            self._saved: dict[int, Position] = {each.key: each for each in saved.files}
            self._upto = self._number = saved.upto
            latest = dict(self._saved)
            for sealed in left:
                latest |= {each.key: each for each in sealed.head.moved}
            self._following = Following(self._rules, [latest[key] for key in sorted(latest)], self.figures)
            sender = Sender(self._connect, self._options.in_flight, self._settled.put, self.figures)
            self._sender = sender
            for sealed in left:
                self._number = sealed.head.number
                self._on_way[self._number] = sealed.head
                sender.put(sealed)
            self.figures.running = True
            try:
                self._follow()
                self._end(grace)
            finally:
                self.figures.running = False
                sender.stop(grace)
                self._following.close()

    def _follow(self) -> None:
        options = self._options
        next_scan = next_save = next_shown = 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            if now >= next_scan:
                self._following.scan()
                next_scan = time.monotonic() + options.scan
                if options.once:
                    for file in self._following.files:
                        file.is_ending = True
            has_read = self._read(now)
            building = self._building
            if building and (building.size >= options.batch_size or now - building.begun >= self._wait(has_read)):
                self._seal(now)
            if now >= next_save or len(self._acknowledged) >= _SAVED_BATCHES:
                self._save()
                next_save = now + _SAVE_EVERY
            if now >= next_shown:
                self._shown()
                next_shown = now + 0.25
            if options.once and not has_read and self._is_through():
                return
            self._take_settled(0.0 if has_read and self._has_room else options.poll)

    def _wait(self, has_read: bool) -> float:
        """Seconds that a batch is waited for: not for files that are at their end, where there is only that."""
        return 0.0 if self._options.once and not has_read else self._options.batch_wait

    @property
    def _has_room(self) -> bool:
        return (
            len(self._on_way) - len(self._acknowledged) < self._options.in_flight + AHEAD
            and time.monotonic() >= self._disk_again
        )

    def _read(self, now: float) -> bool:
        """Reads into the batch, a piece of each file in turn; whether there may be more."""
        building, options = self._building, self._options
        files = sorted(
            self._following.files, key=lambda file: (file.position.key <= self._last_served, file.position.key)
        )
        has_read = False
        for file in files:
            if building.size >= options.batch_size:
                return True
            has_read |= self._read_file(file, now)
        return has_read

    def _read_file(self, file: Followed, now: float) -> bool:
        reading = self._options.reading
        try:
            piece = file.read(reading, now)
            if piece is not None:
                file.take(piece)
                stream = partial(file.rule.stream, file.position.path)
                times = file.time_rule(piece.entries)
                file.position = self._building.add(file.position, piece.entries, stream, times)
                self.figures.read += len(piece.data)
                self._last_served = file.position.key
                return True
            if file.is_finished(reading, now):
                self._following.finish(file)
        except Changed:
            self._following.begin_anew(file)
        except (Damaged, OSError) as error:
            self._following.trouble(file, error)
        return False

    def _seal(self, now: float) -> None:
        """Makes the batch durable and sends it, if there is room for one more."""
        if not self._has_room:
            return
        building = self._building
        if not building.lines:
            # Nothing but empty lines: there is nothing to send.
            self._following.changed = True
            self._building = Building(self._clock)
            return
        if self._following.changed:
            # The rest of a file that was begun anew must be known no later than what the file has now: else its copy,
            # after a kill, would be taken for a new file.
            for position in self._following.positions:
                if self._saved.get(position.key) != position:
                    building.moved.setdefault(position.key, position)
        sealed = building.seal(self._number + 1)
        try:
            self._spool.put(sealed)
        except OSError as error:
            self._disk_failed(error, now)
            return
        self._number += 1
        self._on_way[self._number] = sealed.head
        self.figures.lines += building.lines
        self.figures.unsent = len(self._on_way) - len(self._acknowledged)
        self._building = Building(self._clock)
        self._sender.put(sealed)

    def _disk_failed(self, error: OSError, now: float) -> None:
        self._disk_again = now + _DISK_AGAIN
        self.figures.errors += 1
        event(_log, logging.ERROR, "the state cannot be written", folder=str(self._options.state), error=error.strerror)

    def _take_settled(self, seconds: float) -> None:
        """Counts acknowledged batches; waits for the first of them up to `seconds`."""
        try:
            head = self._settled.get(timeout=seconds) if seconds else self._settled.get_nowait()
            while True:
                if head is not None:
                    self._acknowledged.add(head.number)
                    self.figures.batches += 1
                    self.figures.unsent = len(self._on_way) - len(self._acknowledged)
                head = self._settled.get_nowait()
        except Empty:
            return

    def _save(self) -> None:
        """Writes positions behind the batches that are acknowledged with all before them."""
        upto = self._upto
        while upto + 1 in self._acknowledged:
            upto += 1
        if upto == self._upto and not self._following.changed:
            return
        for number in range(self._upto + 1, upto + 1):
            self._saved |= {each.key: each for each in self._on_way[number].moved}
        # Of files with nothing on its way it is where they are now that counts: they may be new, done or gone.
        held = set(self._building.moved)
        for number, head in self._on_way.items():
            if number > upto:
                held |= {each.key for each in head.moved}
        now = {each.key: each for each in self._following.positions if each.key not in held}
        self._saved = {key: each for key, each in self._saved.items() if key in held} | now
        self._following.changed = bool(held)
        try:
            write_positions(self._options.state, Positions(upto, [self._saved[key] for key in sorted(self._saved)]))
            for number in range(self._upto + 1, upto + 1):
                self._spool.drop(number)
        except OSError as error:
            self._disk_failed(error, time.monotonic())
            self._following.changed = True
            return
        for number in range(self._upto + 1, upto + 1):
            del self._on_way[number]
            self._acknowledged.discard(number)
        self._upto = upto

    def _is_through(self) -> bool:
        """Whether all that is there is stored."""
        following = self._following
        is_read = not following.has_young and all(file.source is None for file in following.files)
        return is_read and not self._building and len(self._acknowledged) == len(self._on_way)

    def _end(self, grace: float) -> None:
        """Waits a little for what is on its way, and notes it."""
        deadline = time.monotonic() + grace
        while len(self._acknowledged) < len(self._on_way) and (left := deadline - time.monotonic()) > 0:
            self._take_settled(min(left, 0.25))
        self._save()
        self._shown()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process a state."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadArgument(f"another collector uses {folder}: give this one a folder of its own") from error
        yield
    finally:
        os.close(file)
