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


def series(*labels: dict[str, str]) -> Check:
    """A matrix of the series with these labels."""

    def check(answer: httpx.Response) -> None:
        assert sorted((one["metric"] for one in matrix(answer)), key=str) == sorted(labels, key=str)

    return check


def groups(**expected: str) -> Check:
    """A vector with a sample for each value of its one label."""

    def check(answer: httpx.Response) -> None:
        found_ = {next(iter(one["metric"].values())): one["value"][1] for one in data_of(answer)["result"]}
        assert found_ == expected

    return check


LEVELS = ({"detected_level": "error"}, {"detected_level": "info"})
PB_QUERY = '{app="pb"} | json | logfmt | drop __error__, __error_details__'
BASE_QUERY = '{app="web"}      | json  | logfmt | drop __error__, __error_details__   '

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
    ('{app="web"} | json | line_format "{{.nested_a}}"', found(30)),
    ('{app="web"} | json nested="nested" | line_format "{{.nested}}" | json | keep a | a="x0"', found(15)),
    ('sum by (detected_level) (count_over_time({ app="web" , env="prod" } [1m]))', series(*LEVELS)),
    ('sum(count_over_time({app="web"} [1m])) by (detected_level)', series(*LEVELS)),
    ('sum(count_over_time({app="web"} | detected_level != "" [1m])) by (detected_level)', series(*LEVELS)),
    ('sum(count_over_time({app="web" ,env != ""}    [1m])) by (env)', series({"env": "prod"})),
    (
        f'sum by (nested_a) (count_over_time({BASE_QUERY} | nested_a!="" [1m]))',
        series({"nested_a": "x0"}, {"nested_a": "x1"}),
    ),
    (
        f'avg_over_time({PB_QUERY} | duration!="" | unwrap duration(duration) | __error__="" [1m]) by ()',
        series({}),
    ),
    ('avg_over_time({app="pb"} | logfmt | unwrap bytes(bytes) | __error__="" [1m]) by ()', series({})),
    ('avg_over_time({app="pb"} | logfmt | unwrap amount | __error__="" [1m]) by ()', series({})),
    ('sum by (level, detected_level) (count_over_time({app="web", __stream_shard__=~"1|2"} [1m]))', series()),
    ('sum by (level) (count_over_time({app="web", __stream_shard__="" } | drop __stream_shard__ [1m]))', series({})),
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
