from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import streams as streams_module
from storage.batch import Labels
from storage.errors import CorruptCatalog
from storage.labels import labels_id, labels_text
from storage.streams import StreamTable
from tests.storage.entries import ALWAYS, DAY, NOON, Matcher, label_sets

MS = 1_000_000
matchers = st.builds(
    Matcher,
    st.sampled_from(["app", "env", "host", "none"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "a", "b", "a|b", ".*", ".+", "[^a]", "(?i)A", "x.y", "|c", "a?", "^a$", "n.h"]),
)


def accepts(labels: Labels, matcher: Matcher) -> bool:
    """The oracle: one stream, one matcher, Python's re."""
    value = dict(labels).get(matcher.name, "")
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    found = re.fullmatch(f"(?s:{matcher.value})", value) if "(?i)" not in matcher.value else value.upper() == "A"
    return bool(found) == (matcher.op == "=~")


@pytest.mark.parametrize("few", [0, 1, 64])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.lists(label_sets, unique=True, max_size=12), wanted=st.lists(matchers, max_size=3))
def test_select_finds_what_a_loop_over_all_streams_finds(
    monkeypatch: pytest.MonkeyPatch, few: int, sets: list[Labels], wanted: list[Matcher]
) -> None:
    monkeypatch.setattr(streams_module, "_FEW_VALUES", few)
    table = StreamTable()
    for labels in sets:
        table.intern(labels)
    expected = [number for number, labels in enumerate(sets) if all(accepts(labels, matcher) for matcher in wanted)]
    assert table.select(wanted).tolist() == expected


def test_a_regex_that_does_not_compile_is_told() -> None:
    with pytest.raises(re2.error):
        StreamTable().select([Matcher("app", "=~", "(")])


@given(st.lists(label_sets, max_size=30))
def test_equal_label_sets_have_one_number_and_its_labels_back(sets: list[Labels]) -> None:
    table = StreamTable()
    numbers = [table.intern(labels) for labels in sets]
    distinct = list(dict.fromkeys(sets))
    assert [table[number] for number in numbers] == sets
    assert len(table) == len(distinct)
    assert table.ids.tolist() == [labels_id(labels) for labels in distinct]
    assert table.numbers(table.ids).tolist() == list(range(len(distinct)))
    some = np.array(numbers[::-1], np.int32)
    assert table.label_sets(some) == sets[::-1]
    assert table.texts(some) == [labels_text(labels) for labels in sets[::-1]]


def test_numbers_that_are_not_there_raise() -> None:
    table = StreamTable()
    table.intern((("a", "b"),))
    for number in (1, -1):
        with pytest.raises(IndexError):
            table[number]
    with pytest.raises(KeyError):
        table.numbers(np.array([1], np.uint64))


def test_more_streams_than_are_cached_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "_CACHE", 8)
    table = StreamTable()
    sets = [(("n", str(number)),) for number in range(100)]
    assert [table.intern(labels) for labels in sets] == list(range(100))
    assert [table.intern(labels) for labels in sets] == list(range(100))


# -- ids that collide

A: Labels = (("app", "a"),)
B: Labels = (("app", "b"),)
C: Labels = (("app", "c"),)


@pytest.fixture
def all_ids_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "labels_id", lambda _: 7)


def id_of(table: StreamTable, labels: Labels) -> int:
    number = table.intern(labels)
    return int(table.ids[number])


@pytest.mark.usefixtures("all_ids_collide")
def test_label_sets_with_one_hash_get_ids_of_their_own() -> None:
    table = StreamTable()
    assert [table.intern(labels) for labels in (A, B, C, B, A)] == [0, 1, 2, 1, 0]
    assert len(set(table.ids.tolist())) == 3
    assert table.ids[0] == 7


