"""One tenant of the soak test: pushes, asks, deletes and calls deletes off, one after the other, and knows the answers.

Between two requests of a tenant nothing of it changes but by time, so each answer is exact: what was acknowledged and
not deleted is there once, whatever flush, compaction, retention or a kill made of it meanwhile.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from tests.crash.soak_model import HOUR, SECOND, SECRET, Pushed, Stream, json_body, protobuf_body
from tests.crash.traffic import PAGE, Answer, Connection
from tests.server import ServerProcess

DAYS_LATE = 4
SELECTOR = '{job="soak"}'
PATIENCE = 120.0
"""Seconds in which a server that is up has to take a push."""


class Life:
    """The server over several lives."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.up = threading.Event()
        self.stop = threading.Event()
        self.number = 0
        """Goes up with each kill."""

    def start(self) -> None:
        self.server.start()
        self.up.set()

    def kill(self) -> None:
        self.up.clear()
        self.number += 1
        self.server.kill()


class Client:
    """Asks for one tenant; what a kill cut short is asked again."""

    def __init__(self, life: Life, tenant: str) -> None:
        self.refused = 0
        self._life = life
        self._headers = {"X-Scope-OrgID": tenant}
        self._connection: Connection | None = None
        self._of = -1

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._life.up.wait(PATIENCE), "the server did not come back"
            number = self._life.number
            try:
                if self._connection is None or self._of != number:
                    self.close()
                    self._connection, self._of = Connection(self._life.server.url, PATIENCE), number
                answer = self._connection.ask(method, path, body, self._headers | dict(headers or {}))
            except (OSError, http.client.HTTPException):
                self.close()
                if self._life.number == number:  # nobody killed it
                    raise
                continue
            if answer.status != 503:
                return answer
            self.refused += 1
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.02)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.__exit__()
            self._connection = None

    def get(self, path: str, **parameters: object) -> Any:
        return self.ask("GET", f"/loki/api/v1/{path}?{urlencode(parameters)}").json


@dataclass(slots=True)
class Done:
    """How often a tenant did what."""

    pushes: int = 0
    lines: int = 0
    again: int = 0
    checks: int = 0
    deletes: int = 0
    cancels: int = 0


@dataclass(frozen=True, slots=True)
class Habits:
    """How a tenant behaves.

    Attributes:
        rate: lines a second.
        ahead: seconds that entries of streams that expire have left, at most.
        deletes: of its requests, which part are deletes.
        all_short: all its streams expire after an hour; else each fourth does.
    """

    rate: float
    ahead: float
    deletes: float
    all_short: bool = False


STREAMS = 24


