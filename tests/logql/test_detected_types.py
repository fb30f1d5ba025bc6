"""Types of values, and values as they are listed."""

from __future__ import annotations

import pytest

from logql.detected_types import FieldType, listed, type_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", "int"),
        ("0", "int"),
        ("-0", "int"),
        ("+7", "int"),
        ("007", "int"),
        ("9223372036854775807", "int"),
        ("9223372036854775808", "float"),
        ("1" * 400, "string"),  # too large for a float too
        ("0" * 1000, "int"),
        ("0" * 1001, "string"),
        ("1ns" * 300_000, "string"),
        ("1.5", "float"),
        ("1e3", "float"),
        ("inf", "float"),
        ("NaN", "float"),
        ("0x1p-2", "float"),
        ("0x10", "string"),
        ("1e400", "string"),
        ("true", "boolean"),
        ("T", "boolean"),
        ("f", "boolean"),
        ("yes", "string"),
        ("tRue", "string"),
        ("1m30s", "duration"),
        ("-3s", "duration"),
        ("15µs", "duration"),
        ("1d", "string"),
        ("5KB", "bytes"),
        ("4 KB", "bytes"),
        ("1.5GiB", "bytes"),
        ("1 parsec", "string"),
        ("", "string"),
        (" 1", "string"),
        ("१", "string"),
    ],
)
def test_types(text: str, kind: str) -> None:
    assert type_of(text) is FieldType(kind)


@pytest.mark.parametrize(
    ("text", "shown"), [("4 KB", "4.0kB"), ("1KiB", "1.0kB"), ("3MiB", "3.1MB"), ("01", "01"), ("5m", "5m"), ("x", "x")]
)
def test_sizes_are_listed_as_they_can_stand_in_a_query(text: str, shown: str) -> None:
    assert listed(text) == shown
