from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import BadArgument
from gateway.client.times import SECOND, parse_duration, parse_time, time_window


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("250ms", 250_000_000),
        ("7d", 604_800 * SECOND),
        ("1w", 604_800 * SECOND),
        ("10us", 10_000),
        ("1ns", 1),
    ],
)
def test_durations_are_those_of_go_and_prometheus(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "5x", "h", "-5m", "0s", "5m x", " 5m", "5 m", "1h!30m"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadArgument, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-08-22T14:00:00Z", 1_787_407_200 * SECOND),
        ("2026-08-22T16:00:00+02:00", 1_787_407_200 * SECOND),
        ("2026-08-22t14:00:00.000000001z", 1_787_407_200 * SECOND + 1),
        ("2026-08-22T14:00:00.5Z", 1_787_407_200 * SECOND + 500_000_000),
        ("1969-12-31T23:59:59.75Z", -250_000_000),
        ("1787407200", 1_787_407_200 * SECOND),
        ("1787407200123456789", 1_787_407_200_123_456_789),
    ],
)
def test_times_are_rfc_3339_or_unix(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-08-22", "2026-08-22T14:00:00", "2026-13-22T14:00:00Z", "2026-08-22T14:00:00.Z"]
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadArgument, match="is no time"):
        parse_time(text)


@given(st.integers(min_value=0, max_value=2**62))
def test_no_nanosecond_is_lost_on_the_way_through_text(ns: int) -> None:
    seconds, fraction = divmod(ns, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:09d}Z"
    assert parse_time(text) == ns


def test_a_start_beats_since_and_since_counts_from_the_earlier_of_end_and_now() -> None:
    now = 1_000_000 * SECOND
    assert time_window(now, start=None, end=None, since="1h") == (now - 3600 * SECOND, now)
    assert time_window(now, start="999000", end=None, since="1h") == (999_000 * SECOND, now)
    assert time_window(now, start=None, end="900000", since="1h") == (896_400 * SECOND, 900_000 * SECOND)
    assert time_window(now, start=None, end="2000000", since="1h") == (now - 3600 * SECOND, 2_000_000 * SECOND)
