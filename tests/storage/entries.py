"""What the tests of storage put in and how they see what came out: plain Python values and hypothesis strategies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from storage import BatchId, BlockOptions, CompactionOptions, FlushOptions, Receipt, Store, StoreOptions, open_store
from storage.batch import Batch, Column, Labels, Packed, Texts
from storage.build import BatchBuilder
from storage.errors import StorageError
from storage.labels import labels_id
from storage.rows import metadata_pairs
from tests.batch_unit import everything

DAY = 86_400_000_000_000
HOUR = DAY // 24
NOON = 20_000 * DAY + DAY // 2
ALWAYS = (-(1 << 63), (1 << 63) - 1)

Entry: TypeAlias = tuple[Labels, int, bytes, tuple[tuple[str, bytes], ...]]
"""(labels, ts, line, metadata sorted by key)."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """As logql.source.Matcher, which storage does not import."""

    name: str
    op: str
    value: str


def entry(app: str, ts: int, line: bytes | str = b"line", **metadata: str) -> Entry:
    text = line.encode() if isinstance(line, str) else line
    return (("app", app),), ts, text, tuple(sorted((key, value.encode()) for key, value in metadata.items()))


def batch_of(entries: Iterable[Entry]) -> Batch:
    builder = BatchBuilder()
    numbers: dict[Labels, int] = {}
    for labels, ts, line, metadata in entries:
        if labels not in numbers:
            numbers[labels] = builder.add_stream(labels)
        builder.add(numbers[labels], ts, line, metadata)
    return builder.build()


def packed(batch: Batch, around: Sequence[bytes] = (b"",)) -> Batch:
    """The same batch with its lines in a snappy block too, bytes of `around` in turn before each."""
    pieces = [(around[row % len(around)], line) for row, line in enumerate(batch.lines.tolist())]
    message = b"".join(before + line for before, line in pieces)
    block = pa.Codec("snappy").compress(message, asbytes=True)
    gaps = np.array([len(before) for before, _ in pieces], np.uint32)
    return replace(batch, lines=Texts(batch.lines.data, batch.lines.offsets, Packed(block, len(message), gaps)))


def plain(batch: Batch) -> Batch:
    """The same batch with each metadata value once a row: the form of columns that do not repeat."""
    columns = {}
    for key, column in batch.metadata.items():
        at = np.flatnonzero(column.codes >= 0)
        codes = np.full(len(batch), -1, np.int32)
        codes[at] = np.arange(len(at), dtype=np.int32)
        columns[key] = Column(codes, column.values.take(column.codes[at]))
    return Batch(batch.streams, batch.stream, batch.ts, batch.lines, columns, batch.rest)


def entries_of(batch: Batch) -> list[Entry]:
    metadata: list[list[tuple[str, bytes]]] = [[] for _ in range(len(batch))]
    row, key, names, values = metadata_pairs(batch)
    for at, name, value in zip(row.tolist(), key.tolist(), values.tolist(), strict=True):
        metadata[at].append((names[name], value))
    lines = batch.lines.tolist()
    return [
        (batch.streams[stream], ts, lines[at], tuple(sorted(metadata[at])))
        for at, (stream, ts) in enumerate(zip(batch.stream.tolist(), batch.ts.tolist(), strict=True))
    ]


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sorted by (ts, stream id); what comes from one stream at one time keeps its order."""
    return sorted(entries, key=lambda item: (item[1], labels_id(item[0])))


def without_repeats(entries: Iterable[Entry]) -> list[Entry]:
    return list(dict.fromkeys(entries))


def quiet(  # nothing is flushed or compacted but by a call of the test
    *,
    small_tenant: int = 0,
    size: int = 1 << 30,
    row_group_rows: int = 32_768,
    row_group_size: int = 8 << 20,
    segment_size: int = 64 << 20,
) -> StoreOptions:
    return StoreOptions(
        reserve=4096,
        segment_size=segment_size,
        flush=FlushOptions(size=size, max_age=1e9, small_tenant=small_tenant, small_tenant_max_age=1e9),
        blocks=BlockOptions(row_group_rows=row_group_rows, row_group_size=row_group_size),
        compaction=CompactionOptions(enabled=False),
    )


