from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import (
    DAY,
    GB,
    HOUR,
    KB,
    MAX_NS,
    MB,
    MINUTE,
    SECOND,
    TB,
    WEEK,
    YEAR,
    format_duration,
    format_instant,
    format_size,
    parse_duration,
    parse_go_duration,
    parse_instant,
    parse_prometheus_duration,
    parse_size,
)

GO = [
    ("0", 0),
    ("0s", 0),
    ("30s", 30 * SECOND),
    ("1m30s", 90 * SECOND),
    ("1.5h", 90 * MINUTE),
    (".5s", SECOND // 2),
    ("1.s", SECOND),
    ("2h45m0.5s", 2 * HOUR + 45 * MINUTE + SECOND // 2),
    ("250ms", 250_000_000),
    ("3us4ns", 3_004),
    ("3\u00b5s", 3_000),
    ("3\u03bcs", 3_000),
    ("30s1m", 90 * SECOND),
    ("2562047h47m16.854775807s", MAX_NS),
]


@pytest.mark.parametrize(("text", "ns"), GO)
def test_go_durations(text: str, ns: int) -> None:
    assert parse_go_duration(text) == ns
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text", ["7d", "1w", "1y", "1d12h", "", "30", "5x", "s", "1 s", "-1s", "1h-1m", "1e3s", "2562047h48m"]
)
def test_no_go_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_go_duration(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("0s", 0),
        ("7d", WEEK),
        ("1w", WEEK),
        ("1y2w3d4h5m6s7ms", YEAR + 2 * WEEK + 3 * DAY + 4 * HOUR + 5 * MINUTE + 6 * SECOND + 7_000_000),
        ("30d1h", 721 * HOUR),
        ("744h", 31 * DAY),
    ],
)
def test_prometheus_durations(text: str, ns: int) -> None:
    assert parse_prometheus_duration(text) == ns
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "1.5h", "5us", "30s1m", "1h1h", "30", "-1h", "300y", "\u0661h"])
def test_no_prometheus_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_prometheus_duration(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (721 * HOUR, "30d1h"),
        (7 * DAY, "1w"),
        (10 * DAY, "10d"),
        (365 * DAY, "1y"),
        (90 * SECOND, "1m30s"),
        (30 * MINUTE, "30m"),
        (1_000_500, "1ms500ns"),
        (1_500, "1us500ns"),
    ],
)
def test_durations_are_printed_as_prometheus_does(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(st.integers(0, MAX_NS))
def test_a_printed_duration_reads_back(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@given(st.integers(0, MAX_NS // 1_000_000))
def test_a_printed_duration_of_whole_milliseconds_is_one_of_prometheus(ms: int) -> None:
    assert parse_prometheus_duration(format_duration(ms * 1_000_000)) == ms * 1_000_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("100B", 100),
        ("256KB", 262144),
        ("256kb", 262144),
        ("256k", 262144),
        ("4MiB", 4 * MB),
        ("64 MB", 64 * MB),
        ("2GB", 2 * GB),
        ("1TB", TB),
        ("1PB", TB * KB),
        ("7EB", 7 * TB * MB),
    ],
)
def test_sizes_are_binary_multiples(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1.5MB", "1XB", "1MBs", "1 M B", "1iB", "8EB", "\u0661KB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (262144, "256KB"), (1000, "1000B"), (5000 * MB, "5000MB"), (GB, "1GB")]
)
def test_sizes_are_printed_in_the_largest_unit_that_divides_them(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, MAX_NS))
def test_a_printed_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-01-31T15:00:00.25Z", 1_769_871_600_250_000_000),
        ("2026-01-31t15:00:00.000000001z", 1_769_871_600_000_000_001),
        ("1969-12-31T23:59:59.5Z", -SECOND // 2),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert parse_instant(text) == ns


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31", "2026-13-31T15:00:00Z", "2026-01-31T15:00:00"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the standard library's for a 13th month
        parse_instant(text)


@given(st.integers(-(10**18), MAX_NS))
def test_a_printed_time_reads_back(ns: int) -> None:
    assert parse_instant(format_instant(ns)) == ns
