"""A Loki settings file as Weir's settings.

Three fates for a key: it is mapped (MAPPED, and limits_config name by name), or it has no use here and is noted once,
or it would change answers or durability and is refused. An unknown key is an error, as it is for Loki.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.errors import ConfigError, quoted
from config.limits import Limits, loki_defaults
from config.lokikeys import (
    KEYS,
    LATER_BLOCKS,
    LATER_LIMITS,
    MARKS,
    OPEN_BLOCKS,
    REFUSED,
    TOP_KEYS,
    UNUSED_BLOCKS,
    UNUSED_LIMITS,
    Refusal,
)
from config.schema import KeyPath, groups, kind_of, known, nearest
from config.sources import Layer, Leaf
from config.units import format_duration, parse_go_duration, parse_prometheus_duration
from config.yamlfile import read_yaml

_LIMITS = frozenset(Limits.model_fields) - {
    "max_recv_msg_size",
    "max_decompressed_size",
    "out_of_order_window",
    "max_returned_stream_errors",
}
"""Our limits that stand in limits_config; Loki has the others elsewhere."""

_YES = frozenset({"yes", "y", "on", "true"})
_NO = frozenset({"no", "n", "off", "false"})


def _same(value: Any) -> Any:
    return value


def _go(value: Any) -> str:
    return format_duration(parse_go_duration(_text(value)))


def _half(value: Any) -> str:
    return format_duration(parse_go_duration(_text(value)) // 2)


def _prometheus(value: Any) -> str:
    return format_duration(parse_prometheus_duration(_text(value)))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, int) and value):
        raise ValueError("a number without a unit")
    return str(value)


def _tls_version(value: Any) -> str:
    versions = {"": "1.2", "VersionTLS10": "1.2", "VersionTLS11": "1.2", "VersionTLS12": "1.2", "VersionTLS13": "1.3"}
    if value not in versions:
        raise ValueError("another version")
    return versions[value]


def _log_format(value: Any) -> Any:
    return "text" if value == "logfmt" else value


_GO = "a duration of Go's, with a unit up to h, such as 30s, 1m30s, 168h"
_PROMETHEUS = "a duration of Prometheus', in whole numbers, such as 30s, 1h30m, 7d"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A Loki key and the setting it becomes.

    Attributes:
        key: dotted, as in Loki's file.
        path: the setting.
        read: turns Loki's value into one of the setting; ValueError where Loki would refuse it.
        allowed: what Loki takes, for the error text.
        meaning: for docs/settings.md, where it is more than the same value.
    """

    key: str
    path: KeyPath
    read: Callable[[Any], Any] = _same
    allowed: str = ""
    meaning: str = ""


MAPPED = (
    Mapped("auth_enabled", ("tenancy", "enabled"), meaning="true where the file does not say, as in Loki"),
    Mapped("no_auth_tenant", ("tenancy", "default")),
    Mapped("server.log_level", ("log", "level")),
    Mapped("server.log_format", ("log", "format"), _log_format, meaning="logfmt is text"),
    Mapped("server.http_path_prefix", ("server", "path_prefix")),
    Mapped("server.graceful_shutdown_timeout", ("server", "shutdown_timeout"), _go, _GO),
    Mapped("server.http_server_idle_timeout", ("server", "keep_alive"), _go, _GO),
    Mapped("server.http_tls_config.cert_file", ("tls", "cert"), meaning="for Fluent Forward too"),
    Mapped("server.http_tls_config.key_file", ("tls", "key")),
    Mapped(
        "server.http_tls_config.client_ca_file",
        ("tls", "client_ca"),
        meaning="clients must show a certificate, whatever client_auth_type says",
    ),
    Mapped(
        "server.tls_min_version", ("tls", "min_version"), _tls_version, "VersionTLS12 or VersionTLS13", "1.2 or 1.3"
    ),
    Mapped("distributor.max_recv_msg_size", ("limits", "max_recv_msg_size")),
    Mapped("distributor.max_decompressed_size", ("limits", "max_decompressed_size")),
    Mapped("ingester.chunk_idle_period", ("memtable", "max_age"), _go, _GO),
    Mapped("ingester.max_chunk_age", ("limits", "out_of_order_window"), _half, _GO, "half of it"),
    Mapped("ingester.max_returned_stream_errors", ("limits", "max_returned_stream_errors")),
    Mapped(
        "ingester.max_streams_per_user",
        ("limits", "max_streams_per_user"),
        meaning="old place; limits_config goes before it. max_global_streams_per_user is then off unless set",
    ),
    Mapped("compactor.delete_request_cancel_period", ("deletes", "cancel_period"), _go, _GO),
    Mapped("querier.max_concurrent", ("query", "max_concurrent")),
    Mapped("limits_config.per_tenant_override_period", ("tenancy", "overrides_period"), _go, _GO, "old place"),
    Mapped("runtime_config.period", ("tenancy", "overrides_period"), _go, _GO),
    Mapped(
        "querier.multi_tenant_queries_enabled",
        ("tenancy", "several"),
        meaning="false where the file does not say, as in Loki",
    ),
    Mapped("pattern_ingester.enabled", ("patterns", "enabled"), meaning="true where the file does not say"),
    Mapped("querier.query_timeout", ("limits", "query_timeout"), _go, _GO, "old place; limits_config goes before it"),
    Mapped(
        "chunk_store_config.max_look_back_period",
        ("limits", "max_query_lookback"),
        _go,
        _GO,
        "old place; limits_config goes before it",
    ),
)
"""Keys that become one setting each. More than one key goes into server.http, data_dir and retention.period."""


