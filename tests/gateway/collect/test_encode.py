"""Bodies written by columns against the protobuf library."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.collect.clock import ReadingClock, distinct
from gateway.collect.encode import entries_bytes, request_bytes
from gateway.push.push_messages import PushRequest

Entry = tuple[int, bytes]
ENTRIES = st.lists(st.tuples(st.integers(0, (1 << 62) - 1), st.binary(max_size=300)), max_size=5)


def body(entries: list[Entry]) -> bytes:
    text = b"".join(line for _, line in entries)
    lengths = np.array([len(line) for _, line in entries], np.int64)
    return entries_bytes(text, lengths, np.array([ts for ts, _ in entries], np.int64))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=200), ENTRIES, ENTRIES), max_size=3, unique_by=lambda x: x[0]))
def test_the_library_reads_what_was_written(streams: list[tuple[str, list[Entry], list[Entry]]]) -> None:
    request = PushRequest()
    request.ParseFromString(request_bytes({labels: [body(first), body(more)] for labels, first, more in streams}))
    found = [
        (each.labels.decode(), [(e.timestamp.seconds * 10**9 + e.timestamp.nanos, e.line) for e in each.entries])
        for each in request.streams
    ]
    assert found == [(labels, first + more) for labels, first, more in streams]


def test_times_of_reading_rise() -> None:
    clock = ReadingClock()
    times = np.concatenate([clock.take(1000), clock.take(1), clock.take(1000)])
    assert (np.diff(times) > 0).all()


@given(st.lists(st.integers(1, 3), min_size=1, max_size=12), st.integers(1, 11))
def test_equal_times_are_set_apart_in_the_same_way_however_they_are_cut(said: list[int], cut: int) -> None:
    times = np.array(said, np.int64) * 1000
    whole, _ = distinct(times, (0, 0))
    parts, carry = [], (0, 0)
    for part in (times[:cut], times[cut:]):
        if len(part):
            found, carry = distinct(part, carry)
            parts += found.tolist()
    assert parts == whole.tolist()
    pairs = [(raw, ts) for raw, ts in zip(times.tolist(), parts, strict=True)]
    assert all(raw <= ts < raw + len(said) for raw, ts in pairs)
    assert all(left != right for left, right in pairwise(parts))
