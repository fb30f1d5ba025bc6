from __future__ import annotations

from pathlib import Path

import pytest

from logql import parse_unbuilt
from logql.durations import parse_prometheus_duration, print_duration, print_prometheus_duration, print_size
from logql.format import format_query
from logql.numbers import fixed, plain, short
from tests.logql.dataset import json_lines

DATA = Path(__file__).parent / "data"
WIDE = "w" * 90


@pytest.mark.parametrize(("query", "formatted"), json_lines(DATA / "format_recorded.jsonl"))
def test_a_query_is_formatted_as_loki_formats_it(query: str, formatted: str) -> None:
    assert format_query(parse_unbuilt(query)) == formatted


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (
            f'{{a="{WIDE}"}}|="b"!="c"|json|="d"',
            [f'{{a="{WIDE}"}}', '  |= "b" != "c"', "  | json", '  |= "d"'],
        ),
        (
            f'avg_over_time({{a="{WIDE}"}}|json|unwrap bytes(b)|c=1[1h]offset 1d)by(d,e)',
            [
                "avg_over_time(",
                f'  {{a="{WIDE}"}}',
                "    | json",
                "    | unwrap bytes(b)",
                "    | c==1 [1h] offset 1d",
                ") by (d, e)",
            ],
        ),
        (
            f'topk by(a)(3,vector(1)>bool on(b,c)group_right(d)rate({{a="{WIDE}"}}[1m]))',
            [
                "topk by (a)(",
                "  3,",
                "    vector(1.000000)",
                "    > bool on (b, c) group_right (d)",
                "    rate(",
                f'      {{a="{WIDE}"}} [1m]',
                "    )",
                ")",
            ],
        ),
        (
            f'label_replace(quantile_over_time(0.5,{{a="{WIDE}"}}|unwrap b[1m]),"a","b","c","d")',
            [
                "label_replace(",
                "  quantile_over_time(",
                "    0.5,",
                f'    {{a="{WIDE}"}}',
                "      | unwrap b [1m]",
                "  ),",
                '  "a",',
                '  "b",',
                '  "c",',
                '  "d"',
                ")",
            ],
        ),
        (
            f'vector(1)-(vector(2)-rate({{a="{WIDE}"}}[1m]))',
            [
                "  vector(1.000000)",
                "  -",
                "  (",
                "    vector(2.000000)",
                "    -",
                "    rate(",
                f'      {{a="{WIDE}"}} [1m]',
                "    )",
                "  )",
            ],
        ),
    ],
    ids=["log", "range", "vector", "label_replace", "operations"],
)
def test_what_is_too_long_for_a_line_is_split(query: str, lines: list[str]) -> None:
    assert format_query(parse_unbuilt(query)).split("\n") == lines


@pytest.mark.parametrize(
    ("ns", "go", "prometheus"),
    [
        (0, "0s", "0s"),
        (1, "1ns", "0s"),
        (1_500, "1.5µs", "0s"),
        (2_050_000, "2.05ms", "2ms"),
        (90_000_000_000, "1m30s", "1m30s"),
        (3_661_500_000_000, "1h1m1.5s", "1h1m1s500ms"),
        (14 * 86_400_000_000_000, "336h0m0s", "2w"),
        (15 * 86_400_000_000_000, "360h0m0s", "15d"),
        (365 * 86_400_000_000_000, "8760h0m0s", "1y"),
        (-300_000_000_000, "-5m0s", None),
    ],
)
def test_durations_print_in_two_ways(ns: int, go: str, prometheus: str | None) -> None:
    assert print_duration(ns) == go
    if prometheus is not None:
        assert print_prometheus_duration(ns) == prometheus
        assert parse_prometheus_duration(prometheus) == ns // 1_000_000 * 1_000_000


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (9, "9B"), (10, "10B"), (999, "999B"), (1000, "1.0kB"), (9_990, "10kB"), (82_854_982, "83MB")],
)
def test_sizes_print_with_two_digits(size: int, text: str) -> None:
    assert print_size(size) == text


@pytest.mark.parametrize(
    ("value", "all_digits", "brief", "six"),
    [
        (0.0, "0", "0", "0.000000"),
        (-0.0, "-0", "-0", "-0.000000"),
        (2.5, "2.5", "2.5", "2.500000"),
        (999_999.0, "999999", "999999", "999999.000000"),
        (1e6, "1000000", "1e+06", "1000000.000000"),
        (1.25e-5, "0.0000125", "1.25e-05", "0.000013"),
        (0.0001, "0.0001", "0.0001", "0.000100"),
        (-1e100, "-1" + "0" * 100, "-1e+100", f"{-1e100:f}"),
        (float("nan"), "NaN", "NaN", "NaN"),
        (float("-inf"), "-Inf", "-Inf", "-Inf"),
    ],
)
def test_numbers_print_as_go_prints_them(value: float, all_digits: str, brief: str, six: str) -> None:
    assert (plain(value), short(value), fixed(value)) == (all_digits, brief, six)
