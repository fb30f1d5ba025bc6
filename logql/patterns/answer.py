"""The answer of `/patterns`: which patterns lines in a time range have, and when.

By the recorded answers: only patterns of 30 lines in the range (Loki's figure), the most frequent first; lines of
several streams count together where pattern and level are the same. A sample that stands exactly at `end` is left out,
but for the last one that there is of its stream and pattern (conformance api_patterns-016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from logql.kernels.line_shapes import BUCKET
from logql.patterns.counts import I64, Samples, join_samples
from logql.patterns.series import PatternSeries
from logql.patterns.words import WILD, join, shape, split

FEWEST = 30
"""Lines of a pattern that is answered."""
MOST = 300
"""Patterns of an answer."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern.

    Attributes:
        text: it.
        level: of its lines.
        samples: (seconds since the epoch at which a step begins, lines), ascending.
    """

    text: str
    level: str
    samples: tuple[tuple[int, int], ...]


def patterns_between(series: PatternSeries, start: int, end: int, step: int) -> list[Pattern]:
    """The patterns with lines in start <= ts < end (ns), in steps (ns) of ten seconds at least, at their multiples."""
    samples = series.samples
    if not len(samples):
        return []
    ts = samples.bucket * BUCKET
    last = np.append(samples.what[1:] != samples.what[:-1], True)
    within = (ts >= start) & ((ts < end) | ((ts == end) & last))
    series = series.take(within)
    numbers, texts = _joined(series)
    step = max(step, BUCKET)
    seconds = series.samples.bucket * BUCKET // step * step // _SECOND
    in_steps = join_samples([Samples(numbers[series.samples.what], seconds, series.samples.count)])
    totals = np.zeros(len(texts), np.int64)
    np.add.at(totals, in_steps.what, in_steps.count)
    order = sorted(range(len(texts)), key=lambda number: (-totals[number], texts[number]))
    bounds = np.searchsorted(in_steps.what, np.arange(len(texts) + 1)).tolist()
    found = []
    for number in order[:MOST]:
        if totals[number] < FEWEST:
            break
        here = slice(bounds[number], bounds[number + 1])
        text, level = texts[number]
        counts = zip(in_steps.bucket[here].tolist(), in_steps.count[here].tolist(), strict=True)
        found.append(Pattern(text, level, tuple(counts)))
    return found


def _joined(series: PatternSeries) -> tuple[I64, list[tuple[str, str]]]:
    """Which series are one pattern: those that differ only in variable words, as those of equal lines do over a flush.

    Returns:
        int64[series], number of the pattern of each; text and level of each pattern.
    """
    numbers: dict[object, int] = {}
    texts: list[tuple[str, str]] = []
    where = np.empty(len(series.names), np.int64)
    for at, name in enumerate(series.names):
        number = numbers.setdefault((name.level, shape(name.text.encode())), len(texts))
        if number == len(texts):
            texts.append((name.text, name.level))
        elif texts[number][0] != name.text:
            texts[number] = (_common(texts[number][0], name.text), name.level)
        where[at] = number
    return where, texts


def _common(one: str, other: str) -> str:
    """The pattern of two of one shape."""
    left, right = split(one.encode()), split(other.encode())
    words = tuple([a if a == b else WILD for a, b in zip(left.words, right.words, strict=True)])
    return join(words, left.gaps).decode()
