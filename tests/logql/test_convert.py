from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.durations import print_duration

FLOATS = {
    "1e3": 1000.0,
    "-.5": -0.5,
    "5.": 5.0,
    "1_000": 1000.0,
    "1_0.2_5e1_0": 10.25e10,
    "0x1p-2": 0.25,
    "0x_1p2": 4.0,
    "0X1.8P1": 3.0,
    "+Inf": math.inf,
    "-infinity": -math.inf,
    "1e-999": 0.0,
}


@pytest.mark.parametrize(("text", "value"), FLOATS.items())
def test_floats_are_those_of_go(text: str, value: float) -> None:
    assert parse_float(text) == value


def test_nan_is_a_float_without_a_sign() -> None:
    assert math.isnan(parse_float("NaN"))
    with pytest.raises(ConversionError):
        parse_float("+NaN")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 4 ",
        "0x10",
        "1,000",
        "1__0",
        "_1",
        "1_",
        "1_.5",
        "1e",
        "1e_3",
        ".",
        "e3",
        "abc",
        "0x.p1",
        "\u0131nf",
        "\u0661",
    ],
)
def test_what_is_no_float_is_named(text: str) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_float(text)
    assert str(caught.value) == f'strconv.ParseFloat: parsing "{text}": invalid syntax'


@pytest.mark.parametrize("text", ["1e999", "-1e400", "0x1p9999"])
def test_a_float_may_be_too_large(text: str) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_float(text)
    assert str(caught.value) == f'strconv.ParseFloat: parsing "{text}": value out of range'


DURATIONS = {
    "0": 0,
    "-0": 0,
    "1h30m5s": 5_405_000_000_000,
    "-1.5s": -1_500_000_000,
    "+1.s": 1_000_000_000,
    ".5us": 500,
    "15µs": 15_000,
    "15μs": 15_000,
    "0.1ns": 0,
    "1s1s": 2_000_000_000,
    "0000000000000000000000001ns": 1,
    "0.100000000000000000000000000001h": 360_000_000_000,
    "9223372036854775807ns": 2**63 - 1,
    "-9223372036854775808ns": -(2**63),
}


@pytest.mark.parametrize(("text", "ns"), DURATIONS.items())
def test_durations_are_those_of_go(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'invalid duration ""'),
        ("-", 'invalid duration "-"'),
        ("abc", 'invalid duration "abc"'),
        (".s", 'invalid duration ".s"'),
        ("1s ", 'unknown unit "s " in duration "1s "'),
        ("100", 'missing unit in duration "100"'),
        ("1m1", 'missing unit in duration "1m1"'),
        ("1d", 'unknown unit "d" in duration "1d"'),
        ('1"é', r'unknown unit "\"\xc3\xa9" in duration "1\"\xc3\xa9"'),
        ("9223372036854775808ns", 'invalid duration "9223372036854775808ns"'),
        ("3000000h", 'invalid duration "3000000h"'),
        ("9" * 5000 + "ns", f'invalid duration "{"9" * 5000}ns"'),
    ],
)
def test_what_is_no_duration_is_named(text: str, error: str) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"time: {error}"


@given(st.integers(-(2**53), 2**53))
def test_a_printed_duration_reads_back(ns: int) -> None:
    assert parse_duration(print_duration(ns)) == ns


SIZES = {
    "0": 0,
    "5KB": 5000,
    "5 kb": 5000,
    "5k": 5000,
    "5KiB": 5120,
    "5Ki": 5120,
    "1.5MB": 1_500_000,
    "1,000": 1000,
    "1.9": 1,
    "1EiB": 1 << 60,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_sizes_are_those_of_humanize(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'strconv.ParseFloat: parsing "": invalid syntax'),
        ("-5B", 'strconv.ParseFloat: parsing "": invalid syntax'),
        ("1.2.3B", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
        ("1e3B", "unhandled size name: e3b"),
        ("5 Foo", "unhandled size name: foo"),
        ("16EiB", "too large: 16EiB"),
    ],
)
def test_what_is_no_size_is_named(text: str, error: str) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_bytes(text)
    assert str(caught.value) == error
