"""One batch to a server, until it is acknowledged: waits for a server that is busy or away, finds what it refuses."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.client.connection import Posted
from gateway.client.errors import ServerRefused, Unreachable
from gateway.client.importing.entries import Rejected, Row, push_body

PATH = "loki/api/v1/push"

PROBES = 64
"""Requests that are spent on one batch to find the lines of it that are refused."""

_LONGEST_WAIT = 30.0
_BUSY_BEFORE_HALVES = 4
"""Times that 429 is taken for a rate that is past for now; a batch that is over what may come at once never fits."""


class Posting(Protocol):
    """A connection to a server."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """The answer, whatever its status. Raises Unreachable."""


class Stopped(Exception):  # noqa: N818 - named for what happened
    """The import ends; what was not acknowledged is sent by the next run."""


@dataclass(slots=True)
class _Try:
    """What is left of a batch's probes."""

    probes: int


class Sender:
    """Sends batches, several threads at once.

    Args:
        connection: to the server.
        patience: seconds for which a server that is away or busy is waited for, from its last answer of another kind.
        waiting: takes a text for the person when a batch has to wait.
    """

    def __init__(self, connection: Posting, patience: float, waiting: Callable[[str], None]) -> None:
        self._connection = connection
        self._patience = patience
        self._waiting = waiting
        self._stop = threading.Event()
        self._last_good = time.monotonic()

    def stop(self) -> None:
        """Ends all waiting."""
        self._stop.set()

    def send(self, rows: list[Row], batch_id: uuid.UUID) -> list[Rejected]:
        """Stores entries and returns those that the server refused.

        Where it refuses some of a batch the halves of it are sent, and theirs, with ids that follow from the batch's:
        what is stored already is not stored again. After PROBES requests the rest of what is refused among others is
        returned as a whole.

        Raises:
            ServerRefused: it takes nothing of the kind: no such tenant, no push API.
            Unreachable: it was away or busy for longer than the patience.
            Stopped: as asked.
        """
        return self._send(rows, batch_id, _Try(PROBES))

    def _send(self, rows: list[Row], batch_id: uuid.UUID, left: _Try) -> list[Rejected]:
        if not rows:
            return []
        halves = len(rows) > 1 and left.probes > 0
        posted = self._posted(rows, batch_id, busy_is_too_much=halves)
        if 200 <= posted.status < 300:
            return []
        if not halves:
            return [Rejected(str(row[1][1]), posted.text, row) for row in rows]
        left.probes -= 2
        middle = len(rows) // 2
        return [
            *self._send(rows[:middle], uuid.uuid5(batch_id, "first"), left),
            *self._send(rows[middle:], uuid.uuid5(batch_id, "second"), left),
        ]

    def _posted(self, rows: list[Row], batch_id: uuid.UUID, *, busy_is_too_much: bool) -> Posted:
        """The answer to a batch: 2xx, or one that says that some of it cannot be stored (400, 413, 422).

        429 is another such, where it stays and `busy_is_too_much`.
        """
        headers = {"Content-Type": "application/json", "X-Weir-Batch-Id": str(batch_id)}
        body = push_body(rows)
        tries = busy = 0
        while True:
            if self._stop.is_set():
                raise Stopped
            said: str | None = None
            try:
                posted = self._connection.post(PATH, body, headers)
            except Unreachable as error:
                wait, said = 0.0, str(error)
            else:
                if posted.status != 429 and posted.status < 500:
                    self._last_good = time.monotonic()
                    if posted.status < 300 or posted.status in (400, 413, 422):
                        return posted
                    raise ServerRefused(posted.status, posted.text)
                busy += posted.status == 429
                if posted.status == 429 and busy >= _BUSY_BEFORE_HALVES and busy_is_too_much:
                    return posted
                wait, said = _seconds(posted.headers.get("Retry-After")), posted.text or f"status {posted.status}"
            tries += 1
            wait = min(max(wait, 0.1 * 2 ** min(tries, 10)), _LONGEST_WAIT)
            if time.monotonic() - self._last_good + wait > self._patience:
                raise Unreachable(f"the server takes nothing for {self._patience:.0f} s: {said}")
            self._waiting(f"{said}; trying again in {wait:.1f} s")
            self._stop.wait(wait)


def _seconds(text: str | None) -> float:
    """What Retry-After says in seconds; a date, which log stores do not send, is 0."""
    return float(text) if text and text.isdecimal() else 0.0
