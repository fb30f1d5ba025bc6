from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.template.strconv import NumberError, format_float, parse_float, parse_int

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.sampled_from("eEfgGxX"))
def test_the_shortest_text_reads_back_as_the_same_float(value: float, verb: str) -> None:
    shown = format_float(value, verb)
    assert parse_float(shown) == value
    assert math.copysign(1, parse_float(shown)) == math.copysign(1, value)


@given(FINITE)
def test_g_has_an_exponent_from_six_digits_on_and_below_four_zeros(value: float) -> None:
    exponent = Decimal(repr(value)).adjusted() if value else 0
    assert ("e" in format_float(value, "g")) == (exponent < -4 or exponent >= 6)


@given(FINITE, st.sampled_from("eEfg"), st.integers(0, 30))
def test_a_precision_gives_what_c_gives(value: float, verb: str, precision: int) -> None:
    assert format_float(value, verb, precision) == f"%.{precision}{verb}" % value


@given(FINITE)
def test_binary_form_is_exact(value: float) -> None:
    mantissa, exponent = format_float(value, "b").split("p")
    assert math.ldexp(int(mantissa), int(exponent)) == value


@given(st.floats(-1e300, 1e300), st.integers(0, 20))
def test_hexadecimal_with_precision_is_the_nearest(value: float, digits: int) -> None:
    shown = format_float(value, "x", digits)
    assert len(shown.partition("p")[0].partition(".")[2]) == digits
    assert float.fromhex(shown) == pytest.approx(value, rel=16.0**-digits)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("0x1p-2", 0.25),
        ("0X1.8P1", 3),
        (".5", 0.5),
        ("5.", 5),
        ("+7", 7),
        ("-Inf", -math.inf),
        ("infinity", math.inf),
        ("1e-400", 0),
        ("0x_1p0", 1),
    ],
)
def test_floats_that_go_reads(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize(
    "text", ["", " 4 ", "0x10", "1,000", "abc", "1__0", "_1", "1_", "1_.5", "1e", ".", "+nan", "1e5.5", "٣", "0x.p1"]
)
def test_floats_that_go_refuses(text: str) -> None:
    with pytest.raises(NumberError, match=r"strconv.ParseFloat: parsing .*: invalid syntax"):
        parse_float(text)


def test_floats_out_of_range() -> None:
    with pytest.raises(NumberError, match='parsing "1e400": value out of range'):
        parse_float("1e400")


@pytest.mark.parametrize(
    ("text", "value"), [("0x1F", 31), ("0b11", 3), ("0o17", 15), ("017", 15), ("-1_0", -10), ("0", 0), ("0_7", 7)]
)
def test_integers_with_prefixes(text: str, value: int) -> None:
    assert parse_int(text, 0) == value


@pytest.mark.parametrize("text", ["", "08", "1__0", "0x", "1.0", "1_", "+-1", "1e3"])
def test_integers_that_go_refuses(text: str) -> None:
    with pytest.raises(NumberError, match="invalid syntax"):
        parse_int(text, 0)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "1" * 200])
def test_integers_out_of_range(text: str) -> None:
    with pytest.raises(NumberError, match="value out of range"):
        parse_int(text, 0)
