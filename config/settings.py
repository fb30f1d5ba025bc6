"""The settings of a server: one frozen model of groups, each read by one part of Weir.

Values are plain: int ns, int bytes, str, bool. Only load.py makes a Settings from what people write; nothing here reads
a file or the environment. The text under each field is its entry in docs/settings.md.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SerializerFunctionWrapHandler
from pydantic import field_serializer as serializer

from config.address import split_address
from config.auth import Auth
from config.collector import Collector
from config.emitters import Emit, Emitters
from config.forward import Forward
from config.limits import Limits, strictest
from config.notify import Notifiers
from config.patterns import Patterns
from config.relay import InstanceName, SingleUpstream, Upstreams
from config.retention import Retention
from config.tls import Tls
from config.units import HOUR, KB, MB, MINUTE, SECOND, Duration, Kind, Positive, Size


def _cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def _read_address(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004 - pydantic reports ValueError only
    split_address(value.strip())
    return value.strip()


def _read_prefix(value: Any) -> str:
    """As a route prefix: no slash at the end, so that prefix + path is a path; "/" is no prefix."""
    if not isinstance(value, str) or (value and not value.startswith("/")):
        raise ValueError("no path")
    return value.rstrip("/")


def _read_named(value: Any) -> Any:
    """Refuses what a variable that was left empty would bring: a nameless tenant, the working directory."""
    if value == "":
        raise ValueError("empty")
    return value


Address = Annotated[str, BeforeValidator(_read_address), Kind("address", "host:port, such as 127.0.0.1:3100")]
Prefix = Annotated[str, BeforeValidator(_read_prefix), Kind("path", "a path that begins with /, or empty")]
Tenant = Annotated[str, BeforeValidator(_read_named), Kind("text", "a tenant's name")]
Directory = Annotated[Path, BeforeValidator(_read_named), Kind("path", "a path")]
Level = Annotated[int, Field(ge=1, le=22), Kind("number", "a whole number from 1 to 22")]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Server(_Group):
    """The HTTP door."""

    http: Address = "127.0.0.1:3100"
    """Where to listen; port 0 takes a free one, a missing host means every interface."""
    path_prefix: Prefix = ""
    """Path put before every route, such as /logs."""
    shutdown_timeout: Duration = 30 * SECOND
    """Time that requests in flight get to end after SIGTERM."""
    keep_alive: Duration = 120 * SECOND
    """Time after which an idle connection is closed."""
    max_connections: Positive = 1000
    """Connections open at once; further ones get 503."""
    ingest_in_flight: Size = 256 * MB
    """Bytes of push bodies being worked on, unpacked; above it pushes wait, a single one above it gets 413."""
    push_wait: Duration = 10 * SECOND
    """Longest such wait; after it the push gets 503."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `http`."""
        return split_address(self.http)


class Tenancy(_Group):
    """Whose logs a request means."""

    enabled: bool = False
    """Require the header X-Scope-OrgID (Loki: auth_enabled)."""
    default: Tenant = "fake"
    """The tenant of every request while tenancy is off (Loki: no_auth_tenant)."""
    several: bool = True
    """Let a query read several tenants, `X-Scope-OrgID: a|b` (Loki: querier.multi_tenant_queries_enabled)."""
    overrides_file: str = ""
    """File with `overrides:` as below, which go over those here; read again when it changes, or on SIGHUP."""
    overrides_period: Duration = 10 * SECOND
    """How often that file, or the one that a Loki file names, is looked at; 0: on SIGHUP only."""


class Wal(_Group):
    """The write-ahead log."""

    sync: Annotated[
        Literal["commit", "interval", "off"],
        # a YAML 1.1 writer turns a bare off into false
        BeforeValidator(lambda value: "off" if value is False else value),
    ] = "commit"
    """When pushes reach the disk: commit (before they are acknowledged), interval, or off (when the system likes)."""
    interval: Duration = SECOND
    """Time between syncs with sync: interval."""
    segment_size: Size = 64 * MB
    """Size at which a new segment is begun."""
    reserve: Size = 64 * MB
    """Disk space held back, so that flush and replay work on a full disk; 0: none."""


class Memtable(_Group):
    """What is in memory until it is flushed to blocks."""

    size: Size = 64 * MB
    """Bytes over all tenants at which the memtable is flushed."""
    max_age: Duration = 30 * MINUTE
    """Age at which the memtable is flushed."""
    small_tenant: Size = MB
    """A tenant with fewer bytes waits for a later flush, so that few lines do not make many files."""
    small_tenant_max_age: Duration = 2 * HOUR
    """Age at which small tenants are flushed as well."""


class Block(_Group):
    """Blocks: the Parquet files."""

    row_group_rows: Positive = 32 * KB
    """Rows in a row group, the unit that a query reads."""
    row_group_size: Size = 8 * MB
    """Bytes of lines in a row group, where that comes first."""
    compression_level: Level = 1
    """zstd level of blocks written by a flush."""


class Deletes(_Group):
    """What is deleted on request."""

    cancel_period: Duration = 5 * MINUTE
    """Time in which a delete can be called off (Loki: delete_request_cancel_period); its entries are out of sight at
    once, and on the disk at least so long. 0: it is carried out as soon as possible."""


