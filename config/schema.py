"""The keys there are: paths of the settings model, what each holds, and the nearest one to a misspelt key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.limits import Limits
from config.settings import Settings
from config.units import Kind

KeyPath: TypeAlias = tuple[str, ...]
"""Where a value stands: ("memtable", "size"), ("overrides", "acme", "max_line_size")."""

TEXT = Kind("text", "text")
BOOLEAN = Kind("true or false", "true or false")


def dotted(path: KeyPath) -> str:
    """A path as it is written in texts and flags: `memtable.size`."""
    return ".".join(path)


def variable(path: KeyPath) -> str:
    """A path as a variable of the environment: `WEIR_MEMTABLE__SIZE`. A tenant's name keeps its case."""
    tenant = 1 if path[0] == "overrides" else -1
    return "WEIR_" + "__".join(part if place == tenant else part.upper() for place, part in enumerate(path))


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a group of settings."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


@cache
def known() -> dict[KeyPath, FieldInfo]:
    """Every setting by path, without those under `overrides`."""
    return dict(_fields(Settings, ()))


def _fields(model: type[BaseModel], above: KeyPath) -> Iterator[tuple[KeyPath, FieldInfo]]:
    for name, field in model.model_fields.items():
        group = group_of(field)
        if group is None:
            yield (*above, name), field
        else:
            yield from _fields(group, (*above, name))


@cache
def group_paths() -> frozenset[KeyPath]:
    """Paths of the groups of settings, without those of tenants."""
    return frozenset(path[:depth] for path in known() for depth in range(1, len(path))) | {("overrides",)}


@cache
def groups() -> frozenset[str]:
    """Names of the top-level keys that hold further keys."""
    return frozenset(path[0] for path in known() if len(path) > 1) | {"overrides"}


def field_at(path: KeyPath) -> FieldInfo | None:
    """The setting at a path, or None: a tenant's override is the limit of its name."""
    if len(path) == 3 and path[0] == "overrides":
        return Limits.model_fields.get(path[2])
    return None if path == ("overrides",) else known().get(path)


def kind_of(field: FieldInfo) -> Kind:
    """What a setting holds."""
    for mark in field.metadata:
        if isinstance(mark, Kind):
            return mark
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return Kind(", ".join(choices), "one of " + ", ".join(choices))
    return BOOLEAN if field.annotation is bool else TEXT


def unknown_key(path: KeyPath, *, as_variable: bool = False) -> str:
    """What is wrong with a key that is none, and the nearest that is one."""
    if path[0] == "overrides" and len(path) >= 3:
        candidates = [(*path[:2], name) for name in Limits.model_fields]
    else:
        candidates = [*known(), *((name,) for name in groups())]
    found = nearest(path, candidates)
    return f"unknown key; the nearest known key is {variable(found) if as_variable else dotted(found)}"


def nearest(path: KeyPath, candidates: Sequence[KeyPath]) -> KeyPath:
    """The candidate most like a path: the whole of it counts, and so does its last part on its own."""

    def likeness(candidate: KeyPath) -> float:
        whole = SequenceMatcher(None, dotted(path), dotted(candidate)).ratio()
        last = SequenceMatcher(None, path[-1], candidate[-1]).ratio()
        return max(whole, 0.95 * last)  # an equal whole path is better than an equal last part in another group

    return max(candidates, key=likeness)
