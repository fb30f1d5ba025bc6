"""What a query reads."""

from __future__ import annotations

import pytest

from logql import parse, selections

MINUTE = 60 * 10**9


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('{a="1", b="2"} |= "x"', [("ab", 0, 0)]),
        ('rate({a="1"}[5m])', [("a", 5 * MINUTE, 0)]),
        ('rate({a="1"}[5m] offset 2m)', [("a", 7 * MINUTE, 2 * MINUTE)]),
        (
            'label_replace(sum(rate({a="1"}[1m])), "x", "", "", "") / topk(1, rate({b="1"}[2m]))',
            [("a", MINUTE, 0), ("b", 2 * MINUTE, 0)],
        ),
        ("vector(1) + 2", []),
    ],
)
def test_selectors_and_how_far_they_reach(query: str, found: list[tuple[str, int, int]]) -> None:
    assert [
        ("".join(matcher.name for matcher in one.matchers), one.before, one.offset) for one in selections(parse(query))
    ] == found
