"""Settings that are lists of things with settings of their own: notifiers, emitters.

In a variable or a flag such a list is one line of YAML or JSON. Times in it have units: a bare 30 would be 30 ns.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr

from config.units import Kind, format_duration, parse_duration

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DURATION = "a duration with a unit, such as 500ms, 30s, 1m30s, 7d"


def is_name(name: str) -> str:
    """The name, if it is one. Raises ValueError."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("is not a name: letters, digits, dots, hyphens and underscores, at most 64")
    return name


def read_items(value: Any) -> Any:
    """What stands in a file, or in one line of YAML: a list. One thing alone is a list of it."""
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError("no YAML") from error
    return [value] if isinstance(value, dict) else value or ()


def _read_span(value: Any) -> int:
    if isinstance(value, str):
        try:
            return parse_duration(value.strip())
        except ValueError as error:
            raise ValueError(f"is not {_DURATION}") from error
    if value == 0 and not isinstance(value, bool):
        return 0
    raise ValueError(f"is not {_DURATION}")


def _read_secret(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Span: TypeAlias = Annotated[
    int,
    BeforeValidator(_read_span),
    Field(ge=0),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    Kind("duration", _DURATION),
]
"""ns."""
Hidden: TypeAlias = Annotated[SecretStr, BeforeValidator(_read_secret), Kind("secret", "text")]


class Item(BaseModel):
    """One thing of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
