"""Parsers as tests run them: one stage as text, one line, the labels that come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from logql import parse
from logql.literals import to_bytes
from logql.stages.hints import ALL, Hints
from logql.stages.parsers import Parser, parser_of
from logql.stages.row import Row
from storage.batch import Labels
from tests.logql.dataset import json_lines

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> list[dict[str, Any]]:
    """Lines that Loki parsed: stage, line, stream and metadata labels, and what labels and line came out."""
    return json_lines(DATA / f"{name}.jsonl")


def parser(stage: str, hints: Hints = ALL) -> Parser:
    """The stage of a text like `| json`."""
    expr = parse('{a="b"} ' + stage)
    (node,) = expr.stages  # type: ignore[union-attr]  # a log query
    return parser_of(node, hints)  # type: ignore[arg-type]  # a parser


def check(case: dict[str, Any]) -> None:
    """Asserts that a recorded line comes out as it did."""
    row = new_row(to_bytes(case["line"]), case["stream"], case.get("metadata", {}))
    assert parser(case["stage"]).apply(row)
    assert row.labels() == case["labels"]
    assert row.line == to_bytes(case.get("out", case["line"]))


def parsed(stage: str, line: bytes, stream: dict[str, str] | None = None, hints: Hints = ALL) -> dict[str, str]:
    """The labels that a stage adds to a line; `__error__` and its details are labels too."""
    stream = stream or {}
    row = new_row(line, stream, {})
    assert parser(stage, hints).apply(row)
    return {name: value for name, value in row.labels().items() if stream.get(name) != value}


def new_row(line: bytes, stream: dict[str, str], metadata: dict[str, str]) -> Row:
    """A row before any stage."""
    return Row(0, line, labels(stream), labels(metadata))


def labels(of: dict[str, str]) -> Labels:
    """Labels sorted by name."""
    return tuple(sorted(of.items()))
