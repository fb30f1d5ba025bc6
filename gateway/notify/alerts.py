"""What is wrong with a server now, and who is told of it.

`raised` and `resolved` can be called anywhere, as often as one likes: they change a dict and return. What is wrong is
told once when it begins and once when it is over; a server that starts again goes on from there (kept.py).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.notify import Notifier
from gateway.logs import event
from gateway.notify.alert import Alert
from gateway.notify.channel import Channel, ChannelFigures
from gateway.notify.kept import Kept, State

_log = logging.getLogger("weir.notify")

MAX_ALERTS = 1000
"""Things that may be wrong at once; more of them are one too many to tell apart."""
SAVE_AGAIN = 5.0
"""Seconds between two tries to write down what was told."""

_LEVELS = {"critical": logging.ERROR, "error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


class Alerts:
    """The alerts of one server.

    Args:
        notifiers: who is told.
        source: what this server is called.
    """

    def __init__(self, notifiers: Sequence[Notifier] = (), source: str = "weir") -> None:
        self._lock = threading.Lock()
        self._active: dict[str, Alert] = {}
        self._channels: tuple[Channel, ...] = tuple(Channel(each, source, self._changed) for each in notifiers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._kept: Kept | None = None
        self._dirty = asyncio.Event()

    @property
    def active(self) -> list[Alert]:
        """What is wrong now, the oldest first."""
        with self._lock:
            return list(self._active.values())

    def figures(self) -> dict[str, ChannelFigures]:
        """What each notifier was sent, by its name."""
        return {channel.name: channel.figures for channel in self._channels}

    def raised(self, key: str, summary: str, details: Mapping[str, str] | None = None, severity: str = "error") -> None:
        """Something is wrong: told once, until `resolved`. Never blocks and never raises; any thread.

        Args:
            key: which thing: `relay/archive`, `disk`.
            summary: one sentence.
            details: more of it, by name. No secrets.
            severity: critical, error, warning or info.
        """
        with self._lock:
            if key in self._active or len(self._active) >= MAX_ALERTS:
                return
            alert = self._active[key] = Alert(key, summary, dict(details or {}), severity, time.time_ns())
            tell = [channel for channel in self._told_now() if channel.raised(alert)]
        event(_log, _LEVELS.get(severity, logging.ERROR), f"alert: {summary}", alert=key, **_named(alert.details))
        self._wake(tell)

    def resolved(self, key: str) -> None:
        """It is over; nothing if it was not raised. As `raised`."""
        with self._lock:
            alert = self._active.pop(key, None)
            if alert is None:
                return
            tell = [channel for channel in self._told_now() if channel.resolved(alert)]
        seconds = round((time.time_ns() - alert.since) / 1e9, 1)
        event(_log, logging.INFO, f"alert is over: {alert.summary}", alert=key, seconds=seconds)
        self._wake(tell)

    def keep_relays(self, names: Iterable[str]) -> None:
        """Ends the alerts of all other relays: they were taken out of the settings."""
        known = set(names)
        for alert in self.active:
            kind, _, rest = alert.key.partition("/")
            if kind == "relay" and rest.partition("/")[0] not in known:
                self.resolved(alert.key)

    def _told_now(self) -> Sequence[Channel]:
        """Before the start and behind the stop nobody: the next start compares what is wrong with what was told."""
        return self._channels if self._loop is not None else ()

    def _wake(self, channels: Sequence[Channel]) -> None:
        if self._loop is None:
            return
        with suppress(RuntimeError):  # the loop is gone: the next start tells it
            self._loop.call_soon_threadsafe(self._wake_now, channels)

    def _wake_now(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            channel.wake()
        self._dirty.set()

    def _changed(self) -> None:
        self._dirty.set()

    async def start(self, data_dir: Path) -> None:
        """Begins to send, with what was wrong before the last stop. What comes before is sent then as well."""
        before = State()
        if self._channels:
            self._kept = Kept(data_dir)
            before = await asyncio.to_thread(self._kept.load)
        with self._lock:
            self._active = {**{alert.key: alert for alert in before.active}, **self._active}
            for channel in self._channels:
                channel.begin_with(before.told.get(channel.name, ()), list(self._active.values()))
            self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.ensure_future(channel.run()) for channel in self._channels]
        for task in self._tasks:
            task.add_done_callback(_tell_end)
        if self._kept is not None:
            self._dirty.set()  # the file is made while there is room for it
            self._tasks.append(asyncio.ensure_future(self._save_often(self._kept)))

    async def stop(self, seconds: float) -> None:
        """Gives what waits so many seconds to arrive, then ends. What did not is told after the next start."""
        self._loop = None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(channel.drained() for channel in self._channels))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._kept is not None:
            with suppress(OSError):  # the disk that an alert speaks of, perhaps
                await asyncio.to_thread(self._kept.save, self._state)

    def _state(self) -> State:
        told = {channel.name: tuple(channel.told) for channel in self._channels}
        return State(tuple(self.active), told)

    async def _save_often(self, kept: Kept) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await asyncio.to_thread(kept.save, self._state)
            except OSError as error:
                event(_log, logging.DEBUG, "what was told cannot be written down", reason=error.strerror)
                self._dirty.set()
                await asyncio.sleep(SAVE_AGAIN)


def _tell_end(task: asyncio.Task[None]) -> None:
    """A notifier that ends by a fault of ours says so: nobody would be told of anything any more."""
    if not task.cancelled() and (error := task.exception()) is not None:
        event(_log, logging.ERROR, "a notifier has ended; the next start has it again", exc_info=error)


def _named(details: Mapping[str, str]) -> dict[str, Any]:
    """Details as fields of a log line, under no name that the line has already."""
    taken = ("alert", "logger", "level", "message", "exc_info")
    return {f"{name}_" if name in taken else name: value for name, value in details.items()}
