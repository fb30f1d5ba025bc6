"""Push bodies: the lines of bench.lines as snappy protobuf, 30 streams, spread over the last 50 minutes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import snappy

from bench.lines import lines
from gateway.push.push_messages import PushRequest

APPS = ("json", "logfmt", "nginx")
PODS = 10
SPREAD = 3_000_000_000_000
"""ns over which the entries are spread."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """Bodies to push.

    Attributes:
        bodies: snappy protobuf, in order of time.
        entries: lines in all of them.
        raw_bytes: protobuf bytes before snappy.
        line_bytes: bytes of the lines.
    """

    bodies: tuple[bytes, ...]
    entries: int
    raw_bytes: int
    line_bytes: int


def payloads(count: int, per_request: int, newest: int) -> Payloads:
    """Bodies of `per_request` lines for 3 x `count` lines, the last at `newest` (ns)."""
    step = SPREAD // max(count, 1)
    first = newest - step * count
    bodies, entries, raw_bytes, line_bytes = [], 0, 0, 0
    source = enumerate(lines(count))
    while block := list(islice(source, per_request)):
        for kind, app in enumerate(APPS):
            request = PushRequest()
            streams = []
            for pod in range(PODS):
                stream = request.streams.add()
                stream.labels = f'{{app="{app}", env="prod", pod="{app}-{pod}"}}'.encode()
                streams.append(stream)
            for i, triple in block:
                entry = streams[i % PODS].entries.add()
                when = first + i * step
                entry.timestamp.seconds, entry.timestamp.nanos = divmod(when, 1_000_000_000)
                entry.line = triple[kind].encode()
                line_bytes += len(entry.line)
                entries += 1
            raw = request.SerializeToString()
            raw_bytes += len(raw)
            bodies.append(snappy.compress(raw))
    return Payloads(tuple(bodies), entries, raw_bytes, line_bytes)
