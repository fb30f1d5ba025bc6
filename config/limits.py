"""What a tenant may send and ask: Loki's limits_config under its names, with defaults of our own.

Weir takes what the machine can take: rates, stream counts and the age of entries are unlimited unless set. A server
started with a Loki file has Loki's defaults instead (`loki_defaults`), so that it refuses what Loki refuses.
Units: ns and bytes. The rates of `*_mb` are in MiB/s, as Loki's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from config.otlp import OtlpRules
from config.retention import OwnPeriod, StreamRules
from config.units import DAY, HOUR, KB, MB, MINUTE, Count, Duration, Instant, Kind, Names, Size

SERVICE_NAME_LABELS = (
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
)
LEVEL_FIELDS = (
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
)
"""Names searched for a level, best first."""


def _read_rate(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reports ValueError only
    return value


_Rate = Annotated[
    float,
    BeforeValidator(_read_rate),
    Field(ge=0, allow_inf_nan=False),
    Kind("number", "a number from 0, in MB a second"),
]
_Status = Annotated[int, BeforeValidator(_read_rate), Field(ge=200, le=599), Kind("status", "an HTTP status, 200-599")]
_Depth = Annotated[int, BeforeValidator(_read_rate), Kind("number", "a whole number")]
DeletionMode: TypeAlias = Literal["disabled", "filter-only", "filter-and-delete"]


class Limits(BaseModel):
    """What a tenant may send and ask.

    `Limits()` has Weir's defaults, `Limits(**loki_defaults())` Loki's.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
    )

    # -- requests
    max_recv_msg_size: Size = 100 * MB
    """Largest push body as sent (compressed); above it 413. Loki: distributor.max_recv_msg_size."""
    max_decompressed_size: Size = 5000 * MB
    """Largest push body once decompressed, checked before decompressing; above it 413. Loki: distributor."""

    # -- times
    reject_old_samples: bool = False
    """Refuse entries older than reject_old_samples_max_age."""
    reject_old_samples_max_age: Duration = 7 * DAY
    """The age meant by reject_old_samples."""
    creation_grace_period: Duration = 10 * MINUTE
    """How far in the future an entry's time may be."""
    out_of_order_window: Duration = 0
    """How far behind its stream's newest entry an entry may be; 0: any order (LOKI-DIFF(3)).
    Loki: half of ingester.max_chunk_age."""
    increment_duplicate_timestamp: bool = False
    """Within a push, give an entry with the time of the one before it and another line the next nanosecond."""

    # -- lines
    max_line_size: Size = 256 * KB
    """Longest line; longer ones are refused, or cut where max_line_size_truncate is on; 0: no limit."""
    max_line_size_truncate: bool = False
    """Cut lines longer than max_line_size instead of refusing them."""
    max_line_size_truncate_identifier: str = ""
    """Text put at the end of a cut line; it counts in max_line_size."""

    # -- labels
    max_label_name_length: Count = 1024
    """Longest label name, in bytes."""
    max_label_value_length: Count = 2048
    """Longest label value, in bytes."""
    max_label_names_per_series: Count = 15
    """Labels a stream may have, not counting a service_name that was discovered."""
    enforced_labels: Names = ()
    """Labels every stream must have."""

    # -- structured metadata
    allow_structured_metadata: bool = True
    """Take structured metadata; without it such entries are refused."""
    max_structured_metadata_size: Size = 64 * KB
    """Bytes of names and values of one entry's structured metadata; 0: no limit."""
    max_structured_metadata_entries_count: Count = 128
    """Pairs in one entry's structured metadata; 0: no limit."""

    # -- what is derived
    discover_service_name: Names = SERVICE_NAME_LABELS
    """Labels of which the first present one becomes service_name; empty: no service_name is added."""
    discover_log_levels: bool = True
    """Detect each entry's level and keep it as detected_level."""
    log_level_fields: Names = LEVEL_FIELDS
    """Labels and fields that hold a level, in order of preference."""
    log_level_from_json_max_depth: _Depth = 2
    """Levels of objects searched for a level in JSON lines; 0 or less: all."""

    # -- OTLP
    otlp_config: OtlpRules = None
    """What becomes of OTLP attributes: index labels, structured metadata or nothing; [the rules](api.md#otlp)."""

    # -- blocking and rates
    block_ingestion_until: Instant = 0
    """Refuse pushes until this time."""
    block_ingestion_status_code: _Status = 260
    """Status of a push refused by block_ingestion_until; 200: dropped silently."""
    ingestion_rate_mb: _Rate = 0.0
    """MB a second a tenant may push; 0: no limit."""
    ingestion_burst_size_mb: _Rate = 0.0
    """MB a tenant may push at once where ingestion_rate_mb is set."""
    max_streams_per_user: Count = 0
    """Streams a tenant may have active; 0: no limit. With max_global_streams_per_user set too, the lower one holds."""
    max_global_streams_per_user: Count = 0
    """As max_streams_per_user, of which a single server makes no difference."""
    per_stream_rate_limit: Size = 0
    """Bytes a second one stream may take; 0: no limit."""
    per_stream_rate_limit_burst: Size = 0
    """Bytes one stream may take at once where per_stream_rate_limit is set."""
    max_returned_stream_errors: Count = 10
    """Refused entries a stream's error text lists before it only counts them; 0: all. Loki: ingester."""

    # -- queries
    max_entries_limit_per_query: Count = 5000
    """Largest `limit` of a log query; 0: no limit."""
    max_query_length: Duration = 721 * HOUR
    """Longest time range of a query; 0: no limit."""
    max_query_lookback: Duration = 0
    """How far back queries see; 0: everything."""
    max_query_range: Duration = 0
    """Longest [range] in a metric query; 0: no limit."""
    max_query_series: Count = 500
    """Series a metric query may return."""
    max_query_bytes_read: Size = 0
    """Bytes a query may read; 0: no limit."""
    max_streams_matchers_per_query: Count = 1000
    """Label matchers a query may have."""
    required_labels: Names = ()
    """Labels a query's selector must name."""
    minimum_labels_number: Count = 0
    """Matchers a query's selector must have at least."""
    query_timeout: Duration = 0
    """Longest time a query may take; 0: query.timeout."""
    max_concurrent_tail_requests: Count = 10
    """Live tails a tenant may have open; 0: any number."""
    volume_enabled: bool = True
    """Answer the log volume endpoints (Loki's own default is not to)."""
    volume_max_series: Count = 1000
    """Series that may be added up for an answer about log volume, before the largest are chosen; 0: any number."""

    # -- retention
    retention_period: OwnPeriod = None
    """Age at which entries expire, from 1h; 0: never; none: as retention.period says."""
    retention_stream: StreamRules = ()
    """Ages for the streams of a selector, which go before retention_period; [the rules](retention.md#streams)."""
    deletion_mode: DeletionMode = "filter-and-delete"
    """What becomes of deletes: `filter-only` hides lines and leaves them on disk, `disabled` takes no deletes."""


