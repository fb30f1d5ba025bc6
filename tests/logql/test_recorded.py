"""Queries of the conformance corpus give the answers that Loki gave."""

from __future__ import annotations

from typing import Any

import pytest

from logql import Direction, LogQLError, check_entries_limit, group_by_labels, group_by_stream, parse_log, run_log_query
from logql.regex import replacing_decode
from logql.result import Entry
from tests.logql.dataset import recorded_cases
from tests.logql.memory_source import MemorySource, Stored
from tests.logql.pushed_dataset import pushed_dataset

CASES = recorded_cases()
SECONDS = {"5m": 300.0, "10m": 600.0}


@pytest.fixture(scope="module")
def entries() -> list[Stored]:
    return pushed_dataset()


def test_the_dataset_has_the_lines_that_loki_counts(entries: list[Stored]) -> None:
    assert len(entries) == 4015


@pytest.mark.parametrize("unit_size", [97, 10_000])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_recorded_answer(case: dict[str, Any], entries: list[Stored], unit_size: int) -> None:
    assert answer(case, MemorySource(entries, unit_size)) == wanted(case)


def wanted(case: dict[str, Any]) -> object:
    if "error" in case:
        return case["error"]
    return sorted(case["result"], key=lambda group: sorted(group["stream"].items()))


def answer(case: dict[str, Any], source: MemorySource) -> object:
    limit = int(case.get("limit", 100))
    interval = case.get("interval", "0")
    try:
        expr = parse_log(case["query"])
        check_entries_limit(limit, 5000)
        result = run_log_query(
            source,
            "tenant",
            expr,
            case["start"],
            case["end"],
            limit,
            Direction(case.get("direction", "backward").lower()),
            interval=int((SECONDS.get(interval) or float(interval)) * 1e9),
        )
    except LogQLError as error:
        return str(error)
    categorize = case.get("categorize", False)
    groups = (group_by_stream if categorize else group_by_labels)(result.entries)
    shown: list[dict[str, Any]] = []
    for group in groups:
        values: list[list[object]] = [[str(entry.ts), replacing_decode(entry.line)] for entry in group.entries]
        if categorize:
            for value, entry in zip(values, group.entries, strict=True):
                value.append(categories(entry))
        shown.append({"stream": dict(group.labels), "values": values})
    return sorted(shown, key=lambda group: sorted(group["stream"].items()))


def categories(entry: Entry) -> dict[str, dict[str, str]]:
    kinds = {"structuredMetadata": dict(entry.metadata), "parsed": dict(entry.parsed)}
    return {name: labels for name, labels in kinds.items() if labels}