@dataclass(eq=False)
class Tenant:
    """One tenant and what it knows."""

    name: str
    life: Life
    habits: Habits
    random: Random
    done: Done = field(default_factory=Done)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        short = range(STREAMS) if self.habits.all_short else range(0, STREAMS, 4)
        self.streams = [Stream(self.name, number, HOUR if number in short else 0) for number in range(STREAMS)]
        self.client = Client(self.life, self.name)
        self._begin = time.time_ns() - (DAYS_LATE + 1) * 24 * HOUR
        self._thread = threading.Thread(target=self._run, name=f"tenant-{self.name}", daemon=True)

    # -- the thread

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), f"{self.name} hangs"

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self.life.stop.is_set():
                lines = self.done.lines + self.done.again
                self._step()
                due = max(due, time.monotonic() - 5.0)  # after a start it does not make up for all
                due += (self.done.lines + self.done.again - lines) / self.habits.rate
                self.life.stop.wait(max(0.0, due - time.monotonic()))
            if self.habits.deletes and not self.done.deletes:
                self.delete()
        except BaseException as error:  # noqa: BLE001 - the test shows it, and ends the run
            self.faults.append(f"{self.name}: {type(error).__name__}: {error}")

    def _step(self) -> None:
        if self.random.random() < self.habits.deletes:
            self.delete()
            return
        action = self.random.random()
        if action < 0.75:
            self.push_new()
        elif action < 0.85:
            self.push_again()
        elif action < 0.93:
            self.check_counts(*self._window())
        elif action < 0.999:
            self.check_lines(self.random.choice(self.streams), *self._window(self.random.choice((60, 600, 7200))))
        else:
            assert self.client.ask("POST", "/flush").status == 204

    def _window(self, seconds: int = 0) -> tuple[int, int]:
        """From when to when, ns: of so many seconds, or of any length; mostly up to now."""
        now = time.time_ns()
        end = now + SECOND if self.random.random() < 0.7 else self.random.randrange(self._begin, now)
        end = end // SECOND * SECOND
        length = seconds or self.random.choice((300, 3600, 5 * 3600, 86_400, 6 * 86_400))
        return end - length * SECOND, end

    # -- pushes

    def push_new(self) -> None:
        some = self.random.sample(self.streams, self.random.choice((1, 1, 2, 6)))
        late = self.random.random()
        pushed = []
        for stream in some:
            times = self._times(stream, self.random.choice((1, 2, 10, 40)), late)
            pushed.append((stream, [stream.make(ts) for ts in times]))
        self._push(pushed)
        self.done.lines += sum(len(numbers) for _, numbers in pushed)

    def _times(self, stream: Stream, count: int, late: float) -> list[int]:
        now = time.time_ns()
        if stream.period:  # entries that have little time left
            ahead = int(self.habits.ahead * SECOND)
            return sorted(now - stream.period + self.random.randrange(ahead // 2, ahead) for _ in range(count))
        if late < 0.7:
            return [now - (count - at) * 1000 for at in range(count)]
        back = 60 * SECOND if late < 0.85 else DAYS_LATE * 24 * HOUR
        return [now - self.random.randrange(back) for _ in range(count)]

    def push_again(self) -> None:
        """Entries that were sent before, were they deleted or have they expired meanwhile."""
        found = [stream for stream in self.random.sample(self.streams, 3) if len(stream)]
        pushed = [
            (stream, [self.random.randrange(len(stream)) for _ in range(self.random.choice((1, 5, 20)))])
            for stream in found
        ]
        if pushed:
            self._push(pushed)
            self.done.again += sum(len(numbers) for _, numbers in pushed)

    def _push(self, pushed: Pushed) -> None:
        body = (json_body if self.random.random() < 0.5 else protobuf_body)(pushed)
        headers = {"Content-Type": body.media}
        with_id = self.random.random() < 0.3
        if with_id:
            headers["X-Weir-Batch-Id"] = str(UUID(int=self.random.getrandbits(128)))
        answer = self.client.ask("POST", "/loki/api/v1/push", body.data, headers)
        assert answer.status in {200, 204}, f"{answer.status}: {answer.text}"
        for stream, numbers in pushed:
            stream.acknowledge(numbers)
        if with_id and self.random.random() < 0.3:
            answer = self.client.ask("POST", "/loki/api/v1/push", body.data, headers)
            assert answer.status == 200, f"{answer.status}: a batch id was forgotten"
        self.done.pushes += 1

    # -- deletes

    def delete(self) -> None:
        stream = self.random.choice(self.streams)
        secrets = self.random.random() < 0.5
        begin, end = self._window(self.random.choice((0, 30, 300)))
        end = min(end, time.time_ns() - 1)
        query = f'{{s="{stream.name}"}}' + (f' |= "{SECRET}"' if secrets else "")
        asked = urlencode({"query": query, "start": begin, "end": end})
        answer = self.client.ask("POST", f"/loki/api/v1/delete?{asked}")
        assert answer.status == 204, f"{answer.status}: {answer.text}"
        gone = stream.delete(begin, end, secrets=secrets)
        self.done.deletes += 1
        self.check_lines(stream, end - 20 * SECOND, end + 1)
        if self.random.random() < 0.25:
            self._call_off(answer.headers["x-delete-request-id"], stream, gone)

    def _call_off(self, request_id: str, stream: Stream, gone: Any) -> None:
        """Calls a delete off, unless it has begun."""
        answer = self.client.ask("DELETE", f"/loki/api/v1/delete?request_id={request_id}")
        if answer.status != 204:  # it has begun, or a kill kept the answer of the first try from us
            found = self.client.get("delete", all="true")
            (status,) = [each["status"] for each in found if each["request_id"] == request_id]
            if status != "cancelled":
                assert answer.status == 400, f"{answer.status}: {answer.text}"
                return
        stream.acknowledge(gone)
        self.done.cancels += 1
        self.check_counts(*self._window())

    def open_deletes(self) -> list[str]:
        """How far the deletes are that are not done."""
        return [each["status"] for each in self.client.get("delete") if each["status"] != "processed"]

    # -- what is there

    def check_counts(self, begin: int, end: int) -> None:
        """Every stream's entries of begin <= ts < end (whole seconds)."""
        seconds = (end - begin) // SECOND
        before = time.time_ns()
        found = self.client.get(
            # A window has its end and not its begin.
            "query",
            query=f"sum by (s) (count_over_time({SELECTOR}[{seconds}s]))",
            time=end - 1,
        )["data"]["result"]
        after = time.time_ns()
        counts = {each["metric"]["s"]: int(each["value"][1]) for each in found}
        for stream in self.streams:
            most, least = (len(stream.there(begin, end, now)) for now in (before, after))
            count = counts.pop(stream.name, 0)
            assert least <= count <= most, f"{stream.name} from {begin} to {end}: {count}, not {least} to {most}"
        assert not counts, counts
        self.done.checks += 1

    def check_lines(self, stream: Stream, begin: int, end: int) -> None:
        """A stream's lines of begin <= ts < end, all of them and in order."""
        before = time.time_ns()
        found = self._lines(f'{{s="{stream.name}"}}', begin, end)
        after = time.time_ns()
        must, may = ([stream.line(number) for number in stream.there(begin, end, now)] for now in (after, before))
        assert found == must or _is_between(found, must, may), (
            f"{stream.name} from {begin} to {end}: {len(found)} lines, not {len(must)} to {len(may)}; "
            f"missing {sorted(set(must) - set(found))[:3]}, too many {sorted(set(found) - set(may))[:3]}"
        )
        self.done.checks += 1

    def check_everything(self) -> int:
        """All counts and all lines; how many there are."""
        end = (time.time_ns() // SECOND + 1) * SECOND
        self.check_counts(self._begin // SECOND * SECOND, end)
        for stream in self.streams:
            self.check_lines(stream, self._begin, end)
        return sum(len(stream.there(self._begin, end, time.time_ns())) for stream in self.streams)

    def _lines(self, selector: str, begin: int, end: int) -> list[str]:
        lines: list[str] = []
        while True:
            page = self.client.get(
                "query_range", query=selector, start=begin, end=end, limit=PAGE, direction="forward"
            )["data"]["result"]
            values = sorted((int(ts), line) for each in page for ts, line, *_ in each["values"])
            lines += [line for _, line in values]
            if len(values) < PAGE:
                return lines
            begin = values[-1][0] + 1


def _is_between(found: Sequence[str], must: Sequence[str], may: Sequence[str]) -> bool:
    """Whether it is `may` without some that are not in `must`, which expire while they are read."""
    there, needed = set(found), set(must)
    return needed <= there and list(found) == [line for line in may if line in there]