@pytest.mark.usefixtures("all_ids_collide")
@pytest.mark.parametrize("order", [(A, B, C), (C, B, A), (B, A, C)])
def test_salted_ids_on_disk_hold_whatever_is_loaded_first(order: tuple[Labels, ...]) -> None:
    first = StreamTable()
    ids = {labels: id_of(first, labels) for labels in (A, B, C)}
    again = StreamTable()
    for labels in order:
        again.restore(labels, ids[labels])
        assert again.intern(labels) == again.restore(labels, ids[labels])
    assert {labels: id_of(again, labels) for labels in (A, B, C)} == ids
    assert len(again) == 3


@pytest.mark.usefixtures("all_ids_collide")
def test_a_salted_stream_is_known_even_if_its_rival_is_not() -> None:
    first = StreamTable()
    first.intern(A)
    salted = id_of(first, B)
    again = StreamTable()
    number = again.restore(B, salted)
    assert again.intern(B) == number
    assert id_of(again, A) == 7


def test_one_id_for_two_label_sets_is_a_damaged_catalog() -> None:
    table = StreamTable()
    table.restore(A, 7)
    with pytest.raises(CorruptCatalog):
        table.restore(B, 7)


# -- names, values, times


@given(st.lists(label_sets, unique=True, min_size=1, max_size=10), st.data())
def test_names_and_values_are_those_of_the_streams_asked_for(sets: list[Labels], data: st.DataObject) -> None:
    table = StreamTable()
    for labels in sets:
        table.intern(labels)
    chosen = data.draw(st.lists(st.integers(0, len(sets) - 1), unique=True))
    for number in chosen:
        table.touch(np.array([number], np.int32), np.array([NOON], np.int64))
    pairs = [pair for number in chosen for pair in sets[number]]
    asked = data.draw(st.sampled_from([ALWAYS, (NOON // DAY * DAY, NOON // DAY * DAY + DAY), (NOON, NOON + 1)]))
    assert table.label_names((), *asked) == sorted({name for name, _ in pairs})
    for name in ("app", "env", "none"):
        assert table.label_values(name, (), *asked) == sorted({value for key, value in pairs if key == name})


writes = st.lists(st.tuples(st.integers(0, 3), st.integers(NOON - 2 * DAY, NOON + 2 * DAY)), min_size=1, max_size=10)


@given(st.lists(writes, max_size=4), st.integers(NOON - 3 * DAY, NOON + 3 * DAY), st.integers(0, 3 * DAY))
def test_active_misses_no_stream_and_errs_by_less_than_its_span_of_a_day(
    batches: list[list[tuple[int, int]]], start: int, length: int
) -> None:
    table = StreamTable()
    for number in range(4):
        table.intern((("n", str(number)),))
    spans: dict[tuple[int, int], list[int]] = {}
    for batch in batches:
        table.touch(np.array([s for s, _ in batch], np.int32), np.array([ts for _, ts in batch], np.int64))
        for stream, ts in batch:
            spans.setdefault((stream, ts // DAY), []).append(ts)
    end = start + length
    found = table.active(start, end).tolist()
    assert found == sorted(set(found))
    must = {stream for (stream, _), times in spans.items() if any(start <= ts < end for ts in times)}
    may = {stream for (stream, _), times in spans.items() if min(times) - MS < end and max(times) + MS > start}
    assert must <= set(found) <= may


def test_active_takes_any_bounds() -> None:
    table = StreamTable()
    table.intern(A)
    table.touch(np.zeros(3, np.int32), np.array([-1, 0, NOON], np.int64))
    assert table.active(*ALWAYS).tolist() == [0]
    assert table.active(-(1 << 70), 1 << 70).tolist() == [0]
    assert table.active(-DAY, 0).tolist() == [0]
    assert table.active(NOON + DAY, NOON + 2 * DAY).tolist() == []
    assert table.active(NOON, NOON).tolist() == []


def test_readers_see_whole_streams_while_one_is_added() -> None:
    table = StreamTable()
    stop = threading.Event()
    faults: list[str] = []

    def look() -> None:
        while not stop.is_set():
            try:
                found = table.select([Matcher("parity", "=", "1")])
                if any(dict(table[number])["parity"] != "1" for number in found.tolist()[-5:]):
                    faults.append("a stream that does not match")
                table.label_values("n", (), *ALWAYS)
                table.label_names([Matcher("parity", "=", "1")], *ALWAYS)
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is the finding
                faults.append(repr(error))
                return

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(3000):
        stream = table.intern((("n", str(number)), ("parity", str(number % 2))))
        table.touch(np.array([stream], np.int32), np.array([NOON], np.int64))
    stop.set()
    for reader in readers:
        reader.join()
    assert not faults


def test_labels_of_whole_days_follow_streams_that_come_and_the_days_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "_DAYS_KEPT", 5)  # bytes: no two days are kept
    table = StreamTable()
    day = NOON // DAY * DAY

    def write(labels: Labels, ts: int) -> None:
        table.touch(np.array([table.intern(labels)], np.int32), np.array([ts], np.int64))

    write(A, NOON)
    assert table.label_values("app", (), day, day + DAY) == ["a"]
    write(B, NOON)
    write((("env", "x"),), NOON + DAY)
    for _ in range(2):
        assert table.label_values("app", (), day, day + DAY) == ["a", "b"]
        assert table.label_names((), day, day + DAY) == ["app"]
        assert table.label_names((), day + DAY, day + 2 * DAY) == ["env"]
        assert table.label_values("app", (), day + DAY, day + 2 * DAY) == []
        assert table.label_names((), day - DAY, day + 2 * DAY) == ["app", "env"]
        assert table.label_names([Matcher("app", "=", "b")], day, day + 2 * DAY) == ["app"]


def test_cardinality_names_those_with_most_values_first() -> None:
    table = StreamTable()
    for number in range(6):
        table.intern((("app", "a"), ("b", f"v{number % 2}"), ("host", f"h{number % 2}"), ("id", f"{number}")))
    assert table.cardinality(3) == [("id", 6), ("b", 2), ("host", 2)]
    assert table.pair_count == 11


# -- size

_FILL = """
import resource, sys
sys.path.insert(0, {root!r})
from storage.streams import StreamTable

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

table = StreamTable()
before = resident()
for n in range(100_000):
    table.intern((
        ("cluster", f"c{{n % 5}}"), ("container", f"container-{{n % 40}}"), ("env", "prod" if n % 3 else "test"),
        ("filename", f"/var/log/pods/{{n}}/0.log"), ("host", f"host-{{n % 500}}"), ("job", f"job-{{n % 90}}"),
        ("namespace", f"team-{{n % 60}}"), ("pod", f"pod-{{n:x}}"), ("region", f"r{{n % 4}}"),
        ("stream", f"s{{n % 2}}"),
    ))
assert len(table) == 100_000
print(resident() - before)
"""


def test_100_000_streams_of_10_labels_take_under_60_mb() -> None:
    root = str(Path(__file__).parents[2])
    # With glibc's threshold as it is, a table that grew may leave megabytes behind in the heap, or none, by chance.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", _FILL.format(root=root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env=environment,
    )
    assert int(done.stdout) < 60_000_000


def test_adding_a_stream_costs_a_few_times_a_dict_of_the_same_sets() -> None:
    sets = [tuple((f"label{k}", f"value-{n % (10 ** (k % 6 + 1))}") for k in range(10)) for n in range(20_000)]
    best = float("inf")
    for _ in range(3):  # the machine may be busy in one of them
        began = time.process_time()
        plain: dict[tuple[str, str], list[int]] = {}
        for number, labels in enumerate(sets):
            for pair in labels:
                plain.setdefault(pair, []).append(number)
        simple = time.process_time() - began
        table = StreamTable()
        began = time.process_time()
        for labels in sets:
            table.intern(labels)
        best = min(best, (time.process_time() - began) / simple)
    assert best < 10
