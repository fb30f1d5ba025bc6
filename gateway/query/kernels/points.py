"""The points of a series as JSON: `[1700000000.5,"0.25"],...`, times in seconds in their shortest form."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.query.kernels.escapes import digits, magnitude, put, put_digits
from storage.kernels.cache import BYTES, OFFSETS, inner, kernel

_THOUSAND = np.uint64(1000)
_TEN = np.uint64(10)
_NONE = np.uint64(0)

_FRAME = 6
"""Bytes of `[`, `,"`, `"]` and the comma after a point."""


@inner
def _put_seconds(ms: Any, out: Any, at: int) -> int:
    if ms < 0:
        out[at] = 0x2D
        at += 1
    value = magnitude(ms)
    whole = value // _THOUSAND
    at = put_digits(whole, digits(whole), out, at)
    rest = value - whole * _THOUSAND
    if rest == _NONE:
        return at
    out[at] = 0x2E
    count = 3
    while rest % _TEN == _NONE:
        rest //= _TEN
        count -= 1
    return put_digits(rest, count, out, at + 1)


@kernel(f"int64({OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, uint8[::1])")
def write_points(ts: Any, data: Any, starts: Any, stops: Any, out: Any) -> int:
    """Writes points with commas between them.

    Args:
        ts: int64[n], ms.
        data: uint8[], the texts of the values.
        starts: int64[n], where each begins.
        stops: int64[n], where it ends.
        out: uint8[], room for `most_bytes(n, bytes of values)`.

    Returns:
        How many bytes were written.
    """
    at = 0
    for i in range(len(ts)):
        if i:
            out[at] = 0x2C
            at += 1
        out[at] = 0x5B
        at = _put_seconds(ts[i], out, at + 1)
        out[at] = 0x2C
        out[at + 1] = 0x22
        at = put(data, starts[i], stops[i], out, at + 2)
        out[at] = 0x22
        out[at + 1] = 0x5D
        at += 2
    return at


def most_bytes(points: int, values: int) -> int:
    """Bytes that points take at most; `values`: bytes of the texts of their values. A time in s has 21 at most."""
    return points * (_FRAME + 21) + values
