from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logql.ast import Unwrap
from logql.columns.fields import Fields
from logql.columns.numbers import NOT_SET, NUMBER, UNSURE, Numbers, durations, floats, seconds, sizes
from logql.convert import parse_bytes, parse_duration, parse_float
from logql.literals import to_text
from logql.stages.unwrap import UnwrapStage
from storage.batch import texts


def fields_of(values: Sequence[bytes], kind: int = 1) -> Fields:
    column = texts([b"7", *values, b"5"])
    starts, stops = column.offsets[None, 1:-2].copy(), column.offsets[None, 2:-1].copy()
    return Fields(column.data, starts, stops, np.full(starts.shape, kind, np.uint8), np.zeros(len(values), np.uint8))


def check(
    values: Sequence[bytes], parse: Callable[[str], float], found: Sequence[float], states: Sequence[int]
) -> None:
    """Whatever is told is what the scalar function says; it is never told of what that one refuses."""
    for raw, value, state in zip(values, found, states, strict=True):
        if state == NUMBER:
            assert same(value, parse(to_text(raw)))
        else:
            assert state == UNSURE
            assert value == 0


def same(left: float, right: float) -> bool:
    return struct.pack("d", left) == struct.pack("d", right)


def check_all(values: Sequence[bytes]) -> None:
    fields = fields_of(values)
    number, size, duration = floats(fields, 0), sizes(fields, 0), durations(fields, 0)
    check(values, parse_float, number.values.tolist(), number.states.tolist())
    check(values, parse_bytes, size.values.tolist(), size.states.tolist())
    check(values, parse_duration, duration.values.tolist(), duration.states.tolist())
    in_seconds = seconds(fields, 0)
    unwrap = UnwrapStage.of(unwrap_node())
    check(values, unwrap.convert, in_seconds.values.tolist(), in_seconds.states.tolist())


def unwrap_node() -> Unwrap:
    return Unwrap("a", "duration", ())


digits = st.text("0123456789", max_size=22)
decimals = st.builds(
    lambda sign, whole, point, fraction, exponent: f"{sign}{whole}{point}{fraction}{exponent}",
    st.sampled_from(["", "", "-", "+"]),
    digits,
    st.sampled_from(["", ".", "."]),
    digits,
    st.sampled_from(["", "", "e", "e5", "E-3", "e+22", "e-30", "e00012", "e9999"]),
)
part = st.builds(
    lambda whole, fraction, unit: f"{whole}{fraction}{unit}",
    st.integers(0, 10**19).map(str) | st.integers(0, 2000).map(str) | st.just(""),
    st.just("") | digits.map(lambda text: f".{text}"),
    st.sampled_from(["ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "", "mss", "µ", "n", "sm"]),
)
some_durations = st.builds(
    lambda sign, parts: sign + "".join(parts), st.sampled_from(["", "-", "+"]), st.lists(part, max_size=4)
)
some_sizes = st.builds(
    lambda number, blank, unit: f"{number}{blank}{unit}",
    decimals | st.just("1,024"),
    st.sampled_from(["", "", " ", "  ", "\t"]),
    st.sampled_from(["", "b", "B", "kB", "KB", "MiB", "gi", "T", "PB", "eb", "EiB", "ib", "bb", "kb ", "K", "x"]),
)
tokens = st.text("0123456789+-.eExX_infnaINFNA ", max_size=24)


@settings(deadline=None, max_examples=1500)
@given(
    values=st.lists(
        (decimals | some_durations | some_sizes | tokens).map(str.encode) | st.binary(max_size=8), max_size=20
    )
)
@example(
    values=[b"18446744073709551616", b"184467440737095516160", b"0", b"-0", b"-0s", b"+0", b"00", b"1.", b".5", b"."]
)
@example(values=[b"9007199254740993", b"9007199254740993e1", b"9007199254740992.5", b"4503599627370496.5", b"1e23"])
@example(values=[b"1e-22", b"1e-23", b"12345678901234567890", b"1234567890123456789e-27", b"0e-400", b"0.000000e5"])
@example(
    values=["1µs".encode(), "1μs".encode(), b"1\xc2", b"1\xce\xbc", b"1h1", b"1h.", b"1h.5s", b"9223372036.854775807s"]
)
def test_whatever_is_told_is_what_the_scalar_functions_say(values: list[bytes]) -> None:
    check_all(values)


def written(value: float) -> list[str]:
    return [
        repr(value),
        f"{value:.17g}",
        f"{value:.3f}",
        f"{value:.9e}",
        f"{value:.18e}",
        f"{value:f}",
        str(int(value)),
    ]


@settings(deadline=None, max_examples=1500)
@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e12, 1e12) | st.floats(0, 2))
def test_doubles_come_back_however_they_are_written(value: float) -> None:
    check_all([text.encode() for text in written(value)])


@settings(deadline=None, max_examples=1500)
@given(
    mantissa=st.integers(1 << 52, (1 << 53) - 1),
    shift=st.integers(-9, 9),
    beside=st.sampled_from([-1, 0, 1]),
)
def test_halves_between_two_doubles_go_to_the_even_one(mantissa: int, shift: int, beside: int) -> None:
    if shift >= 0:
        values = [f"{(2 * mantissa + 1 << shift) + beside}"]
    else:
        exact = (2 * mantissa + 1) * 5**-shift  # a half, in tenths
        values = [f"{exact + beside}e{shift}"]
    check_all([value.encode() for value in values])


USUAL = {
    floats: [b"0", b"200", b"-1.5", b"+3", b"1052.730", b"0.8444218515250481", b"1.7976931348623157", b"1e3", b"2E-7"],
    sizes: [b"0", b"512", b"10KB", b"1.5 MiB", b"3gb", b"7E", b"12b"],
    durations: [b"0", b"12ms", b"1.5s", b"1h2m3s", "250µs".encode(), b"-3ns", b"1052.730ms", b".5us"],
}


@pytest.mark.parametrize("read", USUAL)
def test_the_usual_forms_are_told(read: Callable[..., Numbers]) -> None:
    values = USUAL[read]
    check_all(values)
    assert set(read(fields_of(values), 0).states.tolist()) == {NUMBER}


@pytest.mark.parametrize("read", USUAL)
def test_there_is_no_number_where_nothing_was_found(read: Callable[..., Numbers]) -> None:
    assert read(fields_of([b"0", b""], 2), 0).states.tolist() == [NUMBER, UNSURE]
    assert read(fields_of([b"0", b""], 0), 0).states.tolist() == [NOT_SET, NOT_SET]
    assert read(fields_of([]), 0).states.tolist() == []


def test_doubles_of_seventeen_digits_are_told() -> None:
    made = np.random.default_rng(7).random(3000) * np.repeat([1.0, 1e3, 1e-4], 1000)
    values = [repr(value).encode() for value in made.tolist()]
    found = floats(fields_of(values), 0)
    assert found.states.tolist() == [NUMBER] * len(values)
    assert found.values.tolist() == made.tolist()
