"""What follows from the label sets that a push names, found out once: an agent's next push names the same ones.

Looked at one by one, the ten streams of a push of a hundred lines cost more than its lines: each check asks for each of
them. Kept by the whole list, in its order, and bounded as a LabelCache is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from config.limits import Limits
from gateway.push.detected_level import labels_tell_level
from gateway.push.label_cache import LONGEST, size_of
from gateway.push.label_checks import are_sound
from gateway.push.service_name import with_service_names
from storage.batch import Labels

ROOM = 8 << 20
"""Bytes of label sets in the lists that are kept under one set of limits, about."""

MOST = 64
"""Label sets of a list that is kept: longer ones hardly come twice."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the label sets of a push.

    Attributes:
        streams: with a service_name each, in the push's order.
        are_distinct: none stands there twice.
        are_sound: none is refused for what its labels are.
        tell_level: a label of one of them says a level.
    """

    streams: tuple[Labels, ...]
    are_distinct: bool
    are_sound: bool
    tell_level: bool


def known_streams(streams: Sequence[Labels], limits: Limits) -> Known:
    """What follows from label sets (sorted by name, names may repeat) under a tenant's limits."""
    named = tuple(streams)
    if len(named) > MOST:
        return _found_out(named, limits)
    cache = _cache(
        tuple(limits.discover_service_name),
        tuple(limits.log_level_fields),
        limits.max_label_names_per_series,
        limits.max_label_name_length,
        limits.max_label_value_length,
    )
    known = cache.get(named)
    if known is None:
        known = _found_out(named, limits)
        cache.put(named, known)
    return known


def _found_out(streams: tuple[Labels, ...], limits: Limits) -> Known:
    named = tuple(with_service_names(streams, limits.discover_service_name))
    return Known(
        named,
        len(set(named)) == len(named),
        are_sound(named, limits),
        labels_tell_level(named, limits.log_level_fields),
    )


class _Lists:
    """Lists of label sets -> what is known of them. May be used by several threads."""

    __slots__ = ("_left", "_values", "get")

    def __init__(self) -> None:
        self._left = ROOM
        self._values: dict[tuple[Labels, ...], Known] = {}
        self.get = self._values.get

    def put(self, streams: tuple[Labels, ...], known: Known) -> None:
        """Keeps what is known of a list, unless one of its label sets is a long one."""
        sizes = [size_of(labels) for labels in streams]
        if sizes and max(sizes) > LONGEST:
            return
        self._left -= sum(sizes)
        if self._left < 0:
            self._values.clear()
            self._left = ROOM - sum(sizes)
        self._values[streams] = known

    def __len__(self) -> int:
        return len(self._values)


@lru_cache(maxsize=8)
def _cache(*_: object) -> _Lists:
    """The lists known under limits of these values."""
    return _Lists()