DIRECTORIES = (
    "common.path_prefix",
    "common.storage.filesystem.chunks_directory",
    "storage_config.filesystem.directory",
)
"""Where Loki keeps its data; the first that is given counts."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a Loki file comes to.

    Attributes:
        layer: the settings it makes, and what is wrong with it.
        notes: what it says that is not used.
        overrides_files: where it has limits of single tenants from.
    """

    layer: Layer
    notes: tuple[str, ...]
    overrides_files: tuple[Path, ...] = ()


def is_loki_file(tree: Mapping[str, Any]) -> bool:
    """Whether a settings file is Loki's and not Weir's."""
    return not MARKS.isdisjoint(tree)


def loki_limits() -> Layer:
    """Loki's defaults of the limits, as the lowest layer."""
    defaults = Limits(**loki_defaults()).model_dump(mode="json", exclude_unset=True)
    return Layer([Leaf(("limits", name), value, "Loki's defaults") for name, value in defaults.items()])


def translate(tree: Mapping[str, Any], file: Path) -> Translation:
    """The settings that a Loki file means."""
    reading = _Reading(tree, file)
    _check_keys(reading)
    _check_refused(reading)
    _check_storage(reading)
    for row in MAPPED:
        _map(row, reading)
    _map_address(reading)
    _map_connections(reading)
    _map_directory(reading)
    _map_limits(reading)
    return Translation(reading.layer, tuple(_notes(reading)), tuple(reading.overrides_files))


@dataclass(slots=True)
class _Reading:
    """A file being translated: what it says, and what has come of it so far."""

    tree: Mapping[str, Any]
    file: Path
    layer: Layer = field(default_factory=Layer)
    used: set[str] = field(default_factory=set)
    later: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overrides_files: list[Path] = field(default_factory=list)

    def look(self, key: str) -> Any:
        """The value of a dotted key; None where it is not given or given empty, which to Loki is the same."""
        value: Any = self.tree
        for part in key.split("."):
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        return value

    def get(self, key: str) -> Any:
        """As look, of a key that is then used."""
        self.used.add(key)
        return self.look(key)

    def is_on(self, key: str) -> bool:
        """Whether a switch is on; a value that is no boolean is a problem."""
        value = _boolean(self.get(key))
        if isinstance(value, bool):
            return value
        if value is not None:
            self.refuse(key, f"{quoted(value)} is not true or false")
        return False

    def put(self, path: KeyPath, value: Any, key: str) -> None:
        """Take a value for a setting; a later one for the same goes before it."""
        self.layer.leaves.append(Leaf(path, value, f"{self.file}: {key}"))

    def refuse(self, key: str, why: str) -> None:
        """Note a problem."""
        self.layer.problems.append(f"{self.file}: {key}: {why}")


def _boolean(value: Any) -> Any:
    """A value with YAML 1.1's yes, no, on, off as booleans, as Loki reads them."""
    if isinstance(value, str) and value.lower() in _YES | _NO:
        return value.lower() in _YES
    return value


