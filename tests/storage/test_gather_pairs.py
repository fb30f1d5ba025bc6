"""Metadata of many parts, taken as columns and pairs, is what the rows had."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import MAX_COLUMNS, Batch
from storage.gather import gather_rows
from storage.gather_pairs import PairGatherer
from storage.rows import renumber
from storage.streams import StreamTable
from tests.storage.entries import Entry, batch_of, entries_of, entry, metadata_of, plain

KEYS = [f"k{number:03}" for number in range(MAX_COLUMNS + 8)]
_values = st.sampled_from([b"", b"v", b"\xff\x00", b"a longer value"])
_some = st.dictionaries(st.sampled_from(KEYS), _values, max_size=4).map(metadata_of)
_wide = st.tuples(*(_values for _ in KEYS)).map(lambda found: tuple(zip(KEYS, found, strict=True)))
_entries = st.lists(
    st.tuples(st.just((("app", "a"),)), st.integers(0, 3), st.just(b"line"), st.one_of(_some, _some, _some, _wide)),
    min_size=1,
    max_size=6,
)


def _taken(parts: list[Batch], columns: list[str], positions: list[int]) -> tuple[Batch, list[Entry]]:
    at = np.array(positions, np.int64)
    wanted = gather_rows(parts, at)
    metadata, rest = PairGatherer(parts, columns).take(at)
    made = Batch(wanted.streams, wanted.stream, wanted.ts, wanted.lines, metadata, rest)
    return made, entries_of(wanted)


@given(
    st.lists(st.tuples(_entries, st.booleans()), min_size=1, max_size=4),
    st.sets(st.sampled_from(KEYS), max_size=5),
    st.data(),
)
def test_rows_keep_their_metadata(
    given_parts: list[tuple[list[Entry], bool]], columns: set[str], data: st.DataObject
) -> None:
    table = StreamTable()
    parts = []
    for rows, one_a_row in given_parts:
        batch = batch_of(rows)
        batch = renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))
        parts.append(plain(batch) if one_a_row else batch)
    count = sum(map(len, parts))
    positions = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=20))
    made, wanted = _taken(parts, sorted(columns), positions)
    assert entries_of(made) == wanted
    assert set(made.metadata) <= columns
    assert made.rest is not None
    assert not columns.intersection(made.rest.names)


def test_the_columns_asked_for_are_those_made_however_seldom_a_key_is() -> None:
    table = StreamTable()
    rows = [entry("a", n, **{f"k{n % 70}": "v"}) for n in range(140)] + [entry("a", 200, seldom="x")]
    batch = batch_of(rows)
    batch = renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))
    assert batch.rest is not None
    made, wanted = _taken([batch], ["k3", "nowhere", "seldom"], list(range(len(rows))))
    assert list(made.metadata) == ["k3", "seldom"]
    assert entries_of(made) == wanted
