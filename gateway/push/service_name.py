"""The service_name label that streams without one get (Loki: push, discover_service_name)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from gateway.push.label_cache import LabelCache
from storage.batch import Labels

SERVICE_NAME = "service_name"
UNKNOWN_SERVICE = "unknown_service"
_INTERNAL = frozenset(("__aggregated_metric__", "__pattern__"))


def is_internal(labels: Labels) -> bool:
    """Whether the stream is one of those Loki writes for itself; they are not validated and get no service_name."""
    return any(name in _INTERNAL for name, _ in labels)


def with_service_names(streams: Sequence[Labels], candidates: Sequence[str]) -> list[Labels]:
    """`with_service_name` of every label set; one that comes again gets the same object again."""
    if not candidates:
        return list(streams)
    cache = _cache(tuple(candidates))
    made = []
    for labels in streams:
        found = cache.get(labels)
        if found is None:
            found = with_service_name(labels, candidates)
            cache.put(labels, found)
        made.append(found)
    return made


@lru_cache(maxsize=8)
def _cache(_: tuple[str, ...]) -> LabelCache[Labels]:
    return LabelCache()


def with_service_name(labels: Labels, candidates: Sequence[str]) -> Labels:
    """The label set with a service_name.

    Args:
        labels: sorted by name, no empty values; names may repeat.
        candidates: labels whose value is taken, best first; with none the set stays as it is.
    """
    if not candidates:
        return labels
    found = dict(labels)
    if SERVICE_NAME in found or is_internal(labels):
        return labels
    value = UNKNOWN_SERVICE
    for name in candidates:
        if name in found:
            value = found[name]
            break
    return tuple(sorted((*labels, (SERVICE_NAME, value)), key=_name))


def _name(label: tuple[str, str]) -> str:
    return label[0]
