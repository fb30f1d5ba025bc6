"""Times, numbers and durations."""

import pytest

from gateway.query import times
from gateway.query.errors import BadParameter

NOW = 1_795_172_400_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NOW),
        ("1795168800", 1_795_168_800 * 10**9),
        ("1795168800000000000", 1_795_168_800_000_000_000),
        ("1795170605000", 1_795_170_605_000),
        ("-5", -5 * 10**9),
        ("-123456789", -123_456_789 * 10**9),
        ("-1234567890", -1_234_567_890),
        ("+5", 5 * 10**9),
        ("1.5", 1_500_000_000),
        ("-1.5", -1_500_000_000),
        ("1795307805.810", 1_795_307_805_810_000_000),
        ("1.0004", 1_000_000_000),
        ("1.0006", 1_001_000_000),
        ("1.795168800e9", 1_795_168_800 * 10**9),
        (".5", 500_000_000),
        ("2026-11-20T10:00:00Z", 1_795_168_800 * 10**9),
        ("2026-11-20T11:30:00+01:00", 1_795_170_600 * 10**9),
        ("2026-11-20T10:30:00.5Z", 1_795_170_600_500_000_000),
        ("2026-11-20T10:30:05.000000001Z", 1_795_170_605_000_000_001),
        ("2026-11-20T10:30:05.0000000019Z", 1_795_170_605_000_000_001),
        ("2026-11-20T10:30:05,25Z", 1_795_170_605_250_000_000),
        ("9999-12-31T23:59:59Z", times.INT64_MAX),
        ("0000-01-01T00:00:00Z", times.INT64_MIN),
        ("9999999999", times.INT64_MAX),
    ],
)
def test_a_timestamp_is_read_as_loki_reads_it(text: str, expected: int) -> None:
    assert times.parse_timestamp(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "abc",
        "1e9",
        "NaN",
        "now",
        "1.5.5",
        "2026-11-20",
        "2026-11-20T10:30:05",
        "2026-11-20t10:30:05Z",
        "2026-02-30T10:30:05Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:30:05+25:00",
        " 5",
        "1_000",
        "٣",
        "1.0e999",
    ],
)
def test_what_is_no_timestamp_is_reported_as_a_bad_integer(text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        times.parse_timestamp(text, NOW)
    assert str(caught.value) == f'strconv.ParseInt: parsing "{text}": invalid syntax'


def test_an_integer_too_long_for_int64_is_out_of_range_however_long() -> None:
    for text in ("99999999999999999999", "9" * 50_000):
        with pytest.raises(BadParameter, match="value out of range"):
            times.parse_timestamp(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("1800s", 1800),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("1y2w3d4h5m6s", 31_536_000 + 14 * 86_400 + 3 * 86_400 + 4 * 3600 + 306),
    ],
)
def test_a_prometheus_duration_is_read(text: str, expected: int) -> None:
    assert times.parse_duration(text) == expected * 10**9


def test_milliseconds_are_the_smallest_unit() -> None:
    assert times.parse_duration("1s500ms") == 1_500_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty duration string"),
        ("30", 'not a valid duration string: "30"'),
        ("-5m", 'not a valid duration string: "-5m"'),
        ("abc", 'not a valid duration string: "abc"'),
        ("0.5h", 'unknown unit "." in duration "0.5h"'),
        ("5minutes", 'unknown unit "minutes" in duration "5minutes"'),
        ("5M", 'unknown unit "M" in duration "5M"'),
        ("1m1h", 'not a valid duration string: "1m1h"'),
        ("1m1m", 'not a valid duration string: "1m1m"'),
        ("300y", "duration out of range"),
        ("99999999999999999999y", 'not a valid duration string: "99999999999999999999y"'),
    ],
)
def test_what_is_no_duration_is_refused_in_prometheus_words(text: str, message: str) -> None:
    with pytest.raises(BadParameter) as caught:
        times.parse_duration(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", 60 * 10**9),
        ("0.5", 5 * 10**8),
        ("1e3", 10**12),
        ("1m", 60 * 10**9),
        ("15000ms", 15 * 10**9),
        ("-5", -5 * 10**9),
    ],
)
def test_a_step_is_seconds_or_a_duration(text: str, expected: int) -> None:
    assert times.parse_seconds_or_duration(text) == expected


@pytest.mark.parametrize("text", ["1x", " 60", "0.5h", "5M", "abc", "1e999", "0x10"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        times.parse_seconds_or_duration(text)
    assert str(caught.value) == f'cannot parse "{text}" to a valid duration'


@pytest.mark.parametrize("text", ["1e300", "inf", "-Inf", "9300000000"])
def test_a_step_past_int64_says_so(text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        times.parse_seconds_or_duration(text)
    assert str(caught.value) == f'cannot parse "{text}" to a valid duration. It overflows int64'


@pytest.mark.parametrize(
    ("ns", "go", "prometheus"),
    [
        (0, "0s", "0s"),
        (10**9, "1s", "1s"),
        (90 * 10**9, "1m30s", "1m30s"),
        (2_880_000 * 10**9, "800h0m0s", "33d8h"),
        (721 * 3600 * 10**9, "721h0m0s", "30d1h"),
        (7 * 86_400 * 10**9, "168h0m0s", "1w"),
        (1_500_000_000, "1.5s", "1s500ms"),
        (3_661_000_000_001, "1h1m1.000000001s", "1h1m1s"),
        (1_500_000, "1.5ms", "1ms"),
    ],
)
def test_durations_are_printed_as_go_and_as_prometheus_do(ns: int, go: str, prometheus: str) -> None:
    assert times.go_duration(ns) == go
    assert times.prometheus_duration(ns) == prometheus
