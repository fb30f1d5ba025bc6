"""index_stats says what reading would find, wherever the rows are."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import IndexStats
from storage.rows import metadata_pairs
from tests.batch_unit import everything
from tests.storage.entries import ALWAYS, HOUR, NOON, Matcher
from tests.storage.test_scan import STATES, filled

RANGES = [
    ALWAYS,
    (NOON + HOUR, NOON + 2 * HOUR),
    (NOON + 1, NOON + 2),
    (NOON, NOON),
    (NOON + HOUR + 1, NOON + HOUR + 3),
    (NOON + 1, NOON + 2 * HOUR + 1),
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("start", "end"), RANGES)
@pytest.mark.parametrize("matchers", [(), (Matcher("app", "!=", "b"),), (Matcher("app", "=", "none"),)])
def test_stats_are_what_a_scan_reads(
    tmp_path: Path, state: str, start: int, end: int, matchers: tuple[Matcher, ...]
) -> None:
    store = filled(tmp_path, state)
    streams: set[object] = set()
    size = entries = 0
    for unit in store.scan("t", matchers, start, end, "forward"):
        batch = everything(unit)
        streams |= {batch.streams[number] for number in batch.stream.tolist()}
        entries += len(batch)
        _, keys, names, values = metadata_pairs(batch)
        size += batch.lines.nbytes + values.nbytes + sum(len(names[key]) for key in keys.tolist())
    found = store.index_stats("t", matchers, start, end)
    # The lines of a stream are all of one length here, so that pro-rated bytes are exact.
    assert (found.streams, found.bytes, found.entries) == (len(streams), size, entries)
    assert len(streams) <= found.chunks <= entries
    store.close()


def test_a_chunk_is_a_streams_stretch_in_a_row_group_and_hour_or_its_share_of_memory(tmp_path: Path) -> None:
    store = filled(tmp_path, "both")
    # 13 rows in blocks in row groups of 4, by hour and stream: h0 a3 b1 | b2 c2 | c1, h1 a3 | b1.
    # In memory 14 rows of 3 streams.
    assert store.index_stats("t", (), *ALWAYS).chunks == 7 + 3
    assert store.index_stats("nobody", (), *ALWAYS) == IndexStats(0, 0, 0, 0)
    store.close()
