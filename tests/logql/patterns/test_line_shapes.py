"""The kernel of line shapes against its short form, logql/patterns/words.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from logql.kernels.line_shapes import LATE, MAX_LINE, MAX_VARIABLE, NO_SHAPE, UNKNOWN, find_shapes
from logql.patterns.words import has_pattern, join, shape, split
from storage.batch import texts

SECOND = 1_000_000_000
SIZE = 64

WORDS = st.sampled_from([b"a", b"b1", b"bc", b"7", b"<x>", b"user-9", b"\xff", "é".encode(), b"x" * 40])
GAPS = st.sampled_from([b" ", b"=", b"  ", b'","', b" [", b"] ", b"\n", b"\\"])
LINES = st.lists(st.one_of(WORDS, GAPS), max_size=30).map(b"".join) | st.binary(max_size=60)


class Table:
    """The kernel's table, and what one call of it found."""

    def __init__(self) -> None:
        self.keys = np.zeros(SIZE, np.uint64)
        self.seen = np.zeros(SIZE * MAX_VARIABLE, np.uint32)
        self.fresh = np.zeros(SIZE, np.uint8)
        self.differ = np.zeros(SIZE, np.uint16)
        self.newest = np.full(4, np.iinfo(np.int64).min, np.int64)

    def find(
        self, lines: Sequence[bytes], *, ts: Sequence[int] = (), stream: int = 0, level: int = 0, seed: int = 1
    ) -> tuple[list[int], list[int], list[int]]:
        """Places, hashes and places that changed of each line; all at one time unless told."""
        size, data = len(lines), texts(lines)
        places, buckets, changed = (np.full(size, -9, np.int64) for _ in range(3))
        hashes = np.zeros(size, np.uint64)
        count = find_shapes(
            data.data,
            data.offsets,
            np.arange(size),
            np.full(size, stream, np.int32),
            np.array(ts or [SECOND] * size, np.int64),
            np.full(size, level, np.int8),
            bool(ts),
            np.uint64(seed),
            self.newest,
            self.keys,
            self.seen,
            self.fresh,
            self.differ,
            places,
            hashes,
            buckets,
            changed,
        )
        return places.tolist(), hashes.tolist(), changed[:count].tolist()

    def put(self, key: int) -> int:
        """Makes a shape known; its place."""
        place = key % SIZE
        self.keys[place], self.fresh[place] = key, 1
        return place


@given(st.lists(LINES, min_size=1, max_size=8))
@example([b""])
@example([b"a b c d", b"a b c\td", b"a b c  d", b"a b c d "])
@example([b"x" * MAX_LINE + b" a b c", b"a b c " + b"x" * (MAX_LINE - 6)])
@example([b"a " * 80 + b"a", b"a " * 79 + b"a", b"a b c", b"a b=c"])
def test_lines_have_one_hash_where_they_have_one_shape(lines: list[bytes]) -> None:
    places, hashes, _ = Table().find(lines)
    assert [place == UNKNOWN for place in places] == [has_pattern(line) for line in lines]
    assert all(place in (UNKNOWN, NO_SHAPE) for place in places)
    known = [(shape(line), key) for line, key, place in zip(lines, hashes, places, strict=True) if place == UNKNOWN]
    assert len({each for each, _ in known}) == len({key for _, key in known}) == len(set(known))


@given(LINES.filter(has_pattern), st.lists(st.binary(max_size=6), max_size=20))
def test_it_says_which_variable_words_differ(line: bytes, others: list[bytes]) -> None:
    table = Table()
    place = table.put(table.find([line])[1][0])
    found = split(line)
    variable = [at for at, differs in enumerate(found.variable) if differs]
    replaced = iter(others)
    words = list(found.words)
    for at in variable:
        words[at] = words[at] + b"0" * len(next(replaced, b""))
    other = join(tuple(words), found.gaps)
    if len(other) > MAX_LINE:
        return
    places, _, changed = table.find([line, line, other])
    assert places == [place] * 3
    expected = [nth for nth, at in enumerate(variable[:MAX_VARIABLE]) if words[at] != found.words[at]]
    assert [nth for nth in range(MAX_VARIABLE) if int(table.differ[place]) >> nth & 1] == expected
    assert changed == ([place] if expected else [])


def test_streams_levels_and_tenants_have_shapes_of_their_own() -> None:
    table = Table()
    found = [
        table.find([b"one two three four"], stream=stream, level=level, seed=seed)[1][0]
        for stream in range(3)
        for level in range(3)
        for seed in (1, 2)
    ]
    assert len(set(found)) == len(found)


def test_what_is_older_than_its_stream_is_late_by_tens_of_seconds() -> None:
    lines = [b"one two three four"] * 5
    places, _, _ = Table().find(lines, ts=[25 * SECOND, 20 * SECOND, 19 * SECOND, 30 * SECOND, 29 * SECOND])
    assert places == [UNKNOWN, UNKNOWN, LATE, UNKNOWN, LATE]


def test_times_before_1970_have_no_pattern() -> None:
    assert Table().find([b"one two three four"], ts=[-1])[0] == [NO_SHAPE]


def test_a_full_stretch_of_the_table_ends_the_search() -> None:
    table = Table()
    table.keys[:] = 2  # no shape has an even hash
    assert table.find([b"one two three four"])[0] == [UNKNOWN]
