"""What live tail sees of a batch is what a query finds in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import Direction, LiveQuery, LogExpr, parse_log, run_log_query
from logql.live import AT_ONCE
from storage.batch import Batch
from tests.logql.memory_source import MemorySource, Stored, batch_of
from tests.logql.test_choosing import QUERIES, lines

SELECTORS = ('{app=~"w.*|", x="y"}', '{app="web"}', '{app=~".+"}', '{env="dev", app!~"d.*"}')
STREAMS = (
    (("app", "web"),),
    (("app", "web"), ("env", "dev")),
    (("app", "db"),),
    (("env", "prod"), ("x", "y")),
)
entries = st.builds(
    Stored,
    st.sampled_from(STREAMS),
    st.integers(0, 5),
    lines,
    st.sampled_from([(), (("trace", b"7"),), (("level", b"error"), ("n", b"4"))]),
)


def go_on() -> None:
    """Nobody stops it."""


def seen(query: str, batch: Batch, *, stream_only: bool = False) -> list[tuple[int, bytes, object]]:
    live = LiveQuery(parse_log(query))
    found = []
    for _, some in live.entries(batch, live.matching(batch), go_on, stream_only=stream_only):
        lines = some.lines.tolist()
        found += [
            (ts, lines[line], some.label_sets[labels])
            for ts, line, labels in zip(some.ts.tolist(), some.line.tolist(), some.labels.tolist(), strict=True)
        ]
    return found


@pytest.mark.parametrize("stages", ["", *(query.removeprefix('{a="b"}') for query in QUERIES)])
@settings(max_examples=25)
@given(stored=st.lists(entries, min_size=1, max_size=20), selector=st.sampled_from(SELECTORS))
def test_it_finds_what_a_query_finds(stages: str, stored: list[Stored], selector: str) -> None:
    expr = parse_log(selector + stages)
    assert isinstance(expr, LogExpr)
    answer = run_log_query(MemorySource(stored), "t", expr, 0, 10, 1000, Direction.FORWARD).entries
    wanted = sorted((entry.ts, entry.line, entry.labels) for entry in answer)
    found = seen(selector + stages, batch_of(stored))
    assert sorted((ts, line, labels.together) for ts, line, labels in found) == wanted  # type: ignore[attr-defined]
    assert [ts for ts, _, _ in found] == sorted(ts for ts, _, _ in found)


def test_streams_are_asked_once_and_new_ones_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [(("app", f"w{number}"),) for number in range(300)]
    live = LiveQuery(parse_log('{app=~"w.*[02468]"}'))
    asked: list[object] = []
    decided = live._decided

    def counted(labels: Sequence[tuple[str, str]]) -> int:
        asked.append(labels)
        return decided(tuple(labels))

    monkeypatch.setattr(live, "_decided", counted)
    one = batch_of([Stored((), 0, b"x")])
    for numbers in ([0, 1, 2], [2, 1, 0, 299], [299, 4]):
        batch = Batch(
            table,
            np.array(numbers, np.int32),
            np.zeros(len(numbers), np.int64),
            replace(one.lines, offsets=np.zeros(len(numbers) + 1, np.int64)),
        )
        assert live.matching(batch).tolist() == [at for at, number in enumerate(numbers) if number % 2 == 0]
    assert asked == [table[number] for number in (0, 1, 2, 299, 4)]


def test_pieces_are_bounded_and_know_their_rows() -> None:
    batch = batch_of([Stored(STREAMS[0], 5000 - number, b"%d" % number) for number in range(2500)])
    live = LiveQuery(parse_log('{app="web"} | line_format "{{__line__}}!" |~ "[13579]!"'))
    pieces = list(live.entries(batch, live.matching(batch), go_on))
    assert max(len(some) for _, some in pieces) <= AT_ONCE
    rows = np.concatenate([rows for rows, _ in pieces]).tolist()
    assert rows == [number for number in range(2499, -1, -1) if number % 2]


def test_a_selector_alone_may_show_the_stream_alone() -> None:
    batch = batch_of([Stored(STREAMS[0], 1, b"x", (("trace", b"7"),)), Stored(STREAMS[0], 0, b"y")])
    found = seen('{app="web"}', batch, stream_only=True)
    assert [(ts, line, labels.together) for ts, line, labels in found] == [  # type: ignore[attr-defined]
        (0, b"y", STREAMS[0]),
        (1, b"x", STREAMS[0]),
    ]


def test_it_can_be_stopped() -> None:
    class Stop(Exception):  # noqa: N818 - named for what happened
        pass

    def stop() -> None:
        raise Stop

    batch = batch_of([Stored(STREAMS[0], 0, b"x")])
    live = LiveQuery(parse_log('{app="web"}'))
    with pytest.raises(Stop):
        next(live.entries(batch, live.matching(batch), stop))
