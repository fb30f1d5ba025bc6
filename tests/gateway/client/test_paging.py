from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import BadAnswer, CutShort, Line, Page, Series, ServerRefused, Streams, Unreachable, pages
from gateway.client.answers import Entry, QueryAnswer, Stream

START, END = 0, 1000


class FakeServer:
    """Answers as Loki does: the first `limit` entries in the direction asked for, ties always in the same order."""

    def __init__(self, stored: Iterable[tuple[int, str, str]], *, forward: bool, most: int = 5000) -> None:
        self.stored = list(stored)
        self.forward = forward
        self.most = most
        self.calls: list[tuple[int, int, int]] = []

    def fetch(self, start: int, end: int, limit: int) -> QueryAnswer:
        self.calls.append((start, end, limit))
        if limit > self.most:
            raise ServerRefused(400, f"max entries limit per query exceeded ({limit} > {self.most})")
        ordered = sorted(self.stored, key=lambda entry: entry[0] if self.forward else -entry[0])
        page = [entry for entry in ordered if start <= entry[0] < end][:limit]
        streams: dict[str, list[Entry]] = {}
        for ts, app, text in page:
            streams.setdefault(app, []).append(Entry(str(ts), text))
        return Streams([Stream({"app": app}, streams[app]) for app in sorted(streams)], [])

    def read(self, *, limit: int, batch: int) -> list[Line]:
        found = []
        for page in pages(self.fetch, START, END, limit=limit, batch=batch, forward=self.forward):
            assert isinstance(page, Page)
            found += page.lines
        return found


ENTRIES = st.lists(
    st.tuples(st.integers(START, 12), st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])), max_size=40
)


@given(ENTRIES, st.booleans(), st.integers(1, 7))
def test_all_pages_together_are_the_stored_lines_each_once(
    stored: list[tuple[int, str, str]], forward: bool, batch: int
) -> None:
    found = FakeServer(stored, forward=forward).read(limit=0, batch=batch)
    assert sorted((line.ts, dict(line.labels)["app"], line.text) for line in found) == sorted(stored)
    times = [line.ts for line in found]
    assert times == sorted(times, reverse=not forward)


@given(ENTRIES, st.booleans(), st.integers(1, 7), st.integers(1, 50))
def test_a_limit_gives_the_first_lines_in_the_direction(
    stored: list[tuple[int, str, str]], forward: bool, batch: int, limit: int
) -> None:
    server = FakeServer(stored, forward=forward)
    paged = server.read(limit=limit, batch=batch)
    assert len(paged) == min(limit, len(stored))
    times = sorted((entry[0] for entry in stored), reverse=not forward)
    assert [line.ts for line in paged] == times[:limit]


def test_more_lines_at_one_timestamp_than_a_batch_are_all_read() -> None:
    stored = [(5, "a", str(number)) for number in range(25)]
    found = FakeServer(stored, forward=True).read(limit=0, batch=10)
    assert [line.text for line in found] == [str(number) for number in range(25)]


def test_lines_that_look_the_same_are_counted() -> None:
    found = FakeServer([(5, "a", "same")] * 3 + [(6, "a", "same")] * 3, forward=True).read(limit=0, batch=2)
    assert [line.ts for line in found] == [5, 5, 5, 6, 6, 6]


def test_the_next_page_begins_at_the_last_timestamp_and_asks_for_the_overlap_too() -> None:
    stored = [(1, "a", "1"), (2, "a", "2"), (2, "b", "2"), (3, "a", "3"), (4, "a", "4")]
    forward = FakeServer(stored, forward=True)
    forward.read(limit=0, batch=3)
    assert forward.calls == [(0, 1000, 3), (2, 1000, 5), (4, 1000, 4)]
    backward = FakeServer(stored, forward=False)
    backward.read(limit=0, batch=3)
    assert backward.calls == [(0, 1000, 3), (0, 3, 4), (0, 2, 4)]


def test_a_limit_within_one_batch_is_one_call() -> None:
    server = FakeServer([(ts, "a", "x") for ts in range(50)], forward=True)
    assert len(server.read(limit=30, batch=1000)) == 30
    assert server.calls == [(0, 1000, 30)]


def test_more_equal_timestamps_than_the_server_gives_at_once_are_said_to_be_cut() -> None:
    server = FakeServer([(7, "a", str(number)) for number in range(30)], forward=True, most=20)
    with pytest.raises(CutShort, match="20 of them at the last timestamp 7: max entries limit") as cut:
        server.read(limit=0, batch=10)
    assert isinstance(cut.value.__cause__, ServerRefused)


def test_a_first_call_that_fails_is_its_own_error() -> None:
    def unreachable(_start: int, _end: int, _limit: int) -> QueryAnswer:
        raise Unreachable("nobody there")

    with pytest.raises(Unreachable):
        list(pages(unreachable, START, END, limit=0, batch=10, forward=True))


def test_a_server_that_repeats_itself_does_not_keep_us_for_ever() -> None:
    same = Streams([Stream({"app": "a"}, [Entry(str(ts), "x") for ts in range(10)])], [])
    found = list(pages(lambda _start, _end, _limit: same, START, END, limit=0, batch=10, forward=True))
    assert sum(len(page.lines) for page in found if isinstance(page, Page)) == 10


def test_a_server_that_gives_more_than_asked_for_does_not_break_the_limit() -> None:
    same = Streams([Stream({"app": "a"}, [Entry(str(ts), "x") for ts in range(10)])], [])
    found = list(pages(lambda _start, _end, _limit: same, START, END, limit=4, batch=10, forward=True))
    assert [len(page.lines) for page in found if isinstance(page, Page)] == [4]


def test_warnings_come_through_even_with_no_lines() -> None:
    found = list(pages(lambda _s, _e, _l: Streams([], ["half of it"]), START, END, limit=5, batch=10, forward=True))
    assert found == [Page([], ["half of it"])]


def test_a_metric_answer_ends_the_walk() -> None:
    matrix = Series("matrix", b"[]", [])
    assert list(pages(lambda _s, _e, _l: matrix, START, END, limit=0, batch=10, forward=True)) == [matrix]


def test_a_timestamp_that_is_no_number_is_a_bad_answer() -> None:
    odd = Streams([Stream({}, [Entry("noon", "x")])], [])
    with pytest.raises(BadAnswer, match="no number"):
        list(pages(lambda _s, _e, _l: odd, START, END, limit=0, batch=10, forward=True))
