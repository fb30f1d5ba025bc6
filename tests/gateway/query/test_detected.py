"""detected_labels, detected_fields and values: what the recorded answers do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.query.errors import QueryTimeout
from gateway.query.pool import Ticket
from tests.gateway.world import World

T0 = 1_795_168_800 * 10**9
RANGE = {"start": str(T0), "end": str(T0 + 3600 * 10**9)}
FIELDS = "/loki/api/v1/detected_fields"
VALUES = "/loki/api/v1/detected_field/{}/values"
LABELS = "/loki/api/v1/detected_labels"


def fill(world: World) -> None:
    world.store.add(
        {"app": "web", "n": "17"},
        (T0, b'{"a":{"b":"<1>"},"q\\"":"1 KB"}', {"trace": b"t1"}),
        (T0 + 1, b"took=1ms"),
        (T0 + 2, b"took=2ms \xff=1"),
    )


def test_the_bytes_of_the_answers(world: World) -> None:
    fill(world)
    answer = world.get(FIELDS, query='{app="web"}', **RANGE)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.content == (
        b'{"fields":[{"label":"a_b","type":"string","cardinality":1,"parsers":["json"],"jsonPath":["a","b"]},'
        b'{"label":"q_","type":"bytes","cardinality":1,"parsers":["json"],"jsonPath":["q\\""]},'
        b'{"label":"took","type":"duration","cardinality":2,"parsers":["logfmt"]},'
        b'{"label":"trace","type":"string","cardinality":1,"parsers":null}],"limit":1000}\n'
    )
    answer = world.get(VALUES.format("q_"), query='{app="web"}', limit=7, **RANGE)
    assert answer.content == b'{"values":["1.0kB"],"limit":7}\n'
    answer = world.get(LABELS, query='{app="web"}', **RANGE)
    assert answer.content == b'{"detectedLabels":[{"label":"app","cardinality":1}]}\n'


@pytest.mark.parametrize("path", [FIELDS, VALUES.format("none"), LABELS])
def test_nothing_is_an_empty_object(world: World, path: str) -> None:
    fill(world)
    assert world.get(path, query='{app="no"}', **RANGE).content == b"{}\n"


def test_the_newest_lines_up_to_the_line_limit_are_looked_at(world: World) -> None:
    fill(world)
    asked = {"query": '{app="web"}', **RANGE}
    assert world.get(VALUES.format("took"), line_limit=1, **asked).json()["values"] == ["2ms"]
    assert [each["label"] for each in world.get(FIELDS, line_limit=2, **asked).json()["fields"]] == ["took"]
    world.store.add({"app": "web"}, *((T0 + 10 + n, b"n=%d" % n) for n in range(150)))
    assert len(world.get(VALUES.format("n"), **asked).json()["values"]) == 100


def test_limit_goes_before_field_limit(world: World) -> None:
    fill(world)
    asked = {"query": '{app="web"}', **RANGE}
    both = world.get(FIELDS, limit=1, field_limit=2, **asked).json()
    assert (len(both["fields"]), both["limit"]) == (1, 1)
    assert world.get(FIELDS, field_limit=2, **asked).json()["limit"] == 2


@pytest.mark.parametrize(
    ("limits", "params", "text"),
    [
        ({}, {"line_limit": "5001"}, "max entries limit per query exceeded"),
        ({"max_query_length": "10m"}, {}, "the query time range exceeds the limit"),
        ({"required_labels": ["env"]}, {}, "stream selector is missing required matchers"),
        ({"max_query_bytes_read": "1B"}, {}, "the query would read too many bytes"),
        ({}, {"step": "1ms"}, "exceeded maximum resolution of 11,000 points per time series"),
        ({}, {"step": "-1"}, "zero or negative query resolution step"),
        ({}, {"line_limit": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({}, {"field_limit": "0"}, "limit must be a positive value"),
        ({}, {"limit": "0", "field_limit": "1"}, "limit must be a positive value"),
    ],
)
@pytest.mark.parametrize("path", [FIELDS, VALUES.format("took")])
def test_limits_of_queries_hold(
    make_world: Callable[..., World], path: str, limits: dict[str, Any], params: dict[str, str], text: str
) -> None:
    world = make_world(limits=limits)
    fill(world)
    answer = world.get(path, query='{app="web"}', **RANGE, **params)
    assert (answer.status_code, answer.text[: len(text)]) == (400, text)


def test_what_is_held_has_a_limit(make_world: Callable[..., World]) -> None:
    world = make_world(query={"max_memory": "100KB"})
    world.store.add({"app": "web"}, (T0, b" ".join(b"k%d=%d" % (n, n) for n in range(500))))
    answer = world.get(FIELDS, query='{app="web"}', **RANGE)
    assert answer.status_code == 400
    assert answer.text.startswith("the query needs more memory than a query may use")


@pytest.mark.parametrize("path", [FIELDS, VALUES.format("took")])
def test_they_end_with_the_time_of_the_query(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    fill(world)
    checks, last = 0, 0

    def check(_ticket: Ticket) -> None:
        nonlocal checks
        checks += 1
        if checks == last:
            raise QueryTimeout

    monkeypatch.setattr(Ticket, "check", check)
    assert world.get(path, query='{app="web"}', **RANGE).status_code == 200
    # The last look is at the last of the lines.
    checks, last = 0, checks
    assert world.get(path, query='{app="web"}', **RANGE).status_code == 504


def test_labels_are_asked_of_the_index_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    asked = []
    names, values = world.store.label_names, world.store.label_values

    def label_names(*args: Any) -> list[str]:
        asked.append("names")
        return names(*args)

    def label_values(*args: Any) -> list[str]:
        asked.append(args[1])
        return values(*args)

    monkeypatch.setattr(world.store, "label_names", label_names)
    monkeypatch.setattr(world.store, "label_values", label_values)
    assert world.get(LABELS, **RANGE).status_code == 200
    assert asked == ["names", "app", "n"]


def test_labels_without_times_are_those_of_all_streams_in_sight(make_world: Callable[..., World]) -> None:
    everything = make_world()
    everything.store.add({"app": "old"}, (1, b"x"))
    assert everything.get(LABELS).json() == {"detectedLabels": [{"label": "app", "cardinality": 1}]}
    assert everything.get(LABELS, since="1h").json() == {}
    short = make_world(limits={"max_query_lookback": "1d"})
    short.store.add({"app": "old"}, (1, b"x"))
    assert short.get(LABELS).json() == {}


def test_several_tenants_are_read_as_one(make_world: Callable[..., World]) -> None:
    world = make_world(tenancy={"enabled": True})
    for tenant, line in (("a", b"n=1"), ("b", b"n=2")):
        world.store.add({"app": "web"}, (T0, line))
        world.store.batches[-1] = (tenant, world.store.batches[-1][1])

    def ask(path: str) -> Any:
        params = {"query": '{app="web"}', **RANGE}
        return world.ask("GET", path, params=params, headers={"X-Scope-OrgID": "a|b"}).json()

    assert ask(VALUES.format("n"))["values"] == ["1", "2"]
    assert ask(LABELS)["detectedLabels"] == [
        {"label": "__tenant_id__", "cardinality": 2},
        {"label": "app", "cardinality": 1},
    ]
