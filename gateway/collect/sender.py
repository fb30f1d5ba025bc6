"""Batches on their way: each sent again and again until the server has it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from uuid import UUID, uuid5

import snappy

from gateway.collect.delivery import Again, Conflict, Delivery, Outcome, Taken, TooLarge
from gateway.collect.figures import CollectorFigures
from gateway.collect.spool import Head, Sealed
from gateway.logs import event

_log = logging.getLogger("weir.collect")

FIRST_WAIT = 0.25
LONGEST_WAIT = 30.0
"""Seconds between two tries, from the first to the last; half of that at least, so that many do not come at once."""
_TOLD_EVERY = 60.0


class _Stopped(Exception):  # noqa: N818 - named for what happened
    """The sender ends; what was not acknowledged is sent by the next one."""


class Sender:
    """Threads that send batches.

    Args:
        connect: makes the way to the server, for one thread.
        in_flight: threads.
        sent: is told, on such a thread, of each batch that is settled.
        figures: counted on.
    """

    def __init__(
        self, connect: Callable[[], Delivery], in_flight: int, sent: Callable[[Head], None], figures: CollectorFigures
    ) -> None:
        self._connect = connect
        self._sent = sent
        self._figures = figures
        self._queue: SimpleQueue[Sealed | None] = SimpleQueue()
        self._stop = threading.Event()
        self._told: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"collect-send-{number}", daemon=True)
            for number in range(in_flight)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, sealed: Sealed) -> None:
        """Takes a batch."""
        self._queue.put(sealed)

    def stop(self, seconds: float) -> None:
        """Ends all waiting, and the threads; one that waits for an answer longer than `seconds` is left behind."""
        self._stop.set()
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        delivery = self._connect()
        try:
            while (sealed := self._queue.get()) is not None and not self._stop.is_set():
                refused, reason = self._deliver(delivery, sealed.body, sealed.head.id)
                if refused:
                    self._figures.refused += refused
                    event(
                        _log,
                        logging.WARNING,
                        "the server refused lines",
                        lines=refused,
                        batch=str(sealed.head.id),
                        files=", ".join(sorted({each.path for each in sealed.head.moved})[:5]),
                        error=reason[:1000],
                    )
                self._sent(sealed.head)
        except _Stopped:
            return
        finally:
            delivery.close()

    def _deliver(self, delivery: Delivery, body: bytes, batch_id: UUID) -> tuple[int, str]:
        """Sends a batch until it is settled; lines that were refused, and why. Raises _Stopped."""
        tries = 0
        while True:
            if self._stop.is_set():
                raise _Stopped
            outcome: Outcome = delivery.send(body, batch_id)
            match outcome:
                case Taken():
                    self._figures.deduplicated += outcome.deduplicated
                    self._figures.last_acknowledged = time.time()
                    return outcome.refused, outcome.reason
                case Conflict():
                    batch_id = uuid5(batch_id, "again")
                    event(_log, logging.WARNING, "the server has another batch of this id", reason=outcome.reason)
                case TooLarge():
                    return self._halves(delivery, body, batch_id, outcome.reason)
                case Again():
                    self._figures.retries[outcome.kind] += 1
                    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
                    wait = max(wait, min(outcome.wait or 0.0, 10 * LONGEST_WAIT))
                    tries += 1
                    self._tell(outcome.reason, wait)
                    self._stop.wait(wait)

    def _halves(self, delivery: Delivery, body: bytes, batch_id: UUID, reason: str) -> tuple[int, str]:
        """Sends the halves of a batch that is too large, under ids that follow from its own."""
        first, second = _halved(body)
        if not second:
            return 1, reason
        refused, text = self._deliver(delivery, first, uuid5(batch_id, "first"))
        more, other = self._deliver(delivery, second, uuid5(batch_id, "second"))
        return refused + more, text or other

    def _tell(self, reason: str, wait: float) -> None:
        now = time.monotonic()
        if now - self._told.get(reason, -_TOLD_EVERY) >= _TOLD_EVERY:
            if len(self._told) > 100:
                self._told.clear()
            self._told[reason] = now
            event(_log, logging.WARNING, "a batch has to wait", reason=reason[:1000], again_in=f"{wait:.1f}s")


def _halved(body: bytes) -> tuple[bytes, bytes]:
    """A batch as two of half as many entries; the second is empty where there is one entry."""
    from gateway.push.push_messages import PushRequest  # noqa: PLC0415 - only where a batch is too large

    whole = PushRequest()
    whole.ParseFromString(snappy.decompress(body))
    left = total = sum(len(stream.entries) for stream in whole.streams)
    if total < 2:
        return body, b""
    left = total // 2
    halves = PushRequest(), PushRequest()
    for stream in whole.streams:
        cut = min(left, len(stream.entries))
        left -= cut
        for half, entries in zip(halves, (stream.entries[:cut], stream.entries[cut:]), strict=True):
            if entries:
                half.streams.add(labels=stream.labels).entries.extend(entries)
    first, second = (snappy.compress(half.SerializeToString()) for half in halves)
    return first, second
