from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import Batch
from storage.rows import batch_bytes, concat_batches, join_on, renumber, spans, take_rows
from storage.streams import StreamTable
from tests.storage.entries import Entry, batch_of, entries_of, entry, entry_lists, plain


def on_table(table: StreamTable, entries: list[Entry]) -> Batch:
    batch = batch_of(entries)
    return renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))


@given(entry_lists, st.booleans(), st.data())
def test_rows_are_taken_in_the_order_asked_for(entries: list[Entry], one_a_row: bool, data: st.DataObject) -> None:
    batch = plain(batch_of(entries)) if one_a_row else batch_of(entries)
    rows = data.draw(st.lists(st.integers(0, max(len(entries) - 1, 0)), max_size=25 if entries else 0))
    assert entries_of(take_rows(batch, np.array(rows, np.int64))) == [entries[row] for row in rows]


@given(st.lists(st.tuples(entry_lists, st.booleans()), min_size=1, max_size=4))
def test_joined_batches_hold_the_rows_of_all_in_order(parts: list[tuple[list[Entry], bool]]) -> None:
    table = StreamTable()
    batches = [plain(on_table(table, part)) if one_a_row else on_table(table, part) for part, one_a_row in parts]
    joined = concat_batches(batches)
    assert entries_of(joined) == [row for part, _ in parts for row in part]
    assert len(joined.metadata) <= 64


@given(st.lists(st.tuples(entry_lists, st.booleans()), min_size=1, max_size=4))
def test_pushes_with_tables_of_their_own_are_joined_on_one(parts: list[tuple[list[Entry], bool]]) -> None:
    table = StreamTable()
    batches = [plain(batch_of(part)) if one_a_row else batch_of(part) for part, one_a_row in parts]
    joined = join_on(table, table.intern, batches)
    assert joined.streams is table
    assert entries_of(joined) == [row for part, _ in parts for row in part]


@given(entry_lists, entry_lists, st.data())
def test_taking_from_what_was_joined_and_joining_again_loses_nothing(
    first: list[Entry], second: list[Entry], data: st.DataObject
) -> None:
    table = StreamTable()
    joined = concat_batches([on_table(table, first), on_table(table, second)])
    everything = first + second
    cut = data.draw(st.integers(0, len(everything)))
    back = concat_batches(
        [take_rows(joined, np.arange(cut, len(everything))), take_rows(joined, np.arange(cut, dtype=np.int64))]
    )
    assert entries_of(back) == everything[cut:] + everything[:cut]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=10))
def test_spans_are_all_numbers_of_all_ranges(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], np.int64)
    lengths = np.array([length for _, length in ranges], np.int64)
    assert spans(starts, lengths).tolist() == [n for start, length in ranges for n in range(start, start + length)]


def test_repeated_values_of_joined_columns_stand_in_the_dictionary_once() -> None:
    table = StreamTable()
    part = [entry("a", ts, level="info") for ts in range(4)]
    joined = concat_batches([on_table(table, part) for _ in range(10)])
    assert joined.metadata["level"].values.tolist() == [b"info"]


@given(entry_lists)
def test_the_bytes_of_a_batch_are_at_least_those_of_its_strings(entries: list[Entry]) -> None:
    strings = sum(len(line) for _, _, line, _ in entries)
    assert batch_bytes(batch_of(entries)) >= strings + 12 * len(entries)
