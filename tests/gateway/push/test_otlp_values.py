"""Values in words. The texts of numbers are those of Go's encoding/json."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.push.otlp_messages import AnyValue
from gateway.push.otlp_values import double_text, double_texts, text_of


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (-12345.678, "-12345.678"),
        (1e-6, "0.000001"),
        (9.5e-7, "9.5e-7"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (12345678901.5, "12345678901.5"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers(number: float, text: str) -> None:
    assert double_text(number) == text


@given(st.lists(st.floats(width=64), max_size=20))
@example([1e10, 9999999999.9, 1e21, 9.999999999e20, float("nan"), float("inf"), -float("inf"), -0.0, 1e-6, 9.99e-7])
def test_many_numbers_at_once_are_as_one_by_one(numbers: list[float]) -> None:
    found = double_texts(np.array(numbers, np.float64)).tolist()
    assert found == [text_of(AnyValue(double_value=number)) for number in numbers]
    finite = [(number, text) for number, text in zip(numbers, found, strict=True) if number - number == 0]
    assert [struct.pack("<d", float(text)) for _, text in finite] == [struct.pack("<d", number) for number, _ in finite]


def value(**held: Any) -> Any:
    return AnyValue(**held)


def of_list(*values: Any) -> Any:
    made = AnyValue()
    made.array_value.SetInParent()
    made.array_value.values.extend(values)
    return made


def of_map(**pairs: Any) -> Any:
    made = AnyValue()
    made.kvlist_value.SetInParent()
    for key, held in pairs.items():
        made.kvlist_value.values.add(key=key.encode(), value=held)
    return made


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (value(), b""),
        (value(string_value=b"as \xff it is"), b"as \xff it is"),
        (value(bool_value=False), b"false"),
        (value(int_value=-(1 << 63)), b"-9223372036854775808"),
        (value(double_value=float("nan")), b"json: unsupported value: NaN"),
        (value(double_value=float("inf")), b"json: unsupported value: +Inf"),
        (value(bytes_value=b"\x00\xff"), b"AP8="),
        (of_list(), b"[]"),
        (of_map(), b"{}"),
        (
            of_list(value(string_value=b"<a>&\xff\n"), value(), value(double_value=2.0)),
            b'["\\u003ca\\u003e\\u0026\\ufffd\\n",null,2]',
        ),
        (of_map(b=value(bytes_value=b"x"), a=of_map(c=value(bool_value=True))), b'{"a":{"c":true},"b":"eA=="}'),
        (of_list(value(double_value=float("nan"))), b""),
    ],
)
def test_values(held: Any, text: bytes) -> None:
    assert text_of(held) == text