def start(data_dir: Path, options: StoreOptions | None = None) -> Store:
    return open_store(data_dir, options or quiet())


class Outcome:
    """What became of one append."""

    def __init__(self) -> None:
        self._settled = Event()
        self._found: Receipt | StorageError | None = None

    def settle(self, found: Receipt | StorageError) -> None:
        assert not self._settled.is_set(), "answered twice"
        self._found = found
        self._settled.set()

    def get(self) -> Receipt | StorageError:
        assert self._settled.wait(20), "no answer"
        assert self._found is not None
        return self._found


def send(store: Store, entries: Iterable[Entry], tenant: str = "t", batch_id: BatchId | None = None) -> Outcome:
    outcome = Outcome()
    store.append(tenant, batch_of(entries), outcome.settle, batch_id=batch_id)
    return outcome


def put(
    store: Store, entries: Iterable[Entry], tenant: str = "t", batch_id: BatchId | None = None
) -> Receipt | StorageError:
    return send(store, entries, tenant, batch_id).get()


def stored(store: Store, entries: Iterable[Entry], tenant: str = "t", batch_id: BatchId | None = None) -> Receipt:
    outcome = put(store, entries, tenant, batch_id)
    assert isinstance(outcome, Receipt), outcome
    return outcome


def read(
    store: Store,
    tenant: str = "t",
    matchers: Sequence[Matcher] = (),
    start: int = ALWAYS[0],
    end: int = ALWAYS[1],
) -> list[Entry]:
    """All that matches, merged as a query merges it: by (ts, stream id), units by their place in arrival."""
    units = sorted(store.scan(tenant, matchers, start, end, "forward"), key=lambda unit: unit.arrival)
    found: list[Entry] = []
    for unit in units:
        rows = entries_of(everything(unit))
        for stream in {row[0] for row in rows}:
            own = [row for row in rows if row[0] == stream]
            if not unit.in_memory:
                assert own == sorted(own, key=lambda row: row[1]), "a stream of a block is out of order"
        assert all(unit.min_ts <= row[1] <= unit.max_ts for row in rows), "a unit's bounds are wrong"
        found.extend(rows)
    return in_order(found)


names = st.sampled_from(["app", "env", "host"])
values = st.sampled_from(["a", "b", "c", 'q"uote', "näh", "x\ny"])
label_sets = st.dictionaries(names, values, max_size=3).map(lambda found: tuple(sorted(found.items())))
short_lines = st.one_of(st.sampled_from([b"", b"a", b"b", b"\xff\xfe", b"WREC"]), st.binary(max_size=12))
times = st.one_of(
    st.integers(NOON, NOON + 5),
    st.integers(NOON - 2 * DAY, NOON + 2 * DAY),
    st.sampled_from([0, -1, -DAY, NOON + HOUR, NOON + DAY // 2]),
)
few_keys = st.dictionaries(
    st.sampled_from(["trace", "pod", "k.x", "", "key_value.key"]),
    st.sampled_from([b"", b"v", b"w", "ü".encode(), b"\xff"]),
    max_size=3,
)
many_keys = st.dictionaries(st.integers(0, 90).map("k{}".format), st.sampled_from([b"v", b"w"]), max_size=60)


def metadata_of(found: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(found.items()))


entries_with_few = st.tuples(label_sets, times, short_lines, few_keys.map(metadata_of))
entries_with_many = st.tuples(label_sets, times, short_lines, many_keys.map(metadata_of))
entry_lists = st.one_of(
    st.lists(entries_with_few, max_size=30),
    st.lists(entries_with_many, max_size=8),
)
