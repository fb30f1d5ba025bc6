"""Lines to patterns and counts: what Drain makes of them, what memory it may take, what `|>` finds with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from logql.kernels.line_shapes import BUCKET
from logql.pattern import line_matches, parse_line_pattern
from logql.patterns import learner as learning
from logql.patterns.counts import Counts, Samples, fit, join_samples
from logql.patterns.learner import Learner
from logql.patterns.words import has_pattern, join, split
from storage.batch import Batch, Column, texts

NOW = 1_795_168_800_000_000_000
FIELDS = st.sampled_from([b"a", b"bb", b"c1", b"22", b"<x>", b"<_>", b"x\xffy", "é".encode(), b"a-b", b"::"])
GAPS = st.sampled_from([b" ", b"=", b'="', b'" ', b" [", b"] ", b"\n", b"\\", b"  "])
LINES = st.lists(st.tuples(FIELDS, GAPS), min_size=2, max_size=8).map(lambda pairs: b"".join(map(b"".join, pairs)))


def batch(lines: Sequence[bytes], levels: Sequence[bytes] = (), step: int = 1_000) -> Batch:
    metadata = {"detected_level": Column(np.arange(len(lines), dtype=np.int32), texts(levels))} if levels else {}
    ts = NOW + step * np.arange(len(lines))
    return Batch(((("app", "a"),),), np.zeros(len(lines), np.int32), ts, texts(lines), metadata)


def learned(learner: Learner, lines: Sequence[bytes], weight: float = 1.0) -> learning.Learned:
    return learner.learn("t", batch(lines), np.arange(len(lines)), weight, lambda: True)


def patterns(learner: Learner) -> dict[str, int]:
    """Lines by pattern."""
    found: dict[str, int] = {}
    samples = learner.tenant("t").counts.samples()
    for number, count in zip(samples.what.tolist(), samples.count.tolist(), strict=True):
        text = learner.cluster(number).text
        found[text] = found.get(text, 0) + count
    return found


@given(st.lists(LINES | st.binary(max_size=40), min_size=1, max_size=40))
@example([b"a 1 b 2", b"a 2 b 2", b"a 2 b 3"])
@example([b"x]1]y]z]", b"x]2]y]z]", b"q]2]y]z]"])
def test_the_pattern_of_a_line_finds_it(lines: list[bytes]) -> None:
    learner = Learner(1000)
    for line in lines:
        learned(learner, [line])
    for line in lines:
        before = patterns(learner)
        learned(learner, [line])  # all patterns are as wide as they get: now it only counts
        after = patterns(learner)
        counted = [text for text, count in after.items() if before.get(text) != count]
        assert len(counted) == has_pattern(line)
        for text in counted:
            assert line_matches(parse_line_pattern(text), line), (text, line)


@given(LINES)
def test_words_and_gaps_are_the_line(line: bytes) -> None:
    found = split(line)
    assert join(found.words, found.gaps) == line


def test_words_with_digits_are_shown_until_they_differ() -> None:
    learner = Learner(1000)
    learned(learner, [b"GET /x HTTP/1.1 took 12ms"] * 3)
    assert patterns(learner) == {"GET /x HTTP/1.1 took 12ms": 3}
    learned(learner, [b"GET /x HTTP/1.1 took 7ms"])
    assert patterns(learner) == {"GET /x HTTP/1.1 took <_>": 4}


def test_the_seventeenth_variable_word_is_always_open() -> None:
    learner = Learner(1000)
    learned(learner, [b" ".join([b"1"] * 17)])
    assert patterns(learner) == {" ".join(["1"] * 16 + ["<_>"]): 1}


def test_a_word_with_an_angle_is_never_text() -> None:
    learner = Learner(1000)
    learned(learner, [b"from <bob> to <eve>"])
    assert patterns(learner) == {"from <_> to <_>": 1}


def test_many_words_in_one_place_become_a_wildcard() -> None:
    learner = Learner(1000)
    names = [bytes([97 + at]) * 5 for at in range(20)]
    learned(learner, [b"hello " + name + b" how are you" for name in names])
    found = patterns(learner)
    assert found.pop("hello <_> how are you") == 6
    assert len(found) == 14
    assert set(found.values()) == {1}


def test_levels_are_counted_apart() -> None:
    learner = Learner(1000)
    lines = [b"one two three four"] * 3
    learner.learn("t", batch(lines, [b"info", b"error", b"odd"]), np.arange(3), 1.0, lambda: True)
    clusters = [learner.cluster(number) for number in learner.tenant("t").counts.samples().what.tolist()]
    assert sorted(learning.LEVELS[each.group[2]] for each in clusters) == ["error", "info", "unknown"]


def test_a_line_may_stand_for_others() -> None:
    learner = Learner(1000)
    assert learned(learner, [b"one two three 1", b"one two three 2"], 2.5).counted == 2
    assert patterns(learner) == {"one two three <_>": 5}


def test_without_time_new_shapes_are_given_up_and_known_ones_counted() -> None:
    learner = Learner(1000)
    learned(learner, [b"known shape number 1"])
    lines = [*(b"new shape of " + bytes([97 + at]) for at in range(20)), b"known shape number 2"]
    found = learner.learn("t", batch(lines), np.arange(21), 1.0, lambda: False)
    assert found.given_up == 21 - found.counted
    assert 1 <= found.counted < 21
    assert patterns(learner)["known shape number <_>"] == 2


def test_a_stream_has_three_hundred_clusters_and_what_went_is_still_counted() -> None:
    learner = Learner(100_000)
    lines = [b"(" * (at % 40 + 1) + b" a b c " + b"]" * (at // 40 + 1) for at in range(400)]
    for line in lines:
        learned(learner, [line])
    assert learner.clusters <= learning.MOST_OF_GROUP
    assert learner.evicted == 400 - learner.clusters
    assert patterns(learner) == {line.decode(): 1 for line in lines}


def test_all_streams_together_have_as_many_clusters_as_allowed() -> None:
    learner = Learner(20)
    lines = [b"(" * (at + 1) + b" a b c d" for at in range(90)]
    for line in lines:
        learned(learner, [line])
        assert learner.clusters <= 20
    numbers = max(learner.tenant("t").counts.clear().what.tolist())
    learner.free_retired(())
    for line in lines:
        learned(learner, [line])
    assert max(learner.tenant("t").counts.samples().what.tolist()) <= numbers + 90 - 60


def test_a_full_table_of_shapes_is_emptied_and_clusters_go_on() -> None:
    learner = Learner(1000)
    learned(learner, [b"one two three 1"])
    learner._shapes = learning.FULL  # 20,000 shapes take a second
    learned(learner, [b"another line with four"])
    learned(learner, [b"one two three 2"])
    assert patterns(learner) == {"one two three <_>": 2, "another line with four": 1}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 9)), max_size=200))
def test_samples_join(rows: list[tuple[int, int, int]]) -> None:
    counts, expected = Counts(), dict[tuple[int, int], int]()
    for what, bucket, count in rows:
        counts.add(Samples(*(np.array([value], np.int64) for value in (what, bucket, count))))
        expected[what, bucket] = expected.get((what, bucket), 0) + count
    found = counts.samples()
    triples = zip(found.what.tolist(), found.bucket.tolist(), found.count.tolist(), strict=True)
    assert [((what, bucket), count) for what, bucket, count in triples] == sorted(expected.items())


def test_too_many_samples_are_counted_in_longer_stretches_and_then_the_rarest_go() -> None:
    size, first = 4_000, NOW // BUCKET
    what, bucket = np.repeat(np.arange(4), size), np.tile(first + np.arange(size), 4)
    samples = join_samples([Samples(what, bucket, np.repeat([4, 3, 2, 1], size))])
    assert fit(samples, 16_000) is samples
    minutes = fit(samples, 4_000)
    assert len(minutes) < 4_000
    assert int(minutes.count.sum()) == int(samples.count.sum())
    few = fit(samples, 30)
    assert set(few.what.tolist()) == {0, 1}
    assert int(few.count.sum()) == 7 * size
