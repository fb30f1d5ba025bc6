from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import RetentionOptions, Store, StreamRule, TenantRules
from storage.batch import Labels
from storage.retention import FOREVER, TENANT, Retention, accepts, rules_of_streams
from storage.streams import StreamTable
from tests.storage.entries import ALWAYS, DAY, HOUR, NOON, Entry, Matcher, entry, label_sets, quiet, read, stored
from tests.storage.keeping import Clock, keeping, opened, rule

SECOND = 1_000_000_000


def names(store: Store, start: int = ALWAYS[0], end: int = ALWAYS[1], tenant: str = "t") -> list[str]:
    values = store.label_values(tenant, "app", [], start, end)
    assert sorted(dict(labels)["app"] for labels in store.series(tenant, [], start, end)) == values
    assert store.label_names(tenant, [], start, end) == (["app"] if values else [])
    return values


def lines(store: Store, tenant: str = "t", matchers: Sequence[Matcher] = ()) -> list[bytes]:
    """What a query sees; statistics have to agree."""
    found = read(store, tenant, matchers)
    stats = store.index_stats(tenant, matchers, *ALWAYS)
    assert stats.entries == len(found)
    assert stats.streams == len({labels for labels, *_ in found})
    return [line for _, _, line, _ in found]


# -- which rule holds


