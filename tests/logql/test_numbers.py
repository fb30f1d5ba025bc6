from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.numbers import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "0.0000001"),
        (1e21, "1000000000000000000000"),
        (123456789012345678.0, "123456789012345680"),
        (5e-324, "0." + "0" * 323 + "5"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_values_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert plain(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_text_has_no_exponent_and_reads_back(value: float) -> None:
    text = plain(value)
    assert "e" not in text
    assert math.copysign(1, float(text)) == math.copysign(1, value)
    assert float(text) == value
