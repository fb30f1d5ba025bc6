"""index_stats says what reading would find, wherever the rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage import DeleteOptions, IndexStats, Store
from storage.rows import metadata_pairs
from storage.scan import Window
from storage.stats import index_stats
from tests.batch_unit import everything
from tests.storage.entries import ALWAYS, DAY, HOUR, NOON, Matcher, entry, quiet, start, stored
from tests.storage.test_deletes import compiler
from tests.storage.test_scan import ROWS, STATES, filled

RANGES = [
    ALWAYS,
    (NOON + HOUR, NOON + 2 * HOUR),
    (NOON + 1, NOON + 2),
    (NOON, NOON),
    (NOON + HOUR + 1, NOON + HOUR + 3),
    (NOON + 1, NOON + 2 * HOUR + 1),
]


def by_reading(store: Store, matchers: Sequence[Matcher], start: int, end: int) -> tuple[int, int, int]:
    """Streams, bytes and entries that a scan gives."""
    streams: set[object] = set()
    size = entries = 0
    for unit in store.scan("t", matchers, start, end, "forward"):
        batch = everything(unit)
        streams |= {batch.streams[number] for number in batch.stream.tolist()}
        entries += len(batch)
        _, keys, names, values = metadata_pairs(batch)
        size += batch.lines.nbytes + values.nbytes + sum(len(names[key]) for key in keys.tolist())
    return len(streams), size, entries


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("start", "end"), RANGES)
@pytest.mark.parametrize("matchers", [(), (Matcher("app", "!=", "b"),), (Matcher("app", "=", "none"),)])
def test_stats_are_what_a_scan_reads(
    tmp_path: Path, state: str, start: int, end: int, matchers: tuple[Matcher, ...]
) -> None:
    store = filled(tmp_path, state)
    streams, size, entries = by_reading(store, matchers, start, end)
    found = store.index_stats("t", matchers, start, end)
    # The lines of a stream are all of one length here, so that pro-rated bytes are exact.
    assert (found.streams, found.bytes, found.entries) == (streams, size, entries)
    assert streams <= found.chunks <= entries
    store.close()


def test_a_chunk_is_a_streams_stretch_in_a_row_group_and_hour_or_its_share_of_memory(tmp_path: Path) -> None:
    store = filled(tmp_path, "both")
    # 13 rows in blocks in row groups of 4, by hour and stream: h0 a3 b1 | b2 c2 | c1, h1 a3 | b1.
    # In memory 14 rows of 3 streams.
    assert store.index_stats("t", (), *ALWAYS).chunks == 7 + 3
    assert store.index_stats("nobody", (), *ALWAYS) == IndexStats(0, 0, 0, 0)
    store.close()


@pytest.mark.parametrize("query", ["a", "*", "*/2", "b/1"])
@pytest.mark.parametrize("until", [NOON + DAY, NOON + HOUR + 1])
def test_what_is_deleted_does_not_count(tmp_path: Path, query: str, until: int) -> None:
    store = start(tmp_path, replace(quiet(row_group_rows=4), deletes=DeleteOptions(compiler, 1e6)))
    stored(store, ROWS)
    store.delete("t", query, NOON, until, "a test")
    assert by_reading(store, (), *ALWAYS)[2] < len(ROWS)
    stored(store, [entry("a", NOON + 7, "a07"), entry("c", NOON + HOUR + 7, "c17")])
    for _ in range(2):
        for begin, end in RANGES:
            found = store.index_stats("t", (), begin, end)
            assert (found.streams, found.bytes, found.entries) == by_reading(store, (), begin, end)
        store.flush()
    store.close()


def test_what_has_expired_does_not_count(tmp_path: Path) -> None:
    store = filled(tmp_path, "both")
    tenant = store._state.tenants["t"]
    floor = np.array([NOON + HOUR + 1, NOON - HOUR, NOON + DAY])
    window = Window(tenant.table, tenant.table.accepted(()), *ALWAYS, floor=floor)
    alive = [row for row in ROWS if row[1] >= floor["abc".index(row[0][0][1])]]
    found = index_stats(tenant.view, window)
    assert (found.streams, found.entries, found.bytes) == (2, len(alive), 3 * len(alive))
    store.close()
