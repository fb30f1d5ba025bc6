"""Operators on two numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.arithmetic import power

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("base", "exponent", "recorded"),
    [
        (18.0, 2**0.5, 59.596863110792576),
        (11.0, 2**0.5, 29.699672414760713),
        (7.0, 2.0, 49.0),
        (2.0, -1.0, 0.5),
        (-3.0, 3.0, -27.0),
        (9.0, 0.5, 3.0),
        (4.0, -0.5, 0.5),
    ],
)
def test_powers_are_gos_to_the_last_digit(base: float, exponent: float, recorded: float) -> None:
    assert power(base, exponent) == recorded


@pytest.mark.parametrize(
    ("base", "exponent", "result"),
    [
        (-3.0, 0.5, math.nan),
        (0.0, -1.0, math.inf),
        (-0.0, -1.0, -math.inf),
        (0.0, 0.0, 1.0),
        (1.0, math.nan, 1.0),
        (-1.0, math.inf, 1.0),
        (10.0, 400.0, math.inf),
        (-10.0, 401.0, -math.inf),
        (10.0, -400.0, 0.0),
        (2.0, 1e300, math.inf),
        (2.0, -1e300, 0.0),
        (0.5, 1e300, 0.0),
        (-1.0, 1e300, 1.0),
        (math.inf, -1.0, 0.0),
        (-math.inf, 3.0, -math.inf),
        (2.0, -1074.0, 5e-324),
    ],
)
def test_powers_beyond_the_numbers(base: float, exponent: float, result: float) -> None:
    assert power(base, exponent) == result or (math.isnan(result) and math.isnan(power(base, exponent)))


@given(NUMBERS, st.one_of(NUMBERS, st.integers(-300, 300).map(float)))
def test_a_power_is_the_one_of_c_but_for_its_last_digits(base: float, exponent: float) -> None:
    made = power(base, exponent)
    try:
        known = math.pow(base, exponent)
    except OverflowError:
        known = math.inf if math.copysign(1, made) > 0 else -math.inf
    except ValueError:
        known = math.nan if base else made
    near = max(1e-9, abs(exponent) * 1e-15)
    assert math.isclose(made, known, rel_tol=near, abs_tol=1e-300) or (math.isnan(made) and math.isnan(known))
