"""What a value looks like: the types of detected fields, tried in Loki's order."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.durations import print_size

_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64 = range(-(2**63), 2**63)
_LONGEST = 1000
"""Characters of a value that may be more than text."""
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
"""Go's strconv.ParseBool."""


class FieldType(StrEnum):
    """Types of fields, under the names that Logs Drilldown knows."""

    INT = "int"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DURATION = "duration"
    BYTES = "bytes"
    STRING = "string"


def type_of(text: str) -> FieldType:
    """The first type that Go can read a value as; a string if there is none."""
    if len(text) > _LONGEST:
        return FieldType.STRING
    if _INT.fullmatch(text) and int(text) in _INT64:
        return FieldType.INT
    if _reads(parse_float, text):
        return FieldType.FLOAT
    if text in _BOOLEANS:
        return FieldType.BOOLEAN
    if _reads(parse_duration, text):
        return FieldType.DURATION
    return FieldType.BYTES if _reads(parse_bytes, text) else FieldType.STRING


def listed(text: str) -> str:
    """A value as it is listed: a size as it can stand in a query, `4 KB` as `4.0kB`; any other as it is."""
    return print_size(parse_bytes(text)) if type_of(text) is FieldType.BYTES else text


def _reads(parse: Callable[[str], float], text: str) -> bool:
    try:
        parse(text)
    except ConversionError:
        return False
    return True
