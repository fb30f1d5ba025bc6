from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.blockread import Block
from storage.compact.plan import (
    GROWTH,
    MAX_ROWS,
    MAX_SOURCES,
    MAX_SPANS,
    Asked,
    CompactionOptions,
    Job,
    Reason,
    plan,
)
from storage.tombstones import Tombstone
from storage.ulid import made_at, new_ulid
from tests.storage.compact.blocks import DAY_NUMBER, MIDNIGHT, block, blocks, made_ulid
from tests.storage.entries import DAY, HOUR

MB = 1 << 20
OPTIONS = CompactionOptions()
GROWING = Asked(OPTIONS, MIDNIGHT + 12 * HOUR)
SETTLED = Asked(OPTIONS, MIDNIGHT + 3 * DAY)
EVERYTHING = replace(GROWING, everything=True)


def sizes(jobs: tuple[Job, ...]) -> list[list[int]]:
    return [[one.size // MB for one in job.sources] for job in jobs]


def planned(asked: Asked, *megabytes: float) -> list[list[int]]:
    return sizes(plan(blocks(*(int(size * MB) for size in megabytes)), asked).jobs)


@pytest.mark.parametrize(
    ("asked", "given_sizes", "expected"),
    [
        # A day that grows: four of like size.
        (GROWING, [10, 10, 10], []),
        (GROWING, [10, 10, 10, 10], [[10, 10, 10, 10]]),
        (GROWING, [40, 10, 10, 10], []),
        (GROWING, [40, 10, 10, 10, 10], [[10, 10, 10, 10]]),
        (GROWING, [10, 1, 10, 1, 10, 1, 10], [[10, 1, 10, 1, 10, 1, 10]]),
        (GROWING, [90, 90, 90], []),
        # What fills a block may be joined though it is not four times the largest.
        (GROWING, [120, 120], [[120, 120]]),
        (GROWING, [200, 50], []),
        (GROWING, [200, 200, 200, 200], []),
        # A day that is over and quiet: whatever adds a quarter.
        (SETTLED, [10, 10], [[10, 10]]),
        (SETTLED, [100, 10, 10], [[10, 10]]),
        (SETTLED, [100, 20, 10], [[100, 20, 10]]),
        (SETTLED, [200, 100, 60, 30], [[100, 60, 30]]),
        (SETTLED, [250, 1], []),
        # Everything that fits together.
        (EVERYTHING, [200, 1, 1], [[200, 1, 1]]),
        (EVERYTHING, [200, 100, 100], [[100, 100]]),
    ],
)
def test_neighbours_are_joined_where_it_pays(asked: Asked, given_sizes: list[float], expected: list[list[int]]) -> None:
    assert planned(asked, *given_sizes) == expected


def test_a_day_settles_when_it_is_over_and_nothing_came_for_a_while() -> None:
    quiet = int(OPTIONS.quiet * 1e9)
    two = [block(1, 10 * MB), block(2, 10 * MB, made=MIDNIGHT + DAY + HOUR)]
    for now, settled in (
        (MIDNIGHT + DAY + HOUR, False),
        (MIDNIGHT + DAY + HOUR + quiet - 1, False),
        (MIDNIGHT + DAY + HOUR + quiet, True),
    ):
        found = plan(two, Asked(OPTIONS, now))
        assert bool(found.jobs) == settled
        assert found.again == (None if settled else MIDNIGHT + DAY + HOUR + quiet)
    assert plan(two[:1], Asked(OPTIONS, MIDNIGHT)).again == MIDNIGHT + DAY + quiet


def test_a_block_of_a_flush_is_written_anew_when_its_day_has_settled() -> None:
    one = [block(1, 10 * MB, compacted=False)]
    assert plan(one, GROWING).jobs == ()
    (job,) = plan(one, SETTLED).jobs
    assert (list(job.sources), job.reason) == (one, Reason.SETTLED)


def test_days_are_not_mixed() -> None:
    found = [block(number, 10 * MB, day=DAY_NUMBER + number % 2) for number in range(8)]
    jobs = plan(found, GROWING).jobs
    assert [{one.day for one in job.sources} for job in jobs] == [{DAY_NUMBER}, {DAY_NUMBER + 1}]
    assert [len(job.sources) for job in jobs] == [4, 4]


@pytest.mark.parametrize(
    ("many", "most"),
    [
        ([block(number, 1) for number in range(40)], MAX_SOURCES),
        ([block(number, 1, rows=MAX_ROWS // 2) for number in range(4)], 2),
        ([block(number, MB, rows=10**6, streams=MAX_SPANS // 60) for number in range(4)], 2),
        ([block(number, 100 * MB) for number in range(4)], 2),
    ],
    ids=["sources", "rows", "spans", "bytes"],
)
def test_what_is_joined_at_once_is_bounded(many: list[Block], most: int) -> None:
    jobs = plan(many, EVERYTHING).jobs
    assert max(len(job.sources) for job in jobs) == most
    assert [one for job in jobs for one in job.sources] == many


def tombstone(generation: int, name: str = "d") -> Tombstone:
    return Tombstone(name, np.ones(1, np.bool_), MIDNIGHT, MIDNIGHT + HOUR, generation)


def test_a_block_is_written_anew_for_a_delete_and_that_comes_first() -> None:
    two = [*blocks(*[10 * MB] * 4), block(9, 99 * MB, day=DAY_NUMBER + 1)]
    asked = replace(GROWING, claimed=[replace(tombstone(9), start=MIDNIGHT + DAY, end=MIDNIGHT + 2 * DAY)])
    jobs = plan(two, asked).jobs
    assert [(job.reason, len(job.sources)) for job in jobs] == [(Reason.DELETED, 1), (Reason.JOINED, 4)]
    done = [replace(one, deletes=frozenset("d")) for one in two]
    assert [job.reason for job in plan(done, asked).jobs] == [Reason.JOINED]


def test_nothing_is_joined_across_a_delete_that_can_be_called_off() -> None:
    eight = blocks(*[10 * MB] * 8)
    assert [len(job.sources) for job in plan(eight, GROWING).jobs] == [8]
    waiting = replace(GROWING, waiting=[tombstone(3)])
    assert [[one.generation for one in job.sources] for job in plan(eight, waiting).jobs] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]
    passed = replace(GROWING, waiting=[replace(tombstone(3), start=0, end=1)])
    assert [len(job.sources) for job in plan(eight, passed).jobs] == [8]


def test_a_barred_block_is_left_alone_and_nothing_is_joined_across_it() -> None:
    nine = blocks(*[10 * MB] * 9)
    asked = replace(GROWING, barred={nine[4].path}, claimed=[tombstone(99)])
    jobs = plan(nine, asked).jobs
    assert [[one.generation for one in job.sources] for job in jobs] == [[0, 1, 2, 3], [5, 6, 7, 8]]


def test_what_has_expired_is_asked_of_retention() -> None:
    two = blocks(90 * MB, 10 * MB)
    asked = replace(GROWING, has_much_expired=lambda one: one is two[1])
    assert [(list(job.sources), job.reason) for job in plan(two, asked).jobs] == [([two[1]], Reason.EXPIRED)]


def joined(job: Job, generation: int, made: int) -> Block:
    return replace(block(generation, job.size, made=made), rows=sum(one.rows for one in job.sources))


@given(st.lists(st.integers(1, 64 * MB), min_size=1, max_size=120))
def test_a_row_is_rewritten_a_bounded_number_of_times(arriving: list[int]) -> None:
    limit = OPTIONS.max_block_size
    present: list[Block] = []
    rewritten: Counter[int] = Counter()
    holds: dict[int, list[int]] = {}
    for number, size in enumerate(arriving):
        present.append(block(number, size))
        holds[id(present[-1])] = [number]
        while jobs := plan(present, GROWING).jobs:
            for job in jobs:
                made = joined(job, job.sources[-1].generation, MIDNIGHT)
                holds[id(made)] = [one for source in job.sources for one in holds[id(source)]]
                rewritten.update(holds[id(made)])
                assert made.size <= limit
                at = present.index(job.sources[0])
                assert present[at : at + len(job.sources)] == list(job.sources)
                present[at : at + len(job.sources)] = [made]
    assert [one for held in present for one in holds[id(held)]] == list(range(len(arriving)))
    smallest = min(arriving)
    steps = np.log(max(limit / smallest, 1)) / np.log(GROWTH) + 2  # one more to fill a block
    assert max(rewritten.values(), default=0) <= steps
    # What stays: no four of like size side by side.
    for at in range(len(present) - 4):
        five = [one.size for one in present[at : at + 5]]
        assert sum(five) < GROWTH * max(five) or sum(five) > limit or max(five).bit_length() != min(five).bit_length()


def test_a_ulid_tells_when_it_was_made() -> None:
    assert made_at(made_ulid(MIDNIGHT)) == MIDNIGHT
    assert abs(made_at(new_ulid()) - made_at(new_ulid())) < 10**10
    assert made_at("some other name") == 0
