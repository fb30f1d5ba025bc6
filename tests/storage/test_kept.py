from __future__ import annotations

from storage.kept import Kept


def test_the_longest_unused_goes_first() -> None:
    kept: Kept[str, str] = Kept(2, 100)
    kept.put("a", "A", 1)
    kept.put("b", "B", 1)
    assert kept.get("a") == "A"
    kept.put("c", "C", 1)
    assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


def test_bytes_are_bounded_but_for_the_last() -> None:
    kept: Kept[str, str] = Kept(10, 100)
    for key in "abc":
        kept.put(key, key.upper(), 40)
    assert [kept.get(key) for key in "abc"] == [None, "B", "C"]
    kept.put("d", "D", 1000)
    assert [kept.get(key) for key in "bcd"] == [None, None, "D"]


def test_what_is_there_is_not_counted_twice_and_what_is_dropped_not_at_all() -> None:
    kept: Kept[str, list[int]] = Kept(10, 100)
    first: list[int] = []
    assert kept.put("a", first, 60) is first
    assert kept.put("a", [], 60) is first
    kept.put("b", [], 40)
    assert len(kept) == 2
    kept.pop("a")
    kept.pop("a")
    kept.put("c", [], 60)
    assert len(kept) == 2
    assert kept.get("a") is None
