"""Parameters: the recorded cases, and the rules between them."""

import json
from pathlib import Path

import pytest

from gateway.query import params
from gateway.query.errors import BadParameter
from logql.source import Direction

NOW = 1_795_345_200 * 10**9
HOUR = 3600 * 10**9
RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "range_params.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", RECORDED, ids=[case["id"] for case in RECORDED])
def test_range_parameters_are_taken_or_refused_as_recorded(case: dict[str, str | None]) -> None:
    form = params.parse_form(str(case["url"]).encode(), str(case["body"]).encode())
    if case["error"] is None:
        asked = params.range_parameters(form, NOW)
        assert asked.start <= asked.end
        return
    with pytest.raises(BadParameter) as caught:
        params.range_parameters(form, NOW)
    assert str(caught.value) == case["error"]


def test_the_body_comes_before_the_url() -> None:
    form = params.parse_form(b"query=url&limit=3", b"query=body&empty=")
    assert form == {"query": ["body", "url"], "empty": [""], "limit": ["3"]}
    assert params.first(form, "query") == "body"


def test_escapes_are_undone() -> None:
    form = params.parse_form(b"q=%7Bapp%3D%22a+b%22%7D&m%5B%5D=%C3%A9&bare")
    assert form == {"q": ['{app="a b"}'], "m[]": ["é"], "bare": [""]}


@pytest.mark.parametrize(("query", "shown"), [("a=%zz", "%zz"), ("a=%1", "%1"), ("%=1", "%"), ("a=%", "%")])
def test_a_broken_escape_is_refused(query: str, shown: str) -> None:
    with pytest.raises(BadParameter) as caught:
        params.parse_form(query.encode())
    assert str(caught.value) == f'invalid URL escape "{shown}"'


def test_a_semicolon_is_refused() -> None:
    with pytest.raises(BadParameter, match="invalid semicolon separator in query"):
        params.parse_form(b"a=1;b=2")


def test_bytes_that_are_not_utf8_do_not_break_a_form() -> None:
    assert params.first(params.parse_form(b"q=%ff%fea"), "q").endswith("a")


def test_without_times_the_last_hour_is_meant() -> None:
    assert params.bounds({}, NOW) == (NOW - HOUR, NOW)


def test_since_counts_from_the_end_but_not_from_the_future() -> None:
    assert params.bounds({"since": ["2h"], "end": ["1795168800"]}, NOW) == (
        1_795_161_600 * 10**9,
        1_795_168_800 * 10**9,
    )
    future = (NOW + HOUR) // 10**9
    assert params.bounds({"end": [str(future)]}, NOW) == (NOW - HOUR, NOW + HOUR)


def test_an_explicit_start_beats_since() -> None:
    assert params.bounds({"since": ["1m"], "start": ["1795168800"]}, NOW)[0] == 1_795_168_800 * 10**9


def test_the_default_step_is_a_250th_of_the_range_in_whole_seconds() -> None:
    assert params.step_of({}, 0, HOUR) == 14 * 10**9
    assert params.step_of({}, 0, 10 * 10**9) == 10**9


def test_a_negative_interval_is_refused() -> None:
    with pytest.raises(BadParameter, match="interval must be >= 0"):
        params.interval_of({"interval": ["-1"]})


def test_exactly_11000_points_are_allowed() -> None:
    form = {"start": ["0"], "end": ["11000"], "step": ["1"]}
    assert params.range_parameters(form, NOW).step == 10**9
    with pytest.raises(BadParameter, match="11,000 points"):
        params.range_parameters({**form, "end": ["11001"]}, NOW)


def test_direction_is_taken_in_any_case() -> None:
    assert params.direction_of({"direction": ["FoRwArD"]}) is Direction.FORWARD
    assert params.direction_of({}) is Direction.BACKWARD


def test_a_limit_may_have_a_second_name() -> None:
    assert params.limit_of({"field_limit": ["7"]}, "limit", "field_limit", default=1000) == 7
    assert params.limit_of({"limit": ["3"], "field_limit": ["7"]}, "limit", "field_limit", default=1000) == 3
    assert params.limit_of({}, "limit", "field_limit", default=1000) == 1000
