"""RFC 3339 times to nanoseconds."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.times import FIRST, LAST, ZERO_TIME, BadTime, nanoseconds, rfc3339, signed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# hypothesis wants bounds without a zone.
FIRST_DAY = datetime.fromisoformat("1700-01-01")
LAST_DAY = datetime.fromisoformat("2250-01-01")


@given(
    st.datetimes(FIRST_DAY, LAST_DAY),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_times_agree_with_the_standard_library(naive: datetime, zone: timezone) -> None:
    time = naive.replace(tzinfo=zone)
    assert rfc3339(time.isoformat().encode()) == (time - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1970-01-01T00:00:00Z", 0),
        (b"1970-01-01T00:00:00.5Z", 500_000_000),
        (b"1970-01-01T00:00:00.1234567899Z", 123_456_789),
        (b"1970-01-01T02:00:00+02:00", 0),
        (b"0001-01-01T00:00:00Z", ZERO_TIME),
        (b"9999-12-31T23:59:59Z", -4852116232933722624),
        (b"0000-02-29T00:00:00Z", -6821889378871345152),
    ],
)
def test_times_are_nanoseconds_within_int64(text: bytes, expected: int) -> None:
    assert rfc3339(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", 'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        (b"2026-11-21", 'parsing time "2026-11-21" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        (b"2026-13-01T00:00:00Z", 'parsing time "2026-13-01T00:00:00Z": month out of range'),
        (b"2026-02-29T00:00:00Z", 'parsing time "2026-02-29T00:00:00Z": day out of range'),
        (b"2026-01-01T24:00:00Z", 'parsing time "2026-01-01T24:00:00Z": hour out of range'),
        (b"2026-01-01T00:00:00Zx", 'parsing time "2026-01-01T00:00:00Zx": extra text: "x"'),
        (
            b'2026-01-01T00:00:00Z\xc3\xa9\xff\n"\\',
            r'parsing time "2026-01-01T00:00:00Z\xc3\xa9\xff\x0a\"\\": extra text: "\xc3\xa9\xff\x0a\"\\"',
        ),
    ],
)
def test_what_is_no_time_is_refused_in_gos_words(text: bytes, message: str) -> None:
    with pytest.raises(BadTime) as refused:
        rfc3339(text)
    assert str(refused.value) == message


@given(st.binary(max_size=40))
def test_any_bytes_are_a_time_or_refused(text: bytes) -> None:
    with suppress(BadTime):
        assert FIRST <= rfc3339(text) <= LAST


def test_times_beyond_int64_wrap_around_as_in_go() -> None:
    assert nanoseconds(-62135596800, 0) == ZERO_TIME
    assert nanoseconds(9223372036, 854_775_807) == LAST
    assert nanoseconds(9223372036, 854_775_808) == FIRST
    assert signed(LAST) == LAST
    assert signed((1 << 64) - 5) == -5
