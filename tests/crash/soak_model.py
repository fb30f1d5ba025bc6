"""What a tenant of the soak test has sent, and so what it must be shown: kept as arrays, for hours of lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import snappy
from numpy.typing import NDArray

from gateway.push.push_messages import PushRequest

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
PLACES = 64
"""No two streams of a tenant have an entry of the same time: a time's rest by this is the stream's number."""
SECRET = "secret"

I64 = NDArray[np.int64]
Pushed = Sequence[tuple["Stream", Sequence[int]]]
"""Streams and the numbers of their entries."""


class Stream:
    """A stream's entries, numbered in the order in which they were made; number, time and stream say all of one."""

    def __init__(self, tenant: str, number: int, period: int) -> None:
        """`period`: ns after which an entry expires, 0: never."""
        self.name = f"s{number}"
        self.period = period
        self.labels = {"job": "soak", "s": self.name, "stay": "short" if period else "long", "app": f"app{number % 5}"}
        self._tenant = tenant
        self._place = number
        self._ts = np.zeros(1024, np.int64)
        self._alive = np.zeros(1024, np.bool_)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def acknowledged(self) -> int:
        """How many are there, expired ones too."""
        return int(np.count_nonzero(self._alive))

    def make(self, ts: int) -> int:
        """A new entry near a time; its number. It is not there before it is acknowledged."""
        if self._count == len(self._ts):
            self._ts = np.concatenate([self._ts, np.zeros_like(self._ts)])
            self._alive = np.concatenate([self._alive, np.zeros_like(self._alive)])
        self._ts[self._count] = ts // PLACES * PLACES + self._place
        self._count += 1
        return self._count - 1

    def acknowledge(self, numbers: Sequence[int] | I64) -> None:
        """They are there, were they deleted before or never there."""
        self._alive[np.asarray(numbers, np.int64)] = True

    def delete(self, begin: int, end: int, *, secrets: bool) -> I64:
        """Takes out what is there from `begin` to `end` (ns, both included), or only the secrets; their numbers."""
        ts, alive = self._ts[: self._count], self._alive[: self._count]
        gone = alive & (ts >= begin) & (ts <= end)
        if secrets:
            gone &= np.arange(self._count) % 7 == 3
        alive[gone] = False
        return np.flatnonzero(gone)

    def there(self, begin: int, end: int, now: int) -> I64:
        """Numbers of what is there of begin <= ts < end at a time of day, in order of time."""
        ts = self._ts[: self._count]
        seen = self._alive[: self._count] & (ts >= begin) & (ts < end)
        if self.period:
            seen &= ts >= now - self.period
        numbers = np.flatnonzero(seen)
        return numbers[np.argsort(ts[numbers])]

    def dead(self) -> set[str]:
        """Lines that no reader may be shown and no block may hold: those that were deleted."""
        return {self.line(number) for number in np.flatnonzero(~self._alive[: self._count]).tolist()}

    def ts(self, number: int) -> int:
        return int(self._ts[number])

    def line(self, number: int) -> str:
        word = SECRET if number % 7 == 3 else "common"
        return f"{self._tenant} {self.name} {number} {word} " + "x" * (number * 7919 % 120)

    def metadata(self, number: int) -> dict[str, str]:
        return {"trace": f"{number:08x}"} if number % 3 == 0 else {}


@dataclass(frozen=True, slots=True)
class Body:
    """A push as it is sent."""

    data: bytes
    media: str


def json_body(pushed: Pushed) -> Body:
    streams = [
        {
            "stream": stream.labels,
            "values": [
                [str(stream.ts(number)), stream.line(number), stream.metadata(number)]
                if stream.metadata(number)
                else [str(stream.ts(number)), stream.line(number)]
                for number in numbers
            ],
        }
        for stream, numbers in pushed
    ]
    return Body(json.dumps({"streams": streams}).encode(), "application/json")


def protobuf_body(pushed: Pushed) -> Body:
    request = PushRequest()
    for stream, numbers in pushed:
        text = ", ".join(f"{name}={json.dumps(value)}" for name, value in stream.labels.items())
        sent = request.streams.add(labels=f"{{{text}}}".encode())
        for number in numbers:
            entry = sent.entries.add(line=stream.line(number).encode())
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(stream.ts(number), SECOND)
            for name, value in stream.metadata(number).items():
                entry.structured_metadata.add(name=name.encode(), value=value.encode())
    return Body(bytes(snappy.compress(request.SerializeToString())), "application/x-protobuf")


def dead_lines(streams: Iterable[Stream]) -> set[str]:
    """Lines of all of them that were deleted."""
    return set().union(*(stream.dead() for stream in streams))
