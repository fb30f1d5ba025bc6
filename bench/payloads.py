"""Push bodies: generated lines as snappy protobuf or JSON, spread over 50 minutes of one hour.

The times are fixed, so that every run stores the same bytes and each minute's count is known.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import snappy

from bench.lines import APPS, Lines
from gateway.push.push_messages import PushRequest

PODS = 10
"""Streams an app has."""
START = 1_760_011_200_000_000_000
"""ns: 2025-10-09T12:00:00Z, the hour that the lines name. Nothing is stored at START itself."""
SPREAD = 3_000_000_000_000
"""ns over which the entries are spread, the last at START + SPREAD."""

FURTHER_KEYS = 200
"""Metadata keys of the OTLP-like set beside trace_id and span_id."""
KEYS_A_LINE = 8
"""Of these, how many one line carries: what one service's instrumentation sets."""

_NS = 1_000_000_000

Entry = tuple[int, int, bytes]
"""Number of the stream, ns, line."""


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


def times(count: int, start: int = START) -> range:
    """ns of the lines of each app: evenly spread, (start, start + SPREAD]."""
    step = SPREAD // count
    return range(start + step, start + step * count + 1, step)


def payloads(lines: Lines, per_request: int, start: int = START) -> Payloads:
    """Bodies of `per_request` lines of one app each, in 10 streams `{app, env="prod", pod}`."""
    labels = {app: [f'{{app="{app}", env="prod", pod="{app}-{pod}"}}' for pod in range(PODS)] for app in APPS}
    when = times(len(lines[APPS[0]]), start)

    def requests() -> Iterator[Any]:
        for first in range(0, len(when), per_request):
            for app in APPS:
                part = lines[app][first : first + per_request]
                yield request(labels[app], ((i % PODS, when[i], line) for i, line in enumerate(part, first)))

    return _packed(requests())


def in_streams(lines: Lines, streams: int, per_request: int) -> Payloads:
    """The lines of all apps in turn, line i in stream i % `streams`."""
    labels = [f'{{app="growth", env="prod", pod="pod-{number}"}}' for number in range(streams)]
    flat = [line for triple in zip(*(lines[app] for app in APPS), strict=True) for line in triple]
    when = times(len(flat))
    return _packed(
        request(
            labels, ((i % streams, when[i], line) for i, line in enumerate(flat[first : first + per_request], first))
        )
        for first in range(0, len(flat), per_request)
    )


def with_metadata(lines: Sequence[bytes], per_request: int, seed: int = 7) -> Payloads:
    """Lines with trace_id, span_id and KEYS_A_LINE of FURTHER_KEYS further keys each; a stream has keys of its own."""
    rng = random.Random(seed)
    labels = [f'{{app="otlp", env="prod", pod="otlp-{pod}"}}' for pod in range(PODS)]
    keys = [f"attribute.number_{number}" for number in range(FURTHER_KEYS)]
    when = times(len(lines))

    def requests() -> Iterator[Any]:
        for first in range(0, len(lines), per_request):
            part = lines[first : first + per_request]
            made = request(labels, ((i % PODS, when[i], line) for i, line in enumerate(part, first)))
            for number, stream in enumerate(made.streams):
                for entry in stream.entries:
                    pairs = [("trace_id", f"{rng.getrandbits(128):032x}"), ("span_id", f"{rng.getrandbits(64):016x}")]
                    begin = number * FURTHER_KEYS // PODS + rng.randrange(FURTHER_KEYS // PODS - KEYS_A_LINE + 1)
                    pairs += [(key, f"value {rng.randrange(20)}") for key in keys[begin : begin + KEYS_A_LINE]]
                    for name, value in pairs:
                        pair = entry.structured_metadata.add()
                        pair.name, pair.value = name.encode(), value.encode()
            yield made

    return _packed(requests())


def json_pushes(lines: Sequence[bytes], app: str) -> list[bytes]:
    """A JSON push of one line each."""
    when = times(len(lines))
    return [
        json.dumps(
            {
                "streams": [
                    {"stream": {"app": app, "pod": f"{app}-{i % PODS}"}, "values": [[str(when[i]), line.decode()]]}
                ]
            }
        ).encode()
        for i, line in enumerate(lines)
    ]


def request(labels: Sequence[str], entries: Iterable[Entry]) -> Any:
    """One push; streams stand in the order in which their first entry comes."""
    made = PushRequest()
    streams: dict[int, Any] = {}
    for number, ns, line in entries:
        stream = streams.get(number)
        if stream is None:
            stream = streams[number] = made.streams.add()
            stream.labels = labels[number].encode()
        entry = stream.entries.add()
        entry.timestamp.seconds, entry.timestamp.nanos = divmod(ns, _NS)
        entry.line = line
    return made


def _packed(requests: Iterable[Any]) -> Payloads:
    bodies, entries, raw_bytes, line_bytes = [], 0, 0, 0
    for made in requests:
        raw = made.SerializeToString()
        raw_bytes += len(raw)
        for stream in made.streams:
            entries += len(stream.entries)
            line_bytes += sum(len(entry.line) for entry in stream.entries)
        bodies.append(snappy.compress(raw))
    return Payloads(tuple(bodies), entries, raw_bytes, line_bytes)
