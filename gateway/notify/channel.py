"""One notifier's notices: what waits for it, in order, until it has them.

Nothing waits for a receiver but its own notices. Those of one alert that would cancel each other out make room while
they wait, so that the queue stays as short as the list of alerts is, however long a receiver is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from config.notify import Notifier, PagerDuty
from gateway.logs import event
from gateway.notify.alert import Action, Alert, Notice
from gateway.notify.posts import post_of
from gateway.notify.sender import Again, Rejected, Sender, Sent

_log = logging.getLogger("weir.notify")

FIRST_WAIT = 1.0
"""Seconds after the first try that failed; each further wait is twice as long."""
LONGEST_WAIT = 60.0
"""Seconds between two tries at most, unless the receiver asks for more."""
LONGEST_ASKED = 600.0
"""Seconds that a receiver may ask for."""
MAX_WAITING = 200
"""Notices that wait for one notifier. Past it what is newly wrong is not told, as it could only be told late."""


@dataclass(slots=True)
class ChannelFigures:
    """What one notifier was sent since the start.

    Attributes:
        sent: notices it took.
        failures: tries that failed and are made again.
        rejected: notices that it will never take.
        dropped: notices for which there was no room.
        waiting: notices that it has not got yet.
    """

    sent: int = 0
    failures: int = 0
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0


class Channel:
    """One notifier.

    Args:
        notifier: as set.
        source: what this server is called, where the notifier does not say it.
        changed: called on the event loop when a notice has arrived.
    """

    def __init__(self, notifier: Notifier, source: str, changed: Callable[[], None]) -> None:
        self.notifier = notifier
        self.name = notifier.label()
        self.figures = ChannelFigures()
        self._source = notifier.source or source
        self._changed = changed
        self._lock = threading.Lock()
        self._waiting: deque[Notice] = deque()
        self._under_way = 0
        # What it was told or is about to be told of, and what it has been told of.
        self._raised: dict[str, Alert] = {}
        self._told: dict[str, Alert] = {}
        self._repeat_at: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()

    @property
    def told(self) -> list[Alert]:
        """Alerts that it has been told of and not of their end."""
        with self._lock:
            return list(self._told.values())

    def _wants(self, alert: Alert) -> bool:
        return alert.event in self.notifier.events

    def begin_with(self, told: Iterable[Alert], active: Collection[Alert]) -> None:
        """At the start: goes on from what it was told of before; what it missed since waits for it now."""
        for alert in told:
            self._told[alert.key] = alert
            self._raised.setdefault(alert.key, alert)  # also what it would not be told of any more: it hears the end
            if self.notifier.repeat:
                self._repeat_at[alert.key] = time.monotonic() + self.notifier.repeat / 1e9
        keys = {alert.key for alert in active}
        for alert in active:
            if alert.key not in self._raised:
                self.raised(alert)
        for alert in list(self._raised.values()):
            if alert.key not in keys:
                self.resolved(alert)

    def raised(self, alert: Alert) -> bool:
        """Something is wrong. Any thread; returns whether `wake` is to be called on the event loop."""
        if not self._wants(alert):
            return False
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self.figures.dropped += 1
                return False
            self._raised[alert.key] = alert
            self._put(Notice(Action.RAISED, alert, time.time_ns(), self._source))
        return True

    def resolved(self, alert: Alert) -> bool:
        """It is over; nothing where it was not told of it. As `raised`."""
        with self._lock:
            if self._raised.pop(alert.key, None) is None:
                return False
            if self._raised and isinstance(self.notifier, PagerDuty) and self.notifier.incident_key:
                self._told.pop(alert.key, None)
                return False  # the incident stands for what else is wrong as well
            self._put(Notice(Action.RESOLVED, alert, time.time_ns(), self._source))
        return True

    def _put(self, notice: Notice) -> None:
        """Adds a notice; of one incident at most two wait, one of each action."""
        same = [at for at, other in enumerate(self._waiting) if self._incident(other) == self._incident(notice)]
        if same and self._waiting[same[-1]].action is notice.action:
            self._waiting[same[-1]] = notice
        elif len(same) == 2:
            del self._waiting[same[-1]]  # what it took back is as it was before
        else:
            self._waiting.append(notice)
        self._count()

    def _incident(self, notice: Notice) -> str:
        own = self.notifier.incident_key if isinstance(self.notifier, PagerDuty) else ""
        return own or notice.alert.key

    def _count(self) -> None:
        self.figures.waiting = len(self._waiting) + self._under_way

    def wake(self) -> None:
        """There is something to send. On the event loop."""
        self._wake.set()

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        while self._waiting or self._under_way:
            self._quiet.clear()
            self._wake.set()
            await self._quiet.wait()

    async def run(self) -> None:
        """Sends what comes until it is cancelled."""
        sender = Sender(self.notifier)
        try:
            while True:
                notice = self._next()
                if notice is None:
                    self._quiet.set()
                    await self._pause()
                else:
                    await self._send(sender, notice)
        finally:
            await sender.close()

    async def _pause(self) -> None:
        """Waits for the next notice, or until an alert is to be told again."""
        now = time.monotonic()
        due = min(self._repeat_at.values(), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                await self._wake.wait()
        except TimeoutError:
            self._repeat()
        self._wake.clear()

    def _repeat(self) -> None:
        now = time.monotonic()
        with self._lock:
            for key in [key for key, due in self._repeat_at.items() if due <= now]:
                del self._repeat_at[key]
                if (alert := self._raised.get(key)) is not None:
                    self._put(Notice(Action.RAISED, alert, time.time_ns(), self._source))

    def _next(self) -> Notice | None:
        with self._lock:
            if not self._waiting:
                return None
            self._under_way = 1
            return self._waiting.popleft()

    async def _send(self, sender: Sender, notice: Notice) -> None:
        wait = FIRST_WAIT
        while isinstance(outcome := await sender.send(post_of(self.notifier, notice)), Again):
            self.figures.failures += 1
            pause = min(outcome.after, LONGEST_ASKED) if outcome.after else random.uniform(wait / 2, wait)  # noqa: S311 - no secret
            level = logging.WARNING if wait == FIRST_WAIT else logging.DEBUG
            event(_log, level, "a notifier cannot be reached", **self._about(notice), reason=outcome.reason)
            wait = min(2 * wait, LONGEST_WAIT)
            await asyncio.sleep(pause)
        with self._lock:
            self._under_way = 0
            self._count()
            self._arrived(notice)
        if isinstance(outcome, Rejected):
            self.figures.rejected += 1
            event(_log, logging.ERROR, "a notifier refuses a notice", **self._about(notice), reason=outcome.reason)
        elif isinstance(outcome, Sent):
            self.figures.sent += 1
            event(_log, logging.INFO, "a notifier was told", **self._about(notice))
        self._changed()

    def _about(self, notice: Notice) -> dict[str, Any]:
        return {"notifier": self.name, "action": notice.action.value, "alert": notice.alert.key}

    def _arrived(self, notice: Notice) -> None:
        key = notice.alert.key
        if notice.action is Action.RAISED:
            self._told[key] = notice.alert
            if self.notifier.repeat:
                self._repeat_at[key] = time.monotonic() + self.notifier.repeat / 1e9
        else:
            self._told.pop(key, None)
            self._repeat_at.pop(key, None)


async def tell_once(notifier: Notifier, source: str) -> str:
    """Sends a test alert to a notifier and its end after it. Returns what went wrong, empty if nothing did."""
    alert = Alert(
        "test", "a test of this notifier: nothing is wrong", {"from": "weir notify test"}, "info", time.time_ns()
    )
    sender = Sender(notifier)
    try:
        for action in Action:
            notice = Notice(action, alert, time.time_ns(), notifier.source or source)
            if not isinstance(outcome := await sender.send(post_of(notifier, notice)), Sent):
                return outcome.reason
    finally:
        await sender.close()
    return ""
