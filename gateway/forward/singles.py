"""Runs of messages of one event each, as libraries send them: many come in one read, and go on as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.forward.kernels.singles import (
    ASKING,
    CHUNK,
    CHUNK_END,
    ENTRY,
    ENTRY_END,
    FIELDS,
    FOLLOWS,
    KIND,
    OTHER,
    TAG_END,
    TAG_START,
    gather_entries,
    single_heads,
)
from gateway.forward.wire import LARGE_BYTES, Buffer, Messages
from storage.batch import I64, U8


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Messages of one event each, neighbours with one tag and no option but `chunk`.

    Attributes:
        tag: of all.
        entries: their entries `[time, record]`.
        sizes: bytes of each entry.
        chunks: what is to be acknowledged for each; empty: nothing for none of them.
        size: bytes of the messages as they came.
    """

    tag: bytes
    entries: bytes
    sizes: tuple[int, ...]
    chunks: tuple[bytes, ...]
    size: int

    def __len__(self) -> int:
        return len(self.sizes)


def in_runs(messages: Messages) -> Iterator[Run | Buffer]:
    """The messages in order: runs of single ones, and each other one as it came."""
    if not len(messages):
        return
    if len(messages) == 1 and len(messages.data) >= LARGE_BYTES:
        yield messages.data  # not looked at here: what it costs to read it with care is little beside it
        return
    data: U8 = np.frombuffer(messages.data, np.uint8)
    heads: I64 = np.empty((len(messages), FIELDS), np.int64)
    single_heads(data, messages.ends, heads)
    begins = np.flatnonzero(heads[:, FOLLOWS] == 0).tolist()
    kinds = heads[:, KIND].tolist()
    ends = [0, *messages.ends.tolist()]
    for first, last in zip(begins, [*begins[1:], len(heads)], strict=True):
        if kinds[first] == OTHER:
            yield messages.data[ends[first] : ends[last]]
        else:
            yield _run(messages.data, data, heads[first:last], ends[last] - ends[first])


def _run(raw: bytes | bytearray, data: U8, heads: I64, size: int) -> Run:
    sizes = heads[:, ENTRY_END] - heads[:, ENTRY] + 1
    out: U8 = np.empty(int(sizes.sum()), np.uint8)
    gather_entries(data, heads, out)
    first = heads[0].tolist()
    chunks: tuple[bytes, ...] = ()
    if first[KIND] == ASKING:
        places = zip(heads[:, CHUNK].tolist(), heads[:, CHUNK_END].tolist(), strict=True)
        chunks = tuple([bytes(raw[start:end]) for start, end in places])
    return Run(bytes(raw[first[TAG_START] : first[TAG_END]]), out.tobytes(), tuple(sizes.tolist()), chunks, size)
