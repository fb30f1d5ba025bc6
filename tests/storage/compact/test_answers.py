"""Compaction changes no answer: the same entries in the same order, whatever was flushed when."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Store, StoreOptions
from tests.batch_unit import everything
from tests.storage.entries import (
    ALWAYS,
    DAY,
    HOUR,
    NOON,
    Entry,
    Matcher,
    entries_of,
    entry_lists,
    quiet,
    read,
    start,
    stored,
    without_repeats,
)

OPTIONS = quiet(row_group_rows=5, row_group_size=64)

pushes = st.lists(st.tuples(entry_lists, st.booleans()), max_size=8)
"""What comes, and after which push a flush does."""


def ordered(store: Store, direction: str) -> list[Entry]:
    """All entries as a query gives them out: by (ts, stream, arrival), or the reverse."""
    found = [
        (row[1], row[0], unit.arrival, place, row)
        for unit in store.scan("t", (), *ALWAYS, direction)
        for place, row in enumerate(entries_of(everything(unit)))
    ]
    found.sort(key=lambda item: item[:4], reverse=direction == "backward")
    return [item[4] for item in found]


def totals(store: Store) -> dict[tuple[object, ...], tuple[int, int]]:
    """(labels, hour) -> (entries, bytes of lines), from footers where they say it."""
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for unit in store.scan("t", (), *ALWAYS, "forward"):
        said = unit.totals()
        if said is not None:
            counted = zip(
                said.stream.tolist(), said.min_ts.tolist(), said.entries.tolist(), said.line_bytes.tolist(), strict=True
            )
            items = [((said.streams[stream], ts // HOUR), entries, size) for stream, ts, entries, size in counted]
        else:
            items = [((row[0], row[1] // HOUR), 1, len(row[2])) for row in entries_of(everything(unit))]
        for key, entries, size in items:
            old = found.get(key, (0, 0))
            found[key] = old[0] + entries, old[1] + size
    return found


def answers(store: Store) -> tuple[object, ...]:
    pages = [ordered(store, direction) for direction in ("forward", "backward")]
    narrow = [
        read(store, matchers=[Matcher("app", "=", "a")]),
        read(store, start=NOON, end=NOON + 3),
        read(store, matchers=[Matcher("app", "!=", "")], start=NOON - DAY, end=NOON + 1),
    ]
    names = store.label_names("t", (), NOON - 3 * DAY, NOON + 3 * DAY)
    series = sorted(store.series("t", (), NOON - 3 * DAY, NOON + 3 * DAY))
    values = store.label_values("t", "app", (), NOON - 3 * DAY, NOON + 3 * DAY)
    return pages, narrow, totals(store), names, series, values


def fill(folder: Path, sent: Sequence[tuple[list[Entry], bool]], options: StoreOptions) -> Store:
    store = start(folder, options)
    for entries, flushes in sent:
        if entries:
            stored(store, entries)
        if flushes:
            store.flush()
    return store


@settings(max_examples=60)
@given(pushes, st.booleans(), st.integers(1, 200_000))
def test_the_same_answers_before_and_after_and_after_a_restart(
    sent: list[tuple[list[Entry], bool]], again: bool, most: int
) -> None:
    options = replace(OPTIONS, compaction=replace(OPTIONS.compaction, max_block_size=most))
    with tempfile.TemporaryDirectory() as folder:
        # Everything twice: rows that stand in two blocks are shown once and stored once.
        store = fill(Path(folder), sent * 2 if again else sent, options)
        expected = answers(store)
        store.compact()
        assert answers(store) == expected
        assert store.to_compact() == []
        store.close()
        store = start(Path(folder), options)
        assert answers(store) == expected
        store.flush()
        assert answers(store) == expected
        store.compact()
        assert answers(store) == expected
        rows = [row for entries, _ in sent for row in entries]
        held = sum(figures.block_rows for figures in store.figures().tenants.values())
        if most == 200_000:
            assert held == len(without_repeats(rows))
        store.close()
