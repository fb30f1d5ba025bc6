"""A metric query's answer as Loki writes it: matrix, vector, scalar. No newline at the end, warnings after the data.

As a log query's answer, it is made in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.query.encode import PIECE
from gateway.query.gojson import metric_json, text_json
from gateway.query.kernels.points import most_bytes, write_points
from gateway.query.stats import stats_json
from logql import Matrix, Scalar, Series, Stats, Vector, plain
from storage.batch import I64, U8, texts

_EXACT = 2.0**53
"""Up to here a float that is whole is written as the integer it is."""

_SMALL, _LARGE = 1e-3, 1e15
"""Between these msgspec writes a float as Go does: the shortest digits, no exponent."""

_COMMA = ord(",")


def matrix_answer(result: Matrix, queue_time: float, more: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    """The body of a range query, in pieces: some series each, whole ones.

    Args:
        result: the series.
        queue_time: seconds the query waited.
        more: members that stand in `data` after `stats`, with the comma before; made last.
    """
    parts: list[bytes] = [_head(b"matrix"), b"["]
    size = 0
    for number, series in enumerate(result.series):
        parts += [b"," if number else b"", b'{"metric":%b,"values":[' % metric_json(series.labels), _points(series)]
        parts.append(b"]}")
        size += len(parts[-2]) + len(parts[-3])
        if size >= PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join((*parts, b"]", _tail(result.stats, queue_time, result.warnings, more)))


def vector_answer(result: Vector, queue_time: float, more: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    """The body of an instant query; arguments as of `matrix_answer`."""
    time = seconds(result.ts)
    samples = (
        b'{"metric":%b,"value":%b}' % (metric_json(sample.labels), _pair(time, sample.value))
        for sample in result.samples
    )
    written = b",".join(samples)
    yield b"%b[%b]%b" % (_head(b"vector"), written, _tail(result.stats, queue_time, result.warnings, more))


def scalar_answer(result: Scalar, queue_time: float, more: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    """The body of an instant query that is a number; arguments as of `matrix_answer`.

    Its time is in milliseconds, which is a mistake of Loki's (recorded).
    """
    yield _head(b"scalar") + _pair(str(result.ts), result.value) + _tail(result.stats, queue_time, (), more)


def _head(kind: bytes) -> bytes:
    return b'{"status":"success","data":{"resultType":"%b","result":' % kind


def _tail(stats: Stats, queue_time: float, warnings: Iterable[str], more: Callable[[], bytes]) -> bytes:
    told = b",".join(map(text_json, warnings))
    after = b',"warnings":[%b]}' % told if told else b"}"
    return b',"stats":%b%b}%b' % (stats_json(stats, queue_time), more(), after)


def _points(series: Series) -> bytes:
    """The points of a series, commas between them."""
    ts, values = np.array(series.ts, np.int64), np.array(series.values, np.float64)
    data, starts, stops = value_texts(values)
    out = np.empty(most_bytes(len(ts), int((stops - starts).sum())), np.uint8)
    return out[: write_points(ts, data, starts, stops, out)].tobytes()


def value_texts(values: NDArray[np.float64]) -> tuple[U8, I64, I64]:
    """Values as `plain` prints them: a buffer, where each begins in it and where it ends."""
    size = np.abs(values)
    common = ((size >= _SMALL) & (size < _LARGE)) | ((values == 0) & ~np.signbit(values))
    others = np.flatnonzero(~common)
    data, starts, stops = _common_texts(np.where(common, values, 0.0) if len(others) else values)
    if len(others):
        written = texts([plain(value).encode() for value in values[others].tolist()])
        starts[others] = written.offsets[:-1] + len(data)
        stops[others] = written.offsets[1:] + len(data)
        data = np.concatenate((data, written.data))
    return data, starts, stops


def _common_texts(values: NDArray[np.float64]) -> tuple[U8, I64, I64]:
    whole = values == np.trunc(values)
    # Whole numbers would only get a `.0` as floats, and take longer.
    items: list[int] | list[float] = values.astype(np.int64).tolist() if whole.all() else values.tolist()
    data = np.frombuffer(msgspec.json.encode(items), np.uint8)
    commas = np.flatnonzero(data == _COMMA)
    starts = np.concatenate(([1], commas + 1))[: len(values)]
    stops = np.concatenate((commas, [len(data) - 1]))[: len(values)]
    return data, starts, stops if whole.all() else stops - 2 * whole


def _pair(time: str, value: float) -> bytes:
    return f'[{time},"{sample_value(value)}"]'.encode()


def seconds(ms: int) -> str:
    """A time in ms as a JSON number of seconds, in its shortest form: `1700000000`, `1700000000.5`."""
    whole, rest = divmod(abs(ms), 1000)
    sign = "-" if ms < 0 else ""
    return f"{sign}{whole}.{rest:03d}".rstrip("0") if rest else f"{sign}{whole}"


def sample_value(value: float) -> str:
    """A value as `plain` prints it; most are whole, and these are quick."""
    if 0 < value < _EXACT and value.is_integer():
        return str(int(value))
    return plain(value)
