from __future__ import annotations

import math

import pytest

from logql.ast import BinaryFilter, CompareOp, NumberFilter, StringFilter, Unwrap
from logql.source import Matcher, MatchOp
from logql.stages.unwrap import UnwrapStage
from tests.logql.stages.parsing import new_row

NO_ERROR = StringFilter(Matcher("__error__", MatchOp.EQ, ""))


@pytest.mark.parametrize(
    ("conversion", "text", "value"),
    [
        (None, "1.5", 1.5),
        (None, "1_000", 1000.0),
        (None, "-Inf", -math.inf),
        (None, "0x1p-2", 0.25),
        ("bytes", "5KiB", 5120.0),
        ("duration", "1m30.5s", 90.5),
        ("duration", "-1ms", -0.001),
        ("duration_seconds", "250ms", 0.25),
        ("duration", "123456789.000000001s", 123456789.000000001),
    ],
)
def test_a_label_is_converted(conversion: str | None, text: str, value: float) -> None:
    row = new_row(b"", {"v": text}, {})
    assert UnwrapStage.of(Unwrap("v", conversion)).sample(row) == value
    assert row.error == ""
    assert row.get("v") == text


@pytest.mark.parametrize("stream", [{}, {"v": ""}])
def test_without_the_label_there_is_no_sample(stream: dict[str, str]) -> None:
    assert UnwrapStage.of(Unwrap("v", None)).sample(new_row(b"", stream, {})) is None


@pytest.mark.parametrize(
    ("conversion", "details"),
    [
        (None, 'strconv.ParseFloat: parsing "5d": invalid syntax'),
        ("duration", 'time: unknown unit "d" in duration "5d"'),
        ("bytes", "unhandled size name: d"),
    ],
)
def test_a_label_that_is_no_number_sets_an_error(conversion: str | None, details: str) -> None:
    row = new_row(b"", {"v": "5d"}, {})
    assert UnwrapStage.of(Unwrap("v", conversion)).sample(row) == 0
    assert (row.error, row.details) == ("SampleExtractionErr", details)
    assert UnwrapStage.of(Unwrap("v", conversion, (NO_ERROR,))).sample(new_row(b"", {"v": "5d"}, {})) is None


def test_filters_come_after_the_conversion() -> None:
    over = NumberFilter("v", CompareOp.GT, 2.0, "2")
    stage = UnwrapStage.of(Unwrap("v", None, (BinaryFilter("and", NO_ERROR, over),)))
    assert [stage.sample(new_row(b"", {"v": text}, {})) for text in ("3", "1", "x")] == [3.0, None, None]
