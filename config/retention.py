"""How long entries are kept, and how much disk they may take.

Ages by tenant and by stream are limits (limits.retention_period, limits.retention_stream), as in Loki. What a selector
means is not known here: whoever reads the rules parses it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from config.units import HOUR, Kind, Size, format_duration, format_size, parse_duration, parse_size

SHORTEST = HOUR
"""Least age at which entries may expire, ns: the difference to a clock that is a little wrong has to be large."""

_PERCENT = re.compile(r"(\d{1,2}(?:\.\d+)?)\s*%", re.ASCII)


def _read_period(value: Any) -> Any:
    if isinstance(value, str):
        value = parse_duration(value.strip())
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("neither text nor a whole number")  # noqa: TRY004 - pydantic reports ValueError only
    if value != 0 and value < SHORTEST:
        raise ValueError("too short")
    return value


def _read_own_period(value: Any) -> Any:
    return None if value is None else _read_period(value)


def _read_free(value: Any) -> Any:
    """Bytes as a whole number, a percentage as a part of 1."""
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value.strip())
        return float(percent[1]) / 100 if percent else parse_size(value.strip())
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("neither a size nor a percentage")
    return value


def _format_free(value: float) -> str:
    return format_size(value) if isinstance(value, int) else f"{round(value * 100, 6):g}%"


def _read_rules(value: Any) -> Any:
    """A variable or a flag has them as one line of YAML or JSON."""
    if not isinstance(value, str):
        return value if value is not None else ()
    try:
        return yaml.safe_load(value) or ()
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


_SERIALIZER = PlainSerializer(format_duration, return_type=str, when_used="json")
_ALLOWED = "a duration of 1h or more, such as 36h, 30d, 1y, or 0 to keep everything"

Period: TypeAlias = Annotated[int, BeforeValidator(_read_period), _SERIALIZER, Kind("duration", _ALLOWED)]
"""ns; 0: for ever."""
OwnPeriod: TypeAlias = Annotated[
    int | None,
    BeforeValidator(_read_own_period),
    PlainSerializer(lambda ns: None if ns is None else format_duration(ns), when_used="json"),
    Kind("duration", _ALLOWED),
]
"""As Period; None: what holds for all."""
FreeSpace: TypeAlias = Annotated[
    int | float,
    BeforeValidator(_read_free),
    PlainSerializer(_format_free, return_type=str, when_used="json"),
    Kind("size or percentage", "a size such as 500MB or 20GB, a percentage below 100 such as 10%, or 0"),
]
"""Bytes, or as a float a part of the file system."""


class StreamRetention(BaseModel):
    """How long the streams that a selector matches are kept.

    Of several rules that match one stream the one with the greatest priority counts, of those the shortest period.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: str
    period: Period
    priority: int = 0


StreamRules: TypeAlias = Annotated[
    tuple[StreamRetention, ...],
    BeforeValidator(_read_rules),
    Kind(
        "rules",
        "a list of rules, each with a selector, a period of 1h or more (0: for ever) and perhaps a priority "
        "(in a variable or a flag: as one line of YAML)",
    ),
]


class Retention(BaseModel):
    """When old entries go. limits.retention_period and limits.retention_stream say it by tenant and by stream."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    period: Period = 0
    """Age at which entries expire, from 1h; they are out of sight at once, and off the disk soon after. 0: never.
    In days from the variable LOG_RETENTION_DAYS too."""
    max_total_size: Size = 0
    """Bytes that the blocks of all tenants may take together; above it the oldest go. 0: no limit."""
    min_free_space: FreeSpace = 0
    """Space that is to stay free on the file system of data_dir, in bytes or percent: below it the oldest blocks go,
    if that can be reached by it. 0: none."""
