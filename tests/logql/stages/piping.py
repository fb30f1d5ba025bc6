"""Pipelines as tests run them: stages as text, one row, what becomes of it."""

from __future__ import annotations

from logql import parse
from logql.ast import LogExpr, Stage
from logql.stages.pipeline import Pipeline
from logql.stages.row import Row
from tests.logql.stages.parsing import new_row


def nodes(stages: str) -> tuple[Stage, ...]:
    """The nodes of a text like `| json | a="b"`."""
    expr = parse('{a="b"} ' + stages)
    assert isinstance(expr, LogExpr)
    return expr.stages


def run(stages: str, line: bytes = b"", stream: dict[str, str] | None = None, **metadata: str) -> Row | None:
    """A row after the stages; None if they dropped it."""
    row = new_row(line, stream or {}, metadata)
    return row if Pipeline.of(nodes(stages)).run(row) else None


def labels(stages: str, line: bytes = b"", stream: dict[str, str] | None = None, **metadata: str) -> dict[str, str]:
    """The labels of a row that the stages let through."""
    row = run(stages, line, stream, **metadata)
    assert row is not None
    return row.labels()