def test_the_greatest_priority_counts_then_the_shortest_period_then_the_tenants() -> None:
    rules = TenantRules(
        30 * DAY,
        (
            rule("app=~a.*", 5 * DAY, 1),
            rule("app=ab", 9 * DAY, 2),
            rule("app=~ab?", 7 * DAY, 2),
            rule("env!=prod", 0, 3),
            rule("app=c", 0, 5),
            rule("app=c", DAY, 5),
        ),
    )
    table = StreamTable()
    for app, env in (("a", "prod"), ("ab", "prod"), ("ax", "prod"), ("z", "prod"), ("a", "dev"), ("c", "prod")):
        table.intern((("app", app), ("env", env)))
    periods = Retention(RetentionOptions(rules)).periods("t", table)
    assert periods is not None
    assert (periods // DAY).tolist() == [7, 7, 5, 30, 0, 1]


def test_a_tenant_with_rules_has_only_those() -> None:
    retention = Retention(
        keeping(rule("app=a", DAY), period=2 * DAY, own=TenantRules(3 * DAY), kept=TenantRules(0)), lambda: NOON
    )
    table = StreamTable()
    table.intern((("app", "a"),))
    floors = [retention.floor(tenant, table) for tenant in ("t", "own", "kept")]
    assert [None if floor is None else floor.tolist() for floor in floors] == [[NOON - DAY], [NOON - 3 * DAY], None]


def test_streams_that_come_later_have_a_floor_too() -> None:
    retention, table = Retention(keeping(rule("app=~x1.*", DAY), period=2 * DAY), lambda: NOON), StreamTable()
    for count in (1, 3, 200, 201):
        while len(table) < count:
            table.intern((("app", f"x{len(table)}"),))
        floor = retention.floor("t", table)
        assert floor is not None
        expected = [NOON - (DAY if f"x{number}".startswith("x1") else 2 * DAY) for number in range(count)]
        assert floor.tolist() == expected


def test_what_is_kept_for_ever_has_the_lowest_floor() -> None:
    table = StreamTable()
    table.intern((("app", "a"),))
    floor = Retention(keeping(rule("app=a", 0), period=DAY), lambda: NOON).floor("t", table)
    assert floor is not None
    assert floor.tolist() == [FOREVER]


matchers = st.tuples(
    st.sampled_from(["app", "env", "host"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["a", "b", "", "a|b", ".*", ".+", "[ab]", "näh"]),
).map(lambda found: Matcher(*found))


@given(st.lists(label_sets, max_size=8), st.lists(st.lists(matchers, min_size=1, max_size=3), max_size=4))
def test_a_stream_by_itself_and_the_table_agree(label_lists: list[Labels], asked: list[list[Matcher]]) -> None:
    table = StreamTable()
    for labels in label_lists:
        table.intern(labels)
    rules = TenantRules(0, tuple(StreamRule(tuple(each), HOUR, -at) for at, each in enumerate(asked)))
    chosen = np.full(len(table), TENANT)
    for at, each in reversed(list(enumerate(asked))):
        chosen[table.select(each)] = at
        assert table.select(each).tolist() == [n for n in range(len(table)) if accepts(each, table[n])]
    assert rules_of_streams(rules, table, 0, len(table)).tolist() == chosen.tolist()


# -- what is seen


@pytest.mark.parametrize("where", ["memory", "blocks", "both", "replayed"])
def test_what_expired_is_out_of_sight_at_once_wherever_it_is(tmp_path: Path, where: str) -> None:
    clock = Clock()
    options = keeping(rule("app=short", HOUR, 1), rule("app=kept", 0, 1), period=DAY)
    store = opened(tmp_path, options, clock)

    def settle() -> None:
        nonlocal store
        if where in ("blocks", "both"):
            store.flush()
        if where == "replayed":
            store.close()
            store = opened(tmp_path, options, clock)

    try:
        old = [entry(app, NOON - 30 * 60 * SECOND, f"{app} old") for app in ("short", "long", "kept")]
        new = [entry(app, NOON - 60 * SECOND, f"{app} new") for app in ("short", "long", "kept")]
        stored(store, old)
        settle()
        stored(store, new)
        if where != "both":
            settle()
        assert len(lines(store)) == 6
        clock.now = NOON + 30 * 60 * SECOND + 1
        assert sorted(lines(store)) == [b"kept new", b"kept old", b"long new", b"long old", b"short new"]
        assert names(store) == ["kept", "long", "short"]
        clock.now = NOON + HOUR
        assert sorted(lines(store)) == [b"kept new", b"kept old", b"long new", b"long old"]
        assert names(store) == ["kept", "long"]
        assert lines(store, matchers=[Matcher("app", "=", "short")]) == []
        clock.now = NOON + 300 * DAY
        assert sorted(lines(store)) == [b"kept new", b"kept old"]
        assert names(store) == ["kept"]
        assert names(store, NOON - DAY // 2, NOON + DAY // 2) == ["kept"]
        clock.now = NOON  # the clock was wrong: nothing is lost
        assert len(lines(store)) == 6
        assert names(store) == ["kept", "long", "short"]
    finally:
        store.close()


@pytest.mark.parametrize("flushed", [False, True])
def test_an_entry_as_old_as_its_period_is_still_there(tmp_path: Path, flushed: bool) -> None:
    clock = Clock()
    store = opened(tmp_path, keeping(period=HOUR), clock)
    try:
        stored(store, [entry("a", NOON + at, f"{at}") for at in (-1, 0, 1)])
        if flushed:
            store.flush()
        clock.now = NOON + HOUR
        assert lines(store) == [b"0", b"1"]
        clock.now += 1
        assert lines(store) == [b"1"]
        clock.now += 1
        assert lines(store) == []
    finally:
        store.close()


def test_what_has_expired_when_it_comes_is_stored_and_not_seen(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, keeping(period=HOUR), clock)
    try:
        stored(store, [entry("a", NOON - 2 * HOUR, "late"), entry("a", NOON, "now")])
        assert lines(store) == [b"now"]
        store.flush()
        assert lines(store) == [b"now"]
    finally:
        store.close()


def test_a_query_from_after_all_cutoffs_sees_the_same_as_any(tmp_path: Path) -> None:
    clock = Clock(NOON + HOUR)
    store = opened(tmp_path, keeping(rule("app=b", 0, 1), period=HOUR), clock)
    try:
        entries = [entry(app, NOON + at * 60 * SECOND, f"{app}{at}") for app in ("a", "b") for at in (-10, 0, 10)]
        stored(store, entries)
        store.flush()
        for start in (NOON - HOUR, NOON, NOON + 1, NOON + 60 * SECOND):
            expected = [row for row in entries if row[1] >= max(start, NOON if row[0][0][1] == "a" else 0)]
            assert sorted(read(store, start=start)) == sorted(expected)
    finally:
        store.close()


def test_a_row_group_of_which_something_expires_is_known_by_nothing(tmp_path: Path) -> None:
    """Results over a row group are kept under its identity: it must not stay while its entries become fewer."""
    clock = Clock()
    store = opened(tmp_path, keeping(rule("app=b", 0, 1), period=HOUR), clock)

    def identities(matchers: Sequence[Matcher] = ()) -> list[object]:
        return [unit.identity() for unit in store.scan("t", matchers, *ALWAYS, "forward")]

    only_b = [Matcher("app", "=", "b")]
    try:
        stored(store, [entry(app, NOON + at, "x") for app in ("a", "b") for at in (0, 60 * SECOND)])
        store.flush()
        (before,), (before_b,) = identities(), identities(only_b)
        assert before is not None
        assert before == before_b
        clock.now = NOON + HOUR + 1
        assert identities() == [None]
        assert identities(only_b) == [before_b]
        clock.now = NOON + 2 * HOUR
        (after,) = identities()
        assert after is not None
        assert after != before
        assert identities(only_b) == [before_b]
    finally:
        store.close()


times_and_apps = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(-5, 5).map(lambda hours: NOON + hours * HOUR // 2)), max_size=20
)


@given(times_and_apps, times_and_apps, st.lists(st.integers(-3, 60), min_size=1, max_size=6))
def test_a_store_shows_what_a_list_would(
    tmp_path_factory: pytest.TempPathFactory, first: list[tuple[str, int]], second: list[tuple[str, int]], at: list[int]
) -> None:
    clock = Clock()
    periods = {"a": HOUR, "b": 3 * HOUR, "c": 0}
    store = opened(
        tmp_path_factory.mktemp("s"),
        keeping(rule("app=a", HOUR, 1), rule("app=c", 0, 1), period=3 * HOUR),
        clock,
        quiet(row_group_rows=4),
    )
    try:
        every: list[Entry] = []
        for part, found in enumerate((first, second)):
            entries = [entry(app, ts, f"{part} {number}") for number, (app, ts) in enumerate(found)]
            stored(store, entries)
            every += entries
            if not part:
                store.flush()
        for hours in at:
            clock.now = NOON + hours * HOUR // 2
            alive = [row for row in every if not (period := periods[row[0][0][1]]) or row[1] >= clock.now - period]
            assert sorted(lines(store)) == sorted(line for _, _, line, _ in alive)
            assert names(store) == sorted({row[0][0][1] for row in alive})
    finally:
        store.close()
