from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import Batch
from storage.duplicates import new_rows, repeats, rows_at, shared_times
from storage.memtable import add_run, make_run
from storage.rows import renumber
from storage.state import View
from storage.streams import StreamTable
from tests.storage.entries import Entry, batch_of, entries_of, entry, metadata_of, plain, short_lines

few_times = st.integers(0, 3)
few_labels = st.sampled_from([(("app", "a"),), (("app", "b"),)])
wide = st.sampled_from([{f"k{n}": b"v" for n in range(first, first + 66)} for first in range(3)])
narrow = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([b"", b"v"]), max_size=2)
entries = st.lists(
    st.tuples(few_labels, few_times, st.sampled_from([b"", b"x", b"y"]), (narrow | narrow | wide).map(metadata_of)),
    max_size=8,
)


def on(table: StreamTable, rows: list[Entry], *, one_a_row: bool = False) -> Batch:
    batch = batch_of(rows)
    batch = renumber(batch, table, np.array([table.intern(labels) for labels in batch.streams], np.int32))
    return plain(batch) if one_a_row else batch


@given(entries, st.booleans())
def test_repeats_are_what_a_set_has_seen(rows: list[Entry], one_a_row: bool) -> None:
    seen: set[Entry] = set()
    expected = []
    for row in rows:
        expected.append(row in seen)
        seen.add(row)
    assert repeats(on(StreamTable(), rows, one_a_row=one_a_row)).tolist() == expected


@given(st.lists(st.tuples(few_labels, few_times), max_size=12))
def test_shared_times_are_pairs_that_occur_more_than_once(pairs: list[tuple[tuple[tuple[str, str]], int]]) -> None:
    batch = on(StreamTable(), [(labels, ts, b"", ()) for labels, ts in pairs])
    found = shared_times(batch.stream, batch.ts)
    expected = [pairs.count(pair) > 1 for pair in pairs]
    assert (found.tolist() if found is not None else [False] * len(pairs)) == expected


@given(entries, entries)
def test_rows_at_are_those_with_one_of_the_pairs(rows: list[Entry], asked: list[Entry]) -> None:
    table = StreamTable()
    batch, pairs = on(table, rows), on(table, asked)
    if not len(pairs):
        return
    wanted = {(labels, ts) for labels, ts, _, _ in asked}
    assert rows_at(batch, pairs.stream, pairs.ts).tolist() == [
        at for at, row in enumerate(rows) if (row[0], row[1]) in wanted
    ]


@given(st.lists(entries, max_size=3), entries)
def test_new_rows_are_those_in_neither_memory_nor_the_batch_before(held: list[list[Entry]], rows: list[Entry]) -> None:
    table = StreamTable()
    view = View()
    seen: set[Entry] = set()
    for number, part in enumerate(held):
        kept = [row for at, row in enumerate(part) if row not in seen and row not in part[:at]]
        seen.update(kept)
        if kept:
            view = view.with_run(make_run(on(table, kept), number, number), len(table))
    batch = on(table, rows)
    found = new_rows(batch, view.bounds.grown(len(table)).newest, view.memory) if rows else None
    expected = []
    for at, row in enumerate(rows):
        if row not in seen:
            expected.append(at)
            seen.add(row)
    assert (list(range(len(rows))) if found is None else found.tolist()) == expected


def test_times_past_the_newest_need_no_look_at_memory() -> None:
    table = StreamTable()
    run = make_run(on(table, [entry("a", ts) for ts in range(10)]), 1, 1)
    batch = on(table, [entry("a", 10), entry("a", 11)])
    assert new_rows(batch, np.array([9], np.int64), [run]) is None
    late = on(table, [entry("a", 9), entry("a", 11), entry("a", 11)])
    kept = new_rows(late, np.array([9], np.int64), add_run((), run))
    assert kept is not None
    assert [row[1] for row in entries_of(late)][kept[0]] == 11
    assert kept.tolist() == [1]


@given(st.lists(st.tuples(short_lines, short_lines), min_size=1, max_size=8))
def test_lines_and_values_are_compared_byte_by_byte(pairs: list[tuple[bytes, bytes]]) -> None:
    rows: list[Entry] = [((("a", "b"),), 1, line, (("k", value),)) for line, value in pairs]
    found = repeats(on(StreamTable(), rows)).tolist()
    assert found == [row in rows[:at] for at, row in enumerate(rows)]
