"""OTLP values in words, as the OpenTelemetry collector's pdata (AsString) has them, which is what Loki stores.

Text is itself, numbers and booleans as JSON has them, bytes as base64, arrays and maps as JSON with sorted keys and
Go's escapes.
"""

from __future__ import annotations

import base64
import math
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gateway.query.gojson import text_json
from storage.batch import Texts, texts, texts_from_arrow

F64: TypeAlias = NDArray[np.float64]


def text_of(value: Any) -> bytes:
    """An AnyValue as text; an empty one is ""."""
    kind = value.WhichOneof("value")
    if kind is None:
        return b""
    held = getattr(value, kind)
    if kind == "string_value":
        text: bytes = held
        return text
    if kind == "bool_value":
        return b"true" if held else b"false"
    if kind == "int_value":
        return b"%d" % held
    if kind == "double_value":
        return _double(held)
    if kind == "bytes_value":
        return base64.b64encode(held)
    try:
        return _json(value)
    except _NoJson:
        return b""


LONGEST_DOUBLE = 32
"""Bytes that the text of a double takes, at most: 24 of a number, 29 of what is none."""
_UNSUPPORTED = b"json: unsupported value: "
_NOT_FINITE = {"inf": b"+Inf", "-inf": b"-Inf", "nan": b"NaN"}


class _NoJson(Exception):  # noqa: N818 - internal: a number within is not finite, and Go then writes nothing
    pass


def _json(value: Any) -> bytes:
    kind = value.WhichOneof("value")
    if kind is None:
        return b"null"
    held = getattr(value, kind)
    if kind == "string_value":
        return text_json(held.decode("utf-8", "surrogateescape"))
    if kind == "bool_value":
        return b"true" if held else b"false"
    if kind == "int_value":
        return b"%d" % held
    if kind == "double_value":
        if not math.isfinite(held):
            raise _NoJson
        return double_text(held).encode()
    if kind == "bytes_value":
        return b'"' + base64.b64encode(held) + b'"'
    if kind == "array_value":
        return b"[" + b",".join(map(_json, held.values)) + b"]"
    pairs = {pair.key: pair.value for pair in held.values}
    return (
        b"{"
        + b",".join(
            text_json(key.decode("utf-8", "surrogateescape")) + b":" + _json(pairs[key]) for key in sorted(pairs)
        )
        + b"}"
    )


def double_texts(numbers: F64) -> Texts:
    """float64[n], each as text."""
    size = np.abs(numbers)
    # Here Arrow writes what Go does; above it has an exponent where Go has none.
    made = pa.array(numbers).cast(pa.large_string())
    odd = np.flatnonzero(~((size < 1e10) | (size >= 1e21)) | ~np.isfinite(numbers))
    if not len(odd):
        return texts_from_arrow(made)
    words = [text.encode() for text in made.to_pylist()]
    for place in odd.tolist():
        words[place] = _double(float(numbers[place]))
    return texts(words)


def _double(number: float) -> bytes:
    return double_text(number).encode() if math.isfinite(number) else _UNSUPPORTED + _NOT_FINITE[str(number)]


def double_text(number: float) -> str:
    """A finite number as Go's encoding/json writes it: the shortest digits, an exponent below 1e-6 and from 1e21 on."""
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    size = abs(number)
    digits = repr(number)
    if 1e-6 <= size < 1e21:
        if "e" in digits:
            digits = _without_exponent(digits)
        return digits.removesuffix(".0")
    mantissa, _, exponent = (digits if "e" in digits else f"{number:e}").partition("e")
    sign = exponent[0] if exponent[0] in "+-" else "+"
    return f"{mantissa.removesuffix('.0')}e{sign}{int(exponent.lstrip('+-'))}"


def _without_exponent(digits: str) -> str:
    mantissa, _, exponent = digits.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    shift = int(exponent)
    if shift < 0:
        return f"{sign}0.{'0' * (-shift - 1)}{whole}{fraction}"
    return f"{sign}{whole}{fraction.ljust(shift, '0')}"
