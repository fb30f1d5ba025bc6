from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import LimitError
from logql.budget import SAMPLE, SERIES, Budget
from logql.columns.labels import LabelSets
from logql.sample_columns import SampleCollector
from storage.batch import I32, I64, Labels
from tests.logql.watched_budget import WatchedBudget


@dataclass(frozen=True)
class One:
    """A sample: the number of its label set, the rest as `SampleCollector.add` takes it."""

    series: int
    ts: int
    stream: int


def labels_of(number: int) -> Labels:
    return (("n", f"{9 - number}"),)


def label_sets(budget: Budget) -> LabelSets:
    return LabelSets(lambda _row: (), budget)


def add(collector: SampleCollector, sets: LabelSets, samples: list[One], arrival: int, values: list[float]) -> None:
    numbers = [sets.number(labels_of(one.series)) for one in samples]
    collector.add(
        np.array(numbers, np.int32),
        np.array([one.ts for one in samples], np.int64),
        np.array([one.stream for one in samples], np.uint64),
        arrival,
        np.array(values, np.float64),
    )


units_of_samples = st.lists(
    st.lists(
        st.builds(
            One,
            st.integers(0, 3),
            st.one_of(st.integers(-2, 5), st.integers(-(1 << 62), 1 << 62)),
            st.sampled_from([0, 1, 7, (1 << 64) - 1]),
        ),
        max_size=30,
    ),
    max_size=6,
)


@given(units_of_samples, st.randoms(use_true_random=False), st.data())
def test_samples_stand_by_labels_time_stream_and_arrival(
    units: list[list[One]], rng: random.Random, data: st.DataObject
) -> None:
    # The value says where a sample came.
    numbered = [
        (one, arrival, float(arrival * 1000 + place))
        for arrival, unit in enumerate(units)
        for place, one in enumerate(unit)
    ]
    wanted: dict[Labels, list[tuple[int, float]]] = {}
    for one, _, value in sorted(
        numbered, key=lambda each: (labels_of(each[0].series), each[0].ts, each[0].stream, each[2])
    ):
        wanted.setdefault(labels_of(one.series), []).append((one.ts, value))
    collector, sets = SampleCollector(Budget()), label_sets(Budget())
    arrivals = list(range(len(units)))
    rng.shuffle(arrivals)
    for arrival in arrivals:
        unit = units[arrival]
        values = [float(arrival * 1000 + place) for place in range(len(unit))]
        cut = data.draw(st.integers(0, len(unit)))
        add(collector, sets, unit[:cut], arrival, values[:cut])
        add(collector, sets, unit[cut:], arrival, values[cut:])
    found = collector.in_order(sets.all())
    assert {
        labels: list(zip(one.ts.tolist(), one.values.tolist(), strict=True)) for labels, one in found.series().items()
    } == wanted
    assert list(found.labels) == sorted(wanted)


def test_series_may_be_numbered_by_someone_else_and_some_have_no_samples() -> None:
    collector = SampleCollector(Budget())
    collector.add(np.array([2, 0], np.int32), np.array([5, 6]), np.array([1, 1], np.uint64), 0, np.array([0.5, 1.5]))
    found = collector.in_order([labels_of(0), labels_of(1), labels_of(2)])
    assert found.labels == [labels_of(2), labels_of(0)]
    assert (found.bounds.tolist(), found.ts.tolist(), found.values.tolist()) == ([0, 1, 2], [5, 6], [0.5, 1.5])
    assert not SampleCollector(Budget()).in_order([]).labels


def test_a_series_is_counted_once_with_its_texts_and_a_sample_with_its_columns() -> None:
    budget = Budget()
    collector, sets = SampleCollector(budget), label_sets(budget)
    add(collector, sets, [One(1, 5, 1), One(1, 6, 1)], 0, [1.0, 2.0])
    add(collector, sets, [One(1, 7, 1)], 1, [1.0])
    assert budget.used == SERIES + 2 + 3 * SAMPLE
    collector.in_order(sets.all())
    assert budget.used == SERIES + 2 + 3 * SAMPLE


def test_samples_that_do_not_fit_are_refused_before_they_are_kept() -> None:
    budget = Budget(1000 * SAMPLE)
    collector = SampleCollector(budget)
    collector.add(*rows(999), 0, np.ones(999))
    with pytest.raises(LimitError, match=r"used: 32032 bytes, allowed: 32000 bytes"):
        collector.add(*rows(2), 1, np.ones(2))
    with pytest.raises(LimitError, match="needs more memory"):
        collector.in_order([()])  # there must be room to put them in order, too


def rows(count: int) -> tuple[I32, I64, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    return np.zeros(count, np.int32), np.arange(count), np.zeros(count, np.uint64)


def test_many_threads_may_add() -> None:
    collector, sets = SampleCollector(Budget()), label_sets(Budget())
    with ThreadPoolExecutor(4) as pool:
        for arrival in range(200):
            pool.submit(add, collector, sets, [One(arrival % 4, 0, 0)], arrival, [float(arrival)])
    found = collector.in_order(sets.all()).series()
    assert {labels: one.values.tolist() for labels, one in found.items()} == {
        labels_of(number): [float(arrival) for arrival in range(number, 200, 4)] for number in range(4)
    }


@pytest.mark.parametrize("series", [1, 1000])
@pytest.mark.parametrize("time_of", [lambda n: n, lambda n: -n], ids=["in order", "backwards"])
def test_no_more_memory_is_held_than_is_counted(series: int, time_of: Callable[[I64], I64]) -> None:
    budget = WatchedBudget()
    collector = SampleCollector(budget)
    unit = np.arange(20_000)
    tracemalloc.start()
    try:
        for number in range(25):
            ts = time_of(unit + number * len(unit))
            collector.add(
                (unit % series).astype(np.int32), ts, np.zeros(len(unit), np.uint64), number, np.ones(len(unit))
            )
        found = collector.in_order([(("n", f"{number:04}"),) for number in range(series)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.ts) == 25 * len(unit)
    assert 25 * len(unit) * 16 < peak < budget.most + 1_000_000
