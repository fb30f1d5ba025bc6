"""Counts of patterns as they are kept with blocks and answered: one series a stream, level and pattern."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import zstandard
from google_crc32c import value as crc32c
from numpy.typing import NDArray

from logql.kernels.line_shapes import BUCKET
from logql.patterns.counts import I64, Samples, fit, join_samples

VERSION = 1
MOST_SAMPLES = 100_000
"""Samples of a block: above it they are counted in longer stretches. 10 s of a day are 8,640 for each series."""
MOST_TEXT = 1 << 20
"""Bytes of the patterns of a block: the rarest are left out above it."""
_LEVEL = 3
_MOST_UNPACKED = 64 << 20


@dataclass(frozen=True, slots=True)
class Name:
    """What a series counts.

    Attributes:
        stream: the stream's stable id.
        level: of its lines.
        text: the pattern.
    """

    stream: int
    level: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class PatternSeries:
    """Counts of some patterns.

    Attributes:
        names: what `samples.what` indexes, each once.
        samples: of them.
    """

    names: tuple[Name, ...]
    samples: Samples

    def take(self, rows: NDArray[np.bool_]) -> PatternSeries:
        """Some of the samples, and the names that they are of."""
        samples = self.samples.take(rows)
        used, what = np.unique(samples.what, return_inverse=True)
        names = tuple([self.names[number] for number in used.tolist()])
        return PatternSeries(names, Samples(what.astype(np.int64), samples.bucket, samples.count))


def join_series(parts: Iterable[PatternSeries]) -> PatternSeries:
    """All of all parts."""
    numbers: dict[Name, int] = {}
    samples = []
    for part in parts:
        where = np.array([numbers.setdefault(name, len(numbers)) for name in part.names], np.int64)
        samples.append(Samples(where[part.samples.what], part.samples.bucket, part.samples.count))
    return PatternSeries(tuple(numbers), join_samples(samples))


def of_streams(series: PatternSeries, streams: NDArray[np.uint64], floor: I64 | None) -> PatternSeries:
    """What is of some streams.

    Args:
        series: of any.
        streams: uint64[k], their ids.
        floor: int64[k], ns: what is older is left out; None: nothing is.
    """
    if not len(series.names) or not len(streams):
        return PatternSeries((), join_samples([]))
    order = np.argsort(streams)
    ids = np.array([name.stream for name in series.names], np.uint64)
    place = np.minimum(np.searchsorted(streams, ids, sorter=order), len(streams) - 1)
    place = order[place]
    kept = (streams[place] == ids)[series.samples.what]
    if floor is not None:
        # A bucket that has begun before the floor has not expired whole.
        kept &= (series.samples.bucket + 1) * BUCKET > floor[place][series.samples.what]
    return series.take(kept)


class _Value(msgspec.Struct):
    """The packed value; all numbers little-endian. See FORMAT.md."""

    version: int
    streams: bytes
    levels: list[str]
    patterns: list[str]
    series: bytes
    buckets: bytes
    counts: bytes


def encode_series(series: PatternSeries) -> bytes | None:
    """The value of a block's key; None if nothing is counted."""
    kept = _fit(series)
    if not len(kept.samples):
        return None
    streams = {number: at for at, number in enumerate(sorted({name.stream for name in kept.names}))}
    levels = {level: at for at, level in enumerate(sorted({name.level for name in kept.names}))}
    texts = {text: at for at, text in enumerate(sorted({name.text for name in kept.names}))}
    sizes = np.bincount(kept.samples.what, minlength=len(kept.names))
    heads = [
        (streams[name.stream], levels[name.level], texts[name.text], int(size))
        for name, size in zip(kept.names, sizes, strict=True)
    ]
    value = _Value(
        VERSION,
        np.array(list(streams), "<u8").tobytes(),
        list(levels),
        list(texts),
        np.array(heads, "<u4").tobytes(),
        kept.samples.bucket.astype("<u4").tobytes(),
        np.minimum(kept.samples.count, 0xFFFFFFFF).astype("<u4").tobytes(),
    )
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.msgpack.encode(value))
    return b"%08x:" % crc32c(packed) + base64.b64encode(packed)


def decode_series(value: bytes) -> PatternSeries | None:
    """What encode_series was given; None if the value is damaged or of another version."""
    try:
        crc, _, text = value.partition(b":")
        packed = base64.b64decode(text, validate=True)
        if crc != b"%08x" % crc32c(packed):
            return None
        raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST_UNPACKED)
        return _unpacked(msgspec.msgpack.decode(raw, type=_Value))
    except (binascii.Error, zstandard.ZstdError, msgspec.MsgspecError, ValueError, IndexError):
        return None


def _unpacked(value: _Value) -> PatternSeries | None:
    if value.version != VERSION:
        return None
    streams = np.frombuffer(value.streams, "<u8").tolist()
    heads = np.frombuffer(value.series, "<u4").reshape(-1, 4).astype(np.int64)
    buckets, counts = (np.frombuffer(raw, "<u4").astype(np.int64) for raw in (value.buckets, value.counts))
    if not len(buckets) == len(counts) == int(heads[:, 3].sum()):
        return None
    names = [
        Name(streams[stream], value.levels[level], value.patterns[text]) for stream, level, text, _ in heads.tolist()
    ]
    what = np.repeat(np.arange(len(names)), heads[:, 3])
    return join_series([PatternSeries(tuple(names), Samples(what, buckets, counts))])


def _fit(series: PatternSeries) -> PatternSeries:
    """As much of the series as a block may have."""
    samples = fit(series.samples, MOST_SAMPLES)
    totals = np.zeros(len(series.names), np.int64)
    np.add.at(totals, samples.what, samples.count)
    order = np.argsort(-totals, kind="stable")
    sizes = np.array([len(series.names[number].text.encode()) for number in order.tolist()], np.int64)
    kept = np.zeros(len(series.names), np.bool_)
    kept[order[np.cumsum(sizes) <= MOST_TEXT]] = True
    return PatternSeries(series.names, samples).take(kept[samples.what])


def merge_values(values: Sequence[bytes], streams: NDArray[np.uint64], floor: I64 | None) -> bytes | None:
    """The value of a block that takes the place of others; see storage.patterns.PatternKeeper.merged."""
    found = [series for value in values if (series := decode_series(value)) is not None]
    return encode_series(of_streams(join_series(found), streams, floor)) if found else None
