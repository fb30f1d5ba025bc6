from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.batch import MAX_COLUMNS
from storage.build import BatchBuilder
from tests.storage.entries import Entry, batch_of, entries_of, entry_lists

AB = (("a", "b"),)


@given(entry_lists)
def test_a_batch_says_what_was_added(entries: list[Entry]) -> None:
    assert entries_of(batch_of(entries)) == entries


def test_streams_without_entries_stay_in_the_table() -> None:
    builder = BatchBuilder()
    builder.add_stream(AB)
    builder.add_stream((("a", "c"),))
    builder.add(1, 5, b"x")
    batch = builder.build()
    assert batch.streams == [AB, (("a", "c"),)]
    assert batch.stream.tolist() == [1]


@given(st.integers(1, MAX_COLUMNS * 2))
def test_of_a_key_given_twice_the_last_value_is_kept(keys: int) -> None:
    builder = BatchBuilder()
    builder.add_stream(AB)
    builder.add(0, 1, b"x", [(f"k{n}", b"first") for n in range(keys)] + [(f"k{n}", b"last") for n in range(keys)])
    builder.add(0, 2, b"y", [(f"k{n}", b"only") for n in range(0, keys, 2)])
    first, second = entries_of(builder.build())
    assert first[3] == tuple(sorted((f"k{n}", b"last") for n in range(keys)))
    assert second[3] == tuple(sorted((f"k{n}", b"only") for n in range(0, keys, 2)))


def test_the_most_frequent_keys_get_columns_and_the_others_share_the_rest() -> None:
    builder = BatchBuilder()
    builder.add_stream(AB)
    for row in range(10):
        builder.add(0, row, b"x", [("common", b"v"), *((f"rare{row}-{n}", b"v") for n in range(20))])
    batch = builder.build()
    assert len(batch.metadata) == MAX_COLUMNS
    assert "common" in batch.metadata
    assert batch.rest is not None
    assert len(batch.rest.names) == 10 * 20 + 1 - MAX_COLUMNS


def test_values_that_repeat_become_a_dictionary_and_others_do_not() -> None:
    builder = BatchBuilder()
    builder.add_stream(AB)
    for row in range(100):
        builder.add(0, row, b"x", [("level", b"warn" if row % 2 else b"info"), ("trace", b"%d" % row)])
    batch = builder.build()
    assert len(batch.metadata["level"].values) == 2
    assert len(batch.metadata["trace"].values) == 100
