"""A metric query's answer as Loki writes it: matrix, vector, scalar. No newline at the end, warnings after the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from gateway.query.gojson import metric_json, text_json
from gateway.query.stats import stats_json
from logql import Matrix, Scalar, Series, Stats, Vector, plain

_EXACT = 2.0**53
"""Up to here a float that is whole is written as the integer it is."""


def matrix_answer(result: Matrix, queue_time: float, check: Callable[[], None]) -> bytes:
    """The whole body of a range query.

    Args:
        result: the series.
        queue_time: seconds the query waited.
        check: called before each series is written; raises to stop.
    """
    time_text = cache(seconds)

    def written(series: Series) -> bytes:
        check()
        points = ",".join(
            f'[{time_text(ts)},"{sample_value(value)}"]' for ts, value in zip(series.ts, series.values, strict=True)
        )
        return b'{"metric":%b,"values":[%b]}' % (metric_json(series.labels), points.encode())

    body = b"[" + b",".join(map(written, result.series)) + b"]"
    return _answer(b"matrix", body, result.stats, queue_time, result.warnings)


def vector_answer(result: Vector, queue_time: float) -> bytes:
    """The whole body of an instant query; arguments as of `matrix_answer`."""
    time = seconds(result.ts)
    samples = (
        b'{"metric":%b,"value":%b}' % (metric_json(sample.labels), _pair(time, sample.value))
        for sample in result.samples
    )
    return _answer(b"vector", b"[" + b",".join(samples) + b"]", result.stats, queue_time, result.warnings)


def scalar_answer(result: Scalar, queue_time: float) -> bytes:
    """The whole body of an instant query that is a number; arguments as of `matrix_answer`.

    Its time is in milliseconds, which is a mistake of Loki's (recorded).
    """
    return _answer(b"scalar", _pair(str(result.ts), result.value), result.stats, queue_time, ())


def _answer(kind: bytes, result: bytes, stats: Stats, queue_time: float, warnings: Iterable[str]) -> bytes:
    texts = b",".join(map(text_json, warnings))
    ending = b',"warnings":[%b]}' % texts if texts else b"}"
    parts: Sequence[bytes] = (
        b'{"status":"success","data":{"resultType":"',
        kind,
        b'","result":',
        result,
        b',"stats":',
        stats_json(stats, queue_time),
        b"}",
        ending,
    )
    return b"".join(parts)


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
