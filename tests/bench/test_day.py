"""The day that bench/day.py stores has the lines it says, in order, and questions about it are told beside a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.day import DAY, PER_BATCH, START, STEPS, TENANT, batches, fill, tell
from storage import Grouping, StoreOptions, open_store


@pytest.fixture(autouse=True)
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer different lines, which take seconds to make."""
    monkeypatch.setattr("bench.day.POOL", PER_BATCH)


def test_the_lines_of_a_day_are_spread_over_it() -> None:
    made = list(batches(60_000))
    assert sum(map(len, made)) == 60_000
    for app in {batch.streams[0][0] for batch in made}:
        ts = np.concatenate([batch.ts for batch in made if batch.streams[0][0] == app])
        assert (np.diff(ts) >= 0).all()
        assert START <= ts[0] < ts[-1] < START + DAY
        assert ts[-1] - ts[0] > 0.99 * DAY


def test_each_question_is_told_with_its_share_of_a_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(tmp_path, StoreOptions())
    assert fill(store, 30_000) == 30_000
    store.flush()
    tell(store, "flushed")
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("flushed: scan ")
    assert f"volume_range by pod, {STEPS} steps" in rows[2]
    assert all(row.endswith(" x scan |") for row in rows[1:])
    (found,) = store.volumes(TENANT, (), START, START + DAY - 1, 0, Grouping(("app",)))
    assert [len(labels) for labels, _ in found.series] == [1, 1, 1]
    store.close()