def _check_keys(reading: _Reading) -> None:
    for block, contents in reading.tree.items():
        if block not in TOP_KEYS and (block in groups() or (block,) in known()):
            reading.refuse(block, "is a setting of Weir's own; beside a Loki file it is given by a flag or a variable")
        elif block not in TOP_KEYS:
            reading.refuse(block, _unknown("", block, TOP_KEYS))
        elif block in LATER_BLOCKS:
            reading.later.append(block)
        elif block in UNUSED_BLOCKS:
            reading.unused.append(block)
        elif block in KEYS or block in OPEN_BLOCKS:
            _check_block(block, contents, reading)


def _check_block(block: str, contents: Any, reading: _Reading) -> None:
    if contents is None:
        return
    if not isinstance(contents, Mapping):
        reading.refuse(block, f"{quoted(contents)} is not a group of keys")
        return
    for key in contents:
        if block not in OPEN_BLOCKS and key not in KEYS[block]:
            reading.refuse(f"{block}.{key}", _unknown(block, str(key), KEYS[block]))
        else:
            reading.unused.append(f"{block}.{key}")  # _notes leaves out what is used after all


def _unknown(block: str, key: str, names: Iterable[str]) -> str:
    found = nearest((key,), [(name,) for name in sorted(names)])[0]
    return f"unknown key; the nearest known key of Loki is {block + '.' if block else ''}{found}"


def _check_refused(reading: _Reading) -> None:
    for key, refusal in REFUSED.items():
        if not key.startswith("limits_config."):  # those a tenant may have too: _map_block
            _refuse_unless_harmless(key, reading.look(key), refusal, reading)


def _refuse_unless_harmless(key: str, value: Any, refusal: Refusal, reading: _Reading) -> None:
    value = _boolean(value)
    empty = isinstance(value, list | Mapping) and not _has_content(value)
    if key == "target" and "all" in str(value).split(","):
        return
    if not empty and value not in refusal.harmless:
        reading.refuse(key, f"{quoted(value)} cannot be had: {refusal.why}")


def _has_content(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_content, value.values()))
    return bool(value)


def _check_storage(reading: _Reading) -> None:
    """Where Loki would write today: object storage instead of a local disk is a promise Weir cannot keep."""
    periods = reading.look("schema_config.configs")
    if not isinstance(periods, list) or not periods or not isinstance(periods[-1], Mapping):
        return
    place = periods[-1].get("object_store") or periods[-1].get("store")
    local = {"filesystem", "boltdb", "boltdb-shipper", "tsdb", "inmemory", None}
    for key in ("storage_config.named_stores.filesystem", "storage_config.object_store.named_stores.filesystem"):
        local |= set(reading.look(key) or ())
    if place not in local:
        reading.refuse(
            "schema_config.configs.object_store",
            f"{quoted(place)} cannot be had: Weir keeps its data in a local directory",
        )


_UNSAID = {"auth_enabled": True, "querier.multi_tenant_queries_enabled": False}
"""What Loki takes where its file does not say, and Weir's own default is another."""


def _map(row: Mapped, reading: _Reading) -> None:
    value = reading.get(row.key)
    if value is None:
        if row.key in _UNSAID:
            reading.put(row.path, value=_UNSAID[row.key], key=row.key)
        return
    try:
        reading.put(row.path, row.read(value), row.key)
    except ValueError:
        reading.refuse(row.key, f"{quoted(value)} is not {row.allowed}")
        return
    if row.key == "ingester.max_streams_per_user":
        # Files from before the global limit mean this number; its later default of 5,000 would undercut it.
        reading.put(("limits", "max_global_streams_per_user"), 0, row.key)


def _map_address(reading: _Reading) -> None:
    """Loki listens on every interface, port 3100, where the file says nothing."""
    address = reading.get("server.http_listen_address") or "0.0.0.0"
    port = reading.get("server.http_listen_port") or 3100
    if ":" in str(address):
        address = f"[{str(address).strip('[]')}]"
    reading.put(("server", "http"), f"{address}:{port}", "server.http_listen_address and http_listen_port")


def _map_connections(reading: _Reading) -> None:
    """0 and less is no limit for Loki; here the limit is what the process can hold, so ours stays."""
    limit = reading.get("server.http_listen_conn_limit")
    if limit is not None and not (isinstance(limit, int) and limit <= 0):
        reading.put(("server", "max_connections"), limit, "server.http_listen_conn_limit")