class Compaction(_Group):
    """Joining blocks: the small ones of a day become few large ones, without what was deleted or has expired."""

    enabled: bool = True
    """Whether the server compacts by itself; `weir compact` does it while no server runs."""
    level: Level = 6
    """zstd level of blocks written by compaction."""
    max_block_size: Size = 256 * MB
    """Bytes of files that are joined to one, at most."""


class Query(_Group):
    """Queries of all tenants."""

    threads: Positive = Field(default_factory=_cores)
    """Threads that read and filter."""
    max_concurrent: Positive = 16
    """Queries that run at once; further ones wait for their turn within their timeout."""
    timeout: Duration = MINUTE
    """Longest time a query may take, for tenants whose limits.query_timeout is 0."""
    max_memory: Size = 512 * MB
    """Bytes that one query may hold in memory; above it the query gets 400. 0: no limit."""
    result_cache_bytes: Size = 64 * MB
    """Bytes of results of metric queries over blocks that are kept for the next query, over all tenants. 0: none."""
    max_exports: Positive = 4
    """Exports (GET /weir/v1/export) that run at once; further ones get 429. They have no timeout."""
    log_slower_than: Duration = 5 * SECOND
    """A query that takes so long is logged with what it did, and kept for GET /weir/v1/queries/slow; 0: none is."""


class Log(_Group):
    """The server's own log, on standard error, and the door POST /log."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least severity that is written."""
    format: Literal["text", "json"] = "text"
    """One line of text or one JSON object an event."""
    max_bulk_bytes: Size = 10 * MB
    """Largest array or NDJSON body of POST /log; above it 413."""


class Settings(_Group):
    """All settings. `Settings()` has the defaults; values from users come through config.load."""

    data_dir: Directory = Path("data")
    """Directory of everything on disk; one server at a time."""
    instance_name: InstanceName = Field(default_factory=socket.gethostname)
    """What this server calls itself towards others; empty: the name of the machine."""
    server: Server = Server()
    tenancy: Tenancy = Tenancy()
    auth: Auth = Auth()
    tls: Tls = Tls()
    wal: Wal = Wal()
    memtable: Memtable = Memtable()
    block: Block = Block()
    compaction: Compaction = Compaction()
    retention: Retention = Retention()
    deletes: Deletes = Deletes()
    query: Query = Field(default_factory=Query)
    patterns: Patterns = Patterns()
    log: Log = Log()
    forward: Forward = Forward()
    collector: Collector = Collector()
    upstream: SingleUpstream = SingleUpstream()
    upstreams: Upstreams = ()
    """Several servers that what comes in is passed on to, each as `upstream` with a name and a url: `docs/relay.md`."""
    emit: Emit = Emit()
    emitters: Emitters = ()
    """Where else what comes in is written: files, standard output, another Loki, by kind: `docs/emitters.md`."""
    notify: Notifiers = ()
    """Who is told when a relay cannot deliver or something is wrong with this server: `docs/notifiers.md`."""
    limits: Limits = Limits()
    overrides: Annotated[
        dict[str, Limits], Kind("limits by tenant", "tenants with the limits they have of their own")
    ] = {}
    """Limits of single tenants: `overrides: {tenant: {max_line_size: 1MB}}`; what is not named is as in limits."""

    _by_tenant: dict[str, Limits] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: object) -> None:
        """Work out each named tenant's limits once: limits_for is asked for every request."""
        for tenant, own in self.overrides.items():
            named = {name: getattr(own, name) for name in own.model_fields_set}
            self._by_tenant[tenant] = self.limits.model_copy(update=named)

    def with_overrides(self, overrides: dict[str, Limits]) -> Settings:
        """The same settings with other limits of single tenants."""
        made = self.model_copy(update={"overrides": overrides})
        made._by_tenant = {}  # noqa: SLF001 - of the same class: model_copy shares it
        made.model_post_init(None)
        return made

    def limits_for(self, tenant: str) -> Limits:
        """The limits that hold for a tenant: its overrides over the common ones.

        Of several (`a|b`) what is asked of queries is what the strictest of them allows.
        """
        found = self._by_tenant.get(tenant)
        if found is None and "|" in tenant:
            return strictest([self.limits_for(each) for each in tenant.split("|")])
        return self.limits if found is None else found

    @property
    def has_stream_rules(self) -> bool:
        """Whether there are retention rules with selectors, which nothing here can check."""
        return any(limits.retention_stream for limits in (self.limits, *self.overrides.values()))

    @property
    def has_relays(self) -> bool:
        """Whether anything is passed on or emitted: with selectors and certificates, which nothing here can check."""
        return self.upstream.enabled or bool(self.upstreams or self.emitters)

    @serializer("overrides", mode="wrap")
    def _only_named(self, overrides: dict[str, Limits], _default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A tenant's overrides as they were given: the defaults of the rest would hide the common limits."""
        return {tenant: own.model_dump(mode="json", exclude_unset=True) for tenant, own in overrides.items()}
