from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import Batch
from storage.gather import Gatherer, gather_rows
from storage.rows import renumber
from storage.streams import StreamTable
from tests.storage.entries import Entry, batch_of, entries_of, entry, metadata_of, plain

values = st.sampled_from([b"", b"v", b"\xff\x00", b"a longer value"])
entries = st.lists(
    st.tuples(
        st.sampled_from([(("app", "a"),), (("app", "b"),)]),
        st.integers(0, 3),
        st.binary(max_size=40),
        st.dictionaries(st.sampled_from(["k", "l", "m"]), values, max_size=3).map(metadata_of),
    ),
    min_size=1,
    max_size=8,
)


def on(table: StreamTable, rows: list[Entry], *, one_a_row: bool) -> Batch:
    batch = batch_of(rows)
    batch = renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))
    return plain(batch) if one_a_row else batch


def take(gatherer: Gatherer, table: StreamTable, parts: list[Batch], positions: list[int]) -> list[Entry]:
    at = np.array(positions, np.int64)
    stream = np.concatenate([part.stream for part in parts])[at]
    ts = np.concatenate([part.ts for part in parts])[at]
    lengths = np.concatenate([part.lines.lengths for part in parts])[at]
    return entries_of(renumber(gatherer.take(at, stream, ts, lengths), table, np.arange(len(table), dtype=np.int32)))


@given(st.lists(st.tuples(entries, st.booleans()), min_size=1, max_size=4), st.booleans(), st.data())
def test_rows_of_many_parts_come_in_the_order_asked_for(
    given_parts: list[tuple[list[Entry], bool]], dictionary: bool, data: st.DataObject
) -> None:
    table = StreamTable()
    parts = [on(table, rows, one_a_row=one_a_row) for rows, one_a_row in given_parts]
    everything = [row for rows, _ in given_parts for row in rows]
    keys = {key for part in parts for key in part.metadata}
    gatherer = Gatherer(parts, dict.fromkeys(keys, dictionary))
    for _ in range(2):  # the second time into the memory of the first
        positions = data.draw(st.lists(st.integers(0, len(everything) - 1), min_size=1, max_size=20))
        found = take(gatherer, table, parts, positions)
        assert found == [everything[at] for at in positions]
        assert found == entries_of(gather_rows(parts, np.array(positions, np.int64)))


@given(st.lists(entries, min_size=1, max_size=4))
def test_all_rows_in_order_are_one_piece_a_part(given_parts: list[list[Entry]]) -> None:
    table = StreamTable()
    parts = [on(table, rows, one_a_row=False) for rows in given_parts]
    everything = [row for rows in given_parts for row in rows]
    gatherer = Gatherer(parts, {key: True for part in parts for key in part.metadata})
    assert take(gatherer, table, parts, list(range(len(everything)))) == everything


@pytest.mark.parametrize("rows", [[0, 1], [4, 5, 6]])
def test_a_row_groups_dictionary_has_only_the_values_of_its_rows(rows: list[int]) -> None:
    table = StreamTable()
    parts = [
        on(table, [entry("a", n + 4 * part, k=f"{n % 2}-{part}") for n in range(4)], one_a_row=False) for part in (0, 1)
    ]
    gatherer = Gatherer(parts, {"k": True})
    at = np.array(rows, np.int64)
    batch = gatherer.take(at, np.zeros(len(at), np.int32), at, np.full(len(at), 4, np.int64))
    assert sorted(batch.metadata["k"].values.tolist()) == sorted({f"{n % 2}-{n // 4}".encode() for n in rows})