def _map_directory(reading: _Reading) -> None:
    """A directory of its own beside Loki's: both keep a folder named wal."""
    for key in DIRECTORIES:
        directory = reading.get(key)
        if directory:
            place = Path(str(directory)) / "weir"
            reading.put(("data_dir",), str(place), key)
            reading.notes.append(f"{reading.file}: {key}: Weir's data_dir is {place}; what Loki stored is not read")
            return


def _map_limits(reading: _Reading) -> None:
    by_compactor = reading.is_on("compactor.retention_enabled")
    _map_table_manager(reading)
    _map_block(reading.get("limits_config"), ("limits",), "limits_config", reading, deletes=by_compactor)
    files = reading.get("runtime_config.file") or reading.get("limits_config.per_tenant_override_config") or ""
    for name in filter(None, str(files).split(",")):
        reading.overrides_files.append(Path(name.strip()))
        _map_overrides(Path(name.strip()), reading, deletes=by_compactor)


def _map_table_manager(reading: _Reading) -> None:
    """What deleted before the compactor did, by an age of its own for all tenants."""
    key = "table_manager.retention_period"
    period = reading.get(key)
    if period is not None and reading.is_on("table_manager.retention_deletes_enabled"):
        try:
            reading.put(("retention", "period"), _prometheus(period), key)
        except ValueError:
            reading.refuse(key, f"{quoted(period)} is not {_PROMETHEUS}")
    elif period:
        reading.notes.append(f"{reading.file}: {key}: nothing is deleted: retention_deletes_enabled is not true")


def _map_overrides(file: Path, reading: _Reading, *, deletes: bool) -> None:
    """Limits of single tenants: Loki has them in a file of its own, which it reads again from time to time."""
    try:
        tenants = read_yaml(file).get("overrides") or {}
    except ConfigError as error:
        reading.layer.problems += error.problems
        return
    inner = _Reading({}, file, reading.layer, later=reading.later, unused=reading.unused, notes=reading.notes)
    if not isinstance(tenants, Mapping):
        inner.refuse("overrides", f"{quoted(tenants)} is not a group of keys")
        return
    for tenant, limits in tenants.items():
        _map_block(limits, ("overrides", str(tenant)), f"overrides.{tenant}", inner, deletes=deletes)


_OF_OVERRIDES = frozenset({"per_tenant_override_config", "per_tenant_override_period"})


def _map_block(limits: Any, above: KeyPath, block: str, reading: _Reading, *, deletes: bool) -> None:
    """A set of limits, common or a tenant's. `deletes`: the compactor acts on retention_period and retention_stream."""
    if limits is None:
        return
    if not isinstance(limits, Mapping):
        reading.refuse(block, f"{quoted(limits)} is not a group of keys")
        return
    for name, value in limits.items():
        key = f"{block}.{name}"
        if name in LATER_LIMITS:
            reading.later.append(key)
        elif name in UNUSED_LIMITS:
            reading.unused.append(key)
        elif (refusal := REFUSED.get(f"limits_config.{name}")) is not None:
            _refuse_unless_harmless(key, value, refusal, reading)
        elif name in _OF_OVERRIDES and block == "limits_config":
            continue  # read in _map_limits, and one of MAPPED
        elif name not in _LIMITS:
            reading.refuse(key, _unknown(block, str(name), _LIMITS | LATER_LIMITS | UNUSED_LIMITS))
        elif name in ("retention_period", "retention_stream") and not deletes:
            if value:
                reading.notes.append(
                    f"{reading.file}: {key}: nothing is deleted: compactor.retention_enabled is not true"
                )
        elif value is not None:
            common = name == "retention_period" and above == ("limits",)
            _map_limit(name, value, ("retention", "period") if common else (*above, name), key, reading)


def _map_limit(name: str, value: Any, path: KeyPath, key: str, reading: _Reading) -> None:
    if kind_of(Limits.model_fields[name]).name != "duration":
        reading.put(path, value, key)
        return
    try:
        reading.put(path, _prometheus(value), key)
    except ValueError:
        reading.refuse(key, f"{quoted(value)} is not {_PROMETHEUS}")


def _notes(reading: _Reading) -> Iterable[str]:
    yield from reading.notes
    used = [f"{key}." for key in reading.used]
    unused = [
        key for key in reading.unused if key not in REFUSED and not any(use.startswith(f"{key}.") for use in used)
    ]
    if unused:
        yield f"{reading.file}: not used: {', '.join(unused)}"
    if reading.later:
        yield f"{reading.file}: not used yet: {', '.join(reading.later)}"
