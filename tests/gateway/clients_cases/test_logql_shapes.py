"""LogQL as Logs Drilldown and Grafana's query builder write it: runs of blanks, back-ticks, empty groupings."""

from __future__ import annotations

import httpx
import pytest

from tests.gateway.clients_cases.cases import (
    DRILLDOWN,
    INSTANT,
    Check,
    ClientCase,
    data_of,
    lines_of,
    matrix,
    query,
    vector_value,
)


def found(number: int) -> Check:
    """So many lines."""

    def check(answer: httpx.Response) -> None:
        assert len(lines_of(answer)) == number

    return check


def sums(expected: dict[str, float], label: str) -> Check:
    """A matrix with a series for each value of a label, and what the points of each come to together."""

    def check(answer: httpx.Response) -> None:
        assert all(one["metric"].keys() == {label} for one in matrix(answer))
        assert {
            one["metric"][label]: sum(float(value) for _, value in one["values"]) for one in matrix(answer)
        } == expected

    return check


def points(value: str, number: int) -> Check:
    """A matrix of one series without labels: so many points of this value."""

    def check(answer: httpx.Response) -> None:
        [one] = matrix(answer)
        assert one["metric"] == {}
        assert [point for _, point in one["values"]] == [value] * number

    return check


def no_series(answer: httpx.Response) -> None:
    assert matrix(answer) == []


def newest(*expected: str, number: int) -> Check:
    """So many lines, which begin with these."""

    def check(answer: httpx.Response) -> None:
        assert len(lines_of(answer)) == number
        assert lines_of(answer)[: len(expected)] == list(expected)

    return check


def groups(**expected: str) -> Check:
    """A vector with a sample for each value of its one label."""

    def check(answer: httpx.Response) -> None:
        found_ = {next(iter(one["metric"].values())): one["value"][1] for one in data_of(answer)["result"]}
        assert found_ == expected

    return check


LEVELS = sums({"error": 6, "info": 24}, "detected_level")
PB_QUERY = '{app="pb"} | json | logfmt | drop __error__, __error_details__'
BASE_QUERY = '{app="web"}      | json  | logfmt | drop __error__, __error_details__   '
ALL_SLOTS = (
    "{app=`web` ,env != ``}  | detected_level=`info` or detected_level=`warn` | trace_id!=`` "
    "|> `<_>status<_>` or `nothing<_>`  |= `status` |~ `(?i)STATUS`   "
    '| json f="[\\"nested\\"][\\"a\\"]"| json | logfmt | drop __error__, __error_details__ '
    "| status>210   | line_format `{{.f}} {{.trace_id}}` | keep app"
)
"""A query of the logs tab with something in each of its places."""

SHAPES: list[tuple[str, Check]] = [
    ("{service_name=`web` }", found(30)),
    ("{service_name=~`we.+`}", found(30)),
    ('{app=~"(?i).*WEB.*", env != ""}', found(30)),
    ('{app="web"}      | json  | logfmt | drop __error__, __error_details__   ', found(30)),
    ('{app="web"} | json | detected_level="info" or detected_level="warn" | trace_id!="" | status>210', found(16)),
    ('{app="web"} |> "<_>status<_>201<_>" or "<_>202<_>"', found(2)),
    ('{app="web"} !> "<_>status<_>201<_>"', found(29)),
    ('{app="web"} |= "error" |~ "(?i)ERROR" != "nothing" !~ "no.*thing"', found(6)),
    ('{app="web"} | json f="[\\"nested\\"][\\"a\\"]", g="status"| json | f="x1"', found(15)),
    ('{app="web"} | json | line_format "{{.nested_a}}" | keep app', newest("x1", "x0", number=30)),
    ('{app="web"} | json nested="nested" | line_format "{{.nested}}" | json | keep a | a="x0"', found(15)),
    (ALL_SLOTS, newest("x1 t29", "x0 t28", "x1 t27", number=16)),
    ('sum by (detected_level) (count_over_time({ app="web" , env="prod" } [1m]))', LEVELS),
    ('sum(count_over_time({app="web"} [1m])) by (detected_level)', LEVELS),
    ('sum(count_over_time({app="web"} | detected_level != "" [1m])) by (detected_level)', LEVELS),
    ('sum(count_over_time({app="web" ,env != ""}    [1m])) by (env)', sums({"prod": 30}, "env")),
    (
        f'sum by (nested_a) (count_over_time({BASE_QUERY} | nested_a!="" [1m]))',
        sums({"x0": 15, "x1": 15}, "nested_a"),
    ),
    (
        f'avg_over_time({PB_QUERY} | duration!="" | unwrap duration(duration) | __error__="" [1m]) by ()',
        points("1.5", 10),
    ),
    ('avg_over_time({app="pb"} | logfmt | unwrap bytes(bytes) | __error__="" [1m]) by ()', points("2000", 10)),
    ('avg_over_time({app="pb"} | logfmt | unwrap amount | __error__="" [1m]) by ()', points("2.5", 10)),
    ('sum by (level, detected_level) (count_over_time({app="web", __stream_shard__=~"1|2"} [1m]))', no_series),
    (
        'sum by (app) (count_over_time({app="web", __stream_shard__="" } | drop __stream_shard__ [1m]))',
        sums({"web": 30}, "app"),
    ),
]

INSTANTS: list[tuple[str, Check]] = [
    (f"sum(count_over_time({BASE_QUERY}[1800s]))", vector_value("29")),
    (f"sum by (nested_a) (count_over_time({BASE_QUERY} | keep nested_a [1h]))", groups(x0="15", x1="15")),
    ('sum(count_over_time({app="web"}[3600s]))', vector_value("30")),
    ('sum(count_over_time({app="web"}[1h] offset 500ms))', vector_value("30")),
]

CASES = [
    *(query(48, text, check, step="60", headers=DRILLDOWN) for text, check in SHAPES),
    *(query(48, text, check, path=INSTANT, headers=DRILLDOWN) for text, check in INSTANTS),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.params["query"]))
def test_shape(client: httpx.Client, case: ClientCase) -> None:
    case.check(case.ask(client))
