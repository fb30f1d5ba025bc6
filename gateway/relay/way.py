"""X-Weir-Path: which servers a batch may have been through, so that a loop of upstreams is refused.

A batch names the server that sends it and all that this one has heard relay batches from lately: a row may have come by
any of them. Who finds itself named refuses the batch (508). Servers are told apart by the origin of their log, a random
id made with the data directory, and shown by their names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

KEPT = 86_400_000_000_000
"""ns for which a server is named after the last batch from it; longer while what came since it waits to be sent."""
MOST_BYTES = 4096
"""Of the header: proxies refuse more than 8 KB of all headers. If not all servers fit, they take turns, and a loop is
found some batches later."""
MOST_SERVERS = 10_000
"""Servers that are remembered; the ones heard of longest ago go first."""
_MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class Stop:
    """One server on the way.

    Attributes:
        origin: hex, of its log.
        name: what it calls itself.
    """

    origin: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.origin[:8]})" if self.name else self.origin

    @property
    def text(self) -> str:
        """As it stands in the header."""
        name = quote(self.name[:_MOST_NAME], safe="")
        return f"{self.origin};{name}" if name else self.origin


def read_path(header: str) -> tuple[Stop, ...]:
    """The servers that the header names, the sender first. What is none is passed over."""
    stops = []
    for item in header.split(","):
        origin, _, name = item.strip().partition(";")
        if origin:
            stops.append(Stop(origin.lower(), unquote(name)))
    return tuple(stops)


class Loop(Exception):  # noqa: N818 - named for what was found
    """A batch came to a server that it has been at (508)."""

    def __init__(self, here: Stop, path: Iterable[Stop]) -> None:
        chain = " <- ".join(str(stop) for stop in path)
        super().__init__(
            f"this server, {here}, is on the way of what is sent to it: {chain}. Its upstreams lead back to it, and "
            f"what it sent would come again for ever: take one of them away"
        )


class Way:
    """What a server knows of the way of the rows it has. For the event loop."""

    def __init__(self, name: str, oldest: Callable[[], int] = lambda: 0) -> None:
        """`oldest`: ns when the oldest row that waits to be sent came in; 0: there is none."""
        self.here = Stop("", name)
        self._oldest = oldest
        self._heard: dict[Stop, int] = {}

    def opened(self, origin: str) -> None:
        """The origin of this server's log is known now."""
        self.here = Stop(origin.lower(), self.here.name)

    def check(self, path: Iterable[Stop]) -> None:
        """Raises Loop if a batch with such a header has been here."""
        path = tuple(path)
        if any(stop.origin == self.here.origin for stop in path):
            raise Loop(self.here, path)

    def heard(self, path: Iterable[Stop], at: int | None = None) -> None:
        """A batch with such a header came, at `at` ns (now)."""
        now = time.time_ns() if at is None else at
        for stop in path:
            latest = max(now, self._heard.pop(stop, 0))
            self._heard[stop] = latest
        while len(self._heard) > MOST_SERVERS:
            del self._heard[next(iter(self._heard))]

    def header(self) -> str:
        """X-Weir-Path of a batch that is sent now."""
        oldest = self._oldest()
        since = min(time.time_ns() - KEPT, oldest or time.time_ns())
        stops = [stop for stop, at in self._heard.items() if at >= since and stop.origin != self.here.origin]
        text = self.here.text
        named = 0
        for stop in stops:
            if len(text) + 2 + len(stop.text) > MOST_BYTES:
                break
            text += f", {stop.text}"
            named += 1
        if named < len(stops):
            for stop in stops[:named]:  # behind the others, for next time
                self._heard[stop] = self._heard.pop(stop)
        return text
