"""Where settings come from, each turned into the same thing: leaves, which know where they were written.

Nothing here decides whether a value is good, only whether its key is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.aggregator import aggregator_settings
from config.errors import quoted
from config.lokikeys import MARKS, TOP_KEYS
from config.relay_variables import relay_settings
from config.schema import KeyPath, dotted, field_at, group_paths, groups, kind_of, known, unknown_key

PREFIX = "WEIR_"
STANDING_FLAGS = {"--data-dir": "data_dir", "--http": "server.http", "--forward": "forward.listen"}
"""Flags that stand for a setting; an error names them as they were typed."""
OTHER_VARIABLES = frozenset(
    {
        "WEIR_ADDR",
        "WEIR_ORG_ID",
        "WEIR_KEY",
        "WEIR_CA",
        "WEIR_CERT",
        "WEIR_CLIENT_KEY",
        "WEIR_INSECURE",
        "WEIR_KERNEL_CACHE",
    }
)
"""Variables that are no settings of the server: the client commands and the kernel cache read them."""
RETENTION_DAYS = "LOG_RETENTION_DAYS"
"""A variable that other log servers read too, as a number of days; WEIR_RETENTION__PERIOD goes before it."""

_DAYS = re.compile(r"\d+(?:\.\d*)?", re.ASCII)
_SERVICE_LINK = re.compile(
    r"WEIR_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value someone wrote.

    Attributes:
        path: the setting meant.
        value: as written: text, or what YAML makes of it.
        origin: where, for error texts: "weir.yml: memtable.size".
    """

    path: KeyPath
    value: Any
    origin: str


@dataclass(slots=True)
class Layer:
    """The leaves of one source, and what was wrong with the keys of others."""

    leaves: list[Leaf] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def from_tree(tree: Mapping[str, Any], file: Path) -> Layer:
    """The leaves of a settings file."""
    layer = Layer()
    _walk(tree, (), file, layer)
    return layer


def _walk(tree: Mapping[str, Any], above: KeyPath, file: Path, layer: Layer) -> None:
    for key, value in tree.items():
        path = (*above, str(key))
        origin = f"{file}: {dotted(path)}"
        is_group = path in group_paths() or above == ("overrides",)
        if is_group and value is None:
            continue  # a heading whose keys are all commented out
        if is_group and isinstance(value, Mapping):
            _walk(value, path, file, layer)
        elif is_group:
            layer.problems.append(f"{origin}: {quoted(value)} is not a group of keys; {_members(path)}")
        elif len(path) == 1 and path[0] in TOP_KEYS - groups():
            marks = ", ".join(sorted(MARKS))
            layer.problems.append(f"{origin}: unknown key; it is one of Loki's, whose files have one of {marks}")
        elif (setting := field_at(path)) is None:
            layer.problems.append(f"{origin}: {unknown_key(path)}")
        elif kind_of(setting).name == "duration" and type(value) is int and value != 0:
            # ns inside, but nobody who writes 30 means 30 ns
            layer.problems.append(f"{origin}: {value} is not {kind_of(setting).allowed}")
        else:
            layer.leaves.append(Leaf(path, value, origin))


def _members(path: KeyPath) -> str:
    if path == ("overrides",):
        return "it takes tenants, each with limits"
    if path[0] == "overrides":
        return "it takes the names of limits"
    below = dict.fromkeys(key[len(path)] for key in known() if key[: len(path)] == path)
    return "it takes " + ", ".join(below)


def from_variables(variables: Mapping[str, str], file: Path | None = None, *, kubernetes: bool = False) -> Layer:
    """The leaves of WEIR_* variables: `WEIR_` and the path with `__` between its parts, in any case.

    And those of RETENTION_DAYS, of AGGREGATOR_* (config.aggregator) and of UPSTREAM_* and others
    (config.relay_variables), which go behind them.

    Args:
        variables: all variables; others are passed over.
        file: the .env file they stand in, if they do.
        kubernetes: Kubernetes runs the process: it sets WEIR_PORT, WEIR_SERVICE_HOST and the like for a service
            named weir, and nobody has written those.
    """
    layer = Layer()
    _add_days(variables.get(RETENTION_DAYS, "").strip(), f"{file}: {RETENTION_DAYS}" if file else RETENTION_DAYS, layer)
    for given in (*aggregator_settings(variables), *relay_settings(variables)):
        origin = f"{file}: {given.variable}" if file else given.variable
        if given.problem:
            layer.problems.append(f"{origin}: {given.problem}")
        else:
            layer.leaves.append(Leaf(given.path, given.value, origin))
    for name, value in variables.items():
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or (kubernetes and _SERVICE_LINK.fullmatch(name)):
            continue
        origin = f"{file}: {name}" if file else name
        parts = name[len(PREFIX) :].split("__")
        tenant = 1 if parts[0].lower() == "overrides" else -1  # a tenant's name keeps its case
        path = tuple(part if place == tenant else part.lower() for place, part in enumerate(parts))
        _add(path, value, origin, layer, as_variable=True)
    return layer


def _add_days(days: str, origin: str, layer: Layer) -> None:
    """The leaf of RETENTION_DAYS. Empty says nothing, as where a container is given a variable that is not set."""
    if not days:
        return
    if _DAYS.fullmatch(days) is None:
        layer.problems.append(f"{origin}: {quoted(days)} is not a number of days")
        return
    layer.leaves.append(Leaf(("retention", "period"), f"{days}d", origin))


def from_flags(pairs: Sequence[tuple[str, str]]) -> Layer:
    """The leaves of `--set path=value` and of STANDING_FLAGS; the last one of a path holds."""
    layer = Layer()
    for given, value in pairs:
        name = STANDING_FLAGS.get(given, given)
        parts = name.split(".")
        if parts[0] == "overrides" and len(parts) > 3:  # a tenant's name may have dots
            parts = [parts[0], ".".join(parts[1:-1]), parts[-1]]
        _add(tuple(parts), value, given if given in STANDING_FLAGS else f"--set {name}", layer)
    return layer


def _add(path: KeyPath, value: str, origin: str, layer: Layer, *, as_variable: bool = False) -> None:
    if field_at(path) is not None:
        layer.leaves.append(Leaf(path, value, origin))
    elif path in group_paths() or (len(path) == 2 and path[0] == "overrides"):
        layer.problems.append(f"{origin}: names a group of keys; {_members(path)}")
    else:
        layer.problems.append(f"{origin}: {unknown_key(path, as_variable=as_variable)}")
