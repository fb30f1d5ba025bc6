"""The kernels a commit looks at rows with, against plain Python."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import texts
from storage.kernels.arrival import HIGH, LOW, all_marked, lengths_of, survey, widen_day

FIRST, LAST = -(1 << 63), (1 << 63) - 1
STREAMS = 4
ROWS = st.lists(st.tuples(st.integers(0, STREAMS - 1), st.integers(-5, 15)), max_size=25)


@given(ROWS, st.lists(st.sampled_from([FIRST, -6, 0, 7]), min_size=STREAMS, max_size=STREAMS))
def test_a_survey_says_what_each_row_says(rows: list[tuple[int, int]], before: list[int]) -> None:
    stream = np.array([number for number, _ in rows], np.int32)
    ts = np.array([when for _, when in rows], np.int64)
    newest = np.array(before, np.int64)
    streams, times = np.empty(len(rows), np.int32), np.empty((3, len(rows)), np.int64)
    count, first, last, is_new = survey(stream, ts, newest, streams, times)

    stretches = [(number, [when for _, when in some]) for number, some in groupby(rows, key=lambda row: row[0])]
    assert streams[:count].tolist() == [number for number, _ in stretches]
    assert times[LOW, :count].tolist() == [min(some) for _, some in stretches]
    assert times[HIGH, :count].tolist() == [max(some) for _, some in stretches]
    assert (first, last) == (min(ts, default=LAST), max(ts, default=FIRST))

    raised, expected = list(before), True
    for number, when in rows:
        expected &= when > raised[number]
        raised[number] = max(raised[number], when)
    assert is_new == expected
    assert newest.tolist() == (raised if expected else before)


MS = 1_000_000
KNOWN = st.lists(st.integers(0, 9), unique=True, max_size=6).map(sorted)
STRETCHES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9 * MS), st.integers(0, 2 * MS)), max_size=8)


@given(KNOWN, STRETCHES, st.sampled_from([0, -7 * MS, 3 * MS]))
def test_a_day_is_widened_where_all_streams_are_known(
    known: list[int], stretches: list[tuple[int, int, int]], begin: int
) -> None:
    first, last = np.full(len(known), 5, np.int32), np.full(len(known), 6, np.int32)
    low = np.array([begin + start for _, start, _ in stretches], np.int64)
    high = np.array([begin + start + length for _, start, length in stretches], np.int64)
    stream = np.array([number for number, _, _ in stretches], np.int32)
    done = widen_day(np.array(known, np.int32), first, last, stream, low, high, begin)
    assert done == all(number in known for number, _, _ in stretches)
    for place, number in enumerate(known):
        own = [(start, start + length) for stream_, start, length in stretches if stream_ == number and done]
        assert first[place] == min([5, *(start // MS for start, _ in own)])
        assert last[place] == max([6, *(-(-end // MS) for _, end in own)])


@given(st.lists(st.integers(0, 5), max_size=9), st.lists(st.booleans(), min_size=6, max_size=6))
def test_all_are_marked_or_not(numbers: list[int], marks: list[bool]) -> None:
    found = all_marked(np.array(numbers, np.int32), np.array(marks, np.bool_))
    assert found == all(marks[number] for number in numbers)


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_lengths_and_the_greatest_of_them(values: list[bytes]) -> None:
    out = np.empty(len(values), np.uint32)
    assert lengths_of(texts(values).offsets, out) == max(map(len, values), default=0)
    assert out.tolist() == list(map(len, values))


def test_a_length_past_32_bits_is_told() -> None:
    assert lengths_of(np.array([0, 5, (1 << 32) + 5], np.int64), np.empty(2, np.uint32)) == 1 << 32