_AT_MOST = (
    "max_entries_limit_per_query",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "max_query_bytes_read",
    "max_streams_matchers_per_query",
    "query_timeout",
    "volume_max_series",
)
"""Limits of queries of which 0 is none and less is stricter."""


def strictest(limits: Sequence[Limits]) -> Limits:
    """What a query that reads several tenants is held to: of each limit of queries the strictest.

    The labels that a query must name add up. What is no limit of queries is the first tenant's.
    """
    found: dict[str, Any] = {
        name: min(filter(None, (getattr(each, name) for each in limits)), default=0) for name in _AT_MOST
    }
    found["minimum_labels_number"] = max(each.minimum_labels_number for each in limits)
    found["required_labels"] = tuple(dict.fromkeys(name for each in limits for name in each.required_labels))
    found["volume_enabled"] = all(each.volume_enabled for each in limits)
    return limits[0].model_copy(update=found)


def loki_defaults() -> dict[str, Any]:
    """Loki's defaults of the limits where they are not Weir's, by name: ns, bytes, MiB/s."""
    return {
        "reject_old_samples": True,
        "out_of_order_window": HOUR,
        "ingestion_rate_mb": 4.0,
        "ingestion_burst_size_mb": 6.0,
        "max_global_streams_per_user": 5000,
        "per_stream_rate_limit": 3 * MB,
        "per_stream_rate_limit_burst": 15 * MB,
        "query_timeout": MINUTE,
    }
