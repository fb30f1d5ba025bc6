"""Clients that push all the time, know what was acknowledged, and after a crash send again what was not."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from uuid import UUID

from tests.crash.traffic import Connection, Line, push_body
from tests.server import wait_until

DAY = 86_400_000_000_000
SELECTOR = '{job="pushers"}'


class Promise(Enum):
    """What a push that got no answer means to its sender."""

    WITH_ID = "sent again under its X-Weir-Batch-Id until it is acknowledged: each line once"
    AGAIN = "sent again as it is until it is acknowledged: each line once, as equal lines are one"
    LOST = "never sent again: each line at most once"


@dataclass(frozen=True, slots=True)
class Sending:
    """One push and how it is sent."""

    lines: tuple[Line, ...]
    promise: Promise
    batch_id: UUID | None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.batch_id is None else {"X-Weir-Batch-Id": str(self.batch_id)}


@dataclass(slots=True)
class Known:
    """What a sender knows of its lines."""

    acknowledged: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)


class Pusher:
    """One sender over all rounds. No two lines, of any sender, have the same text or the same time."""

    def __init__(self, number: int, of: int, first_ts: int, seed: int) -> None:
        self.known = Known()
        self.faults: list[str] = []
        self._number = number
        self._of = of
        self.first_ts = first_ts
        self._random = Random(seed * 1000 + number)
        self._count = 0
        self._open: Sending | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def newest_ts(self) -> int:
        """No line has a later time, ns."""
        return self.first_ts + DAY + (self._count + 1) * self._of

    def start(self, url: str) -> None:
        """Pushes until the server is gone, or until finish()."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(url,), name=f"pusher-{self._number}")
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def finish(self, url: str) -> None:
        """Sends what is still open until it is acknowledged."""
        with Connection(url) as connection:
            assert wait_until(lambda: self._open is None or self._send(connection, self._open))

    def _run(self, url: str) -> None:
        try:
            with Connection(url) as connection:
                while True:
                    if self._open is None:
                        self._open = self._next()
                    if not self._send(connection, self._open):
                        time.sleep(0.005)  # as asked by the 503: the disk or the flush is behind
        except (OSError, http.client.HTTPException):
            # The server was killed. What the last push became is not known.
            if self._open is not None and self._open.promise is Promise.LOST:
                self.known.doubtful.update(line.text for line in self._open.lines)
                self._open = None

    def _send(self, connection: Connection, sending: Sending) -> bool:
        """Whether it was acknowledged; a refusal leaves it open."""
        answer = connection.push(push_body(sending.lines), sending.headers)
        if answer.status in {200, 204}:
            self.known.acknowledged.update(line.text for line in sending.lines)
            self._open = None
            return True
        if answer.status != 503:
            self.faults.append(f"{answer.status}: {answer.text}")
        return False

    def _next(self) -> Sending:
        random = self._random
        promise = random.choice(tuple(Promise))
        batch_id = UUID(int=random.getrandbits(128)) if promise is Promise.WITH_ID else None
        return Sending(tuple(self._line() for _ in range(random.choice((1, 1, 3, 20, 100)))), promise, batch_id)

    def _line(self) -> Line:
        self._count += 1
        # Half of the lines are a day late, so that a flush writes two blocks.
        ts = self.first_ts + self._count * self._of + self._number + DAY * (self._random.random() < 0.5)
        labels = (("app", f"app{self._random.randrange(5)}"), ("job", "pushers"), ("pusher", str(self._number)))
        text = f"pusher {self._number} line {self._count} " + "x" * self._random.randrange(200)
        return Line(labels, ts, text)
