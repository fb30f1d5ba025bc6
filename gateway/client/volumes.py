"""How much there is, as the command line asks for it: volume, volume by steps, stats. Each one GET; times are ns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.client.answers import Series, decode, decode_query
from gateway.client.connection import Connection
from gateway.client.errors import BadAnswer
from gateway.client.times import SECOND


class Stats(msgspec.Struct, frozen=True):
    """What a selector would read."""

    streams: int
    chunks: int
    bytes: int
    entries: int


class VolumeSeries(msgspec.Struct, frozen=True):
    """Bytes of one series; points are (seconds since the epoch, bytes as text)."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []

    @property
    def points(self) -> list[tuple[int, int]]:
        """(ns, bytes), ascending."""
        found = self.values if self.value is None else [self.value]
        return [(round(stamp * 1000) * (SECOND // 1000), int(size)) for stamp, size in found]


class Volumes:
    """The calls, over one connection; each may raise what `Connection.get` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def volume(
        self,
        query: str,
        start: int,
        end: int,
        *,
        limit: int,
        targets: Sequence[str] = (),
        by_label: bool = False,
        step: int = 0,
    ) -> Series:
        """Bytes by series, the largest `limit` of them; a vector, or with a step (ns) perhaps a matrix.

        Args:
            query: a stream selector, `{}` for all streams.
            start: of the time.
            end: of the time.
            limit: series at most.
            targets: labels to add up by; none: those that the query names.
            by_label: a series for each label name.
            step: ns between points; 0: one point.

        Raises:
            BadAnswer: the answer is not about volume.
        """
        params = [("query", query), ("start", str(start)), ("end", str(end)), ("limit", str(limit))]
        if targets:
            params.append(("targetLabels", ",".join(targets)))
        if by_label:
            params.append(("aggregateBy", "labels"))
        if step:
            params.append(("step", f"{step / SECOND:.9f}".rstrip("0").rstrip(".")))
        path = "loki/api/v1/index/volume_range" if step else "loki/api/v1/index/volume"
        answer = decode_query(self._connection.get(path, params))
        if not isinstance(answer, Series):
            raise BadAnswer("the answer is not one about volume: it has log lines")
        return answer

    def stats(self, query: str, start: int, end: int) -> Stats:
        """What the streams of a selector have in a time."""
        params = [("query", query), ("start", str(start)), ("end", str(end))]
        return decode(self._connection.get("loki/api/v1/index/stats", params), Stats)


def series_of(answer: Series) -> list[VolumeSeries]:
    """The series of an answer about volume. Raises BadAnswer."""
    kind: Any = list[VolumeSeries]
    found: list[VolumeSeries] = decode(answer.json, kind)
    return found
