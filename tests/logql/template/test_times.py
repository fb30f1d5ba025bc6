from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.template.durations import Duration, parse_duration
from logql.template.time_parse import BadTime, parse_time
from logql.template.times import SECOND, Time, civil, day_of_year, days_from_civil, weekday
from logql.template.zones import UTC_ZONE, load_zone, local_zone

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC"]
ANY_NS = st.integers(-(1 << 63), (1 << 63) - 1)


def ns_of(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@given(MOMENTS)
def test_the_calendar_is_that_of_datetime(moment: datetime) -> None:
    days = ns_of(moment) // (86_400 * SECOND)
    assert civil(days) == (moment.year, moment.month, moment.day)
    assert days_from_civil(moment.year, moment.month, moment.day) == days
    assert weekday(days) == moment.isoweekday() % 7
    assert day_of_year(days) == moment.timetuple().tm_yday


@given(st.integers(-(10**9), 10**9))
def test_the_calendar_goes_on_for_any_year(days: int) -> None:
    assert days_from_civil(*civil(days)) == days


@given(MOMENTS)
def test_format_is_strftime_in_other_words(moment: datetime) -> None:
    layout = "2006|01|02|15|03|04|05|.000000|Mon|Monday|Jan|January|PM|002|06"
    shown = Time(ns_of(moment), UTC_ZONE).format(layout)
    year, rest = f"{moment.year:04d}", moment.strftime("|%m|%d|%H|%I|%M|%S|.%f|%a|%A|%b|%B|%p|%j|")
    assert shown == f"{year}{rest}{year[2:]}"


@given(
    st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(ZONES),
)
def test_zones_are_those_of_zoneinfo(moment: datetime, name: str) -> None:
    local = moment.astimezone(ZoneInfo(name))
    shown = Time(ns_of(moment), load_zone(name)).format("2006-01-02 15:04:05.000000 -0700 MST")
    assert shown == local.strftime("%Y-%m-%d %H:%M:%S.%f %z %Z")


@given(ANY_NS, st.sampled_from(ZONES))
def test_what_format_writes_parse_reads(ns: int, name: str) -> None:
    layout = "Monday, 2006-01-02T15:04:05.999999999Z07:00:00"
    moment = Time(ns, load_zone(name))
    assert parse_time(layout, moment.format(layout), UTC_ZONE).ns == ns


@given(st.text(), st.text())
def test_parse_reads_or_refuses(layout: str, text: str) -> None:
    with suppress(BadTime):
        parse_time(layout, text, UTC_ZONE)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02", "2026-13-01"),
        ("2006-01-02", "2026-02-30"),
        ("2006-01-02", "2026-1-02"),
        ("2006-01-02", "2026-01-02x"),
        ("15:04", "24:00"),
        ("15:04:05", "10:00:60"),
        ("3:04PM", "13:00PM"),
        ("3:04PM", "1:00pm"),
        ("2006-002", "2023-366"),
        ("2006-002 01", "2023-040 03"),
        ("MST", "ab"),
        ("Z07:00", "+25:00"),
        ("05.000", "05.12"),
        ("Jan", "Foo"),
    ],
)
def test_texts_that_name_no_moment(layout: str, text: str) -> None:
    with pytest.raises(BadTime):
        parse_time(layout, text, UTC_ZONE)


def test_a_zone_of_its_own_is_known_by_abbreviation_and_offset() -> None:
    berlin = load_zone("Europe/Berlin")
    assert (
        parse_time("2006-01-02 15:04 MST", "2026-07-01 12:00 CEST", berlin).text() == "2026-07-01 12:00:00 +0200 CEST"
    )
    assert parse_time("2006-01-02 15:04 -0700", "2026-07-01 12:00 +0200", berlin).text().endswith("+0200 CEST")
    assert parse_time("2006-01-02 15:04 -0700", "2026-07-01 12:00 +0300", berlin).text().endswith("+0300 +0300")


def test_gaps_and_overlaps_of_the_clock_are_read_as_go_does() -> None:
    berlin = load_zone("Europe/Berlin")
    assert parse_time("2006-01-02 15:04", "2026-03-29 02:30", berlin).format("15:04 MST") == "03:30 CEST"
    assert parse_time("2006-01-02 15:04", "2026-10-25 02:30", berlin).format("15:04 MST") == "02:30 CET"


def test_the_local_zone_is_that_of_tz(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for value, shown in (("Asia/Tokyo", "JST"), (":Asia/Tokyo", "JST"), ("No/Where", "UTC"), ("", "UTC")):
            monkeypatch.setenv("TZ", value)
            local_zone.cache_clear()
            assert local_zone().at(0)[1] == shown
    finally:
        local_zone.cache_clear()


@pytest.mark.parametrize("name", ["No/Where", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 10_000])
def test_names_of_no_zone(name: str) -> None:
    with pytest.raises(LookupError):
        load_zone(name)


@given(ANY_NS)
def test_durations_read_back(ns: int) -> None:
    assert parse_duration(Duration(ns).text()) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (-61_000_000_000, "-1m1s"),
        (3_600_000_000_000, "1h0m0s"),
        (-(1 << 63), "-2562047h47m16.854775808s"),
        (999_999_999, "999.999999ms"),
    ],
)
def test_durations_as_go_prints_them(ns: int, text: str) -> None:
    assert Duration(ns).text() == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        (".", 'time: invalid duration "."'),
        ("1", 'time: missing unit in duration "1"'),
        ("1.5x", 'time: unknown unit "x" in duration "1.5x"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("1h-2m", 'time: unknown unit "h-" in duration "1h-2m"'),
    ],
)
def test_durations_that_go_refuses(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="time: ") as refused:
        parse_duration(text)
    assert str(refused.value) == reason
