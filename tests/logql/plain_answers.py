"""Answers of LogQL queries worked out one entry at a time: what the engine's answers are held against.

Selectors, line filters, windows and aggregations are written here anew, over lists of entries; what comes after the
line filters in a pipeline runs through the scalar stages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from logql import Direction, Entry, LogExpr, MetricExpr, ast
from logql.result import entry_of
from logql.stages.pipeline import Pipeline
from logql.stages.row import Row
from storage.batch import Labels
from storage.labels import labels_id

MS = 1_000_000
SECOND = 1000 * MS


@dataclass(frozen=True, slots=True)
class Pushed:
    """An entry as it was pushed."""

    stream: Labels
    ts: int
    line: bytes
    metadata: tuple[tuple[str, str], ...]


Vector: TypeAlias = dict[Labels, float]

Points: TypeAlias = dict[Labels, dict[int, float]]
"""Labels -> time of the step in ms -> value."""


def log_answer(
    pushed: Sequence[Pushed], expr: LogExpr, start: int, end: int, limit: int, direction: Direction
) -> list[Entry]:
    """As `run_log_query`, of what was pushed in this order."""
    return [entry_of(row) for row in _rows(pushed, expr, start, end, direction)][:limit]


def range_answer(pushed: Sequence[Pushed], expr: MetricExpr, start: int, end: int, step: int) -> Points:
    """As `run_range`."""
    first, last = start - start % step, end + -end % step
    vector_at = _evaluated(pushed, expr)
    found: Points = {}
    for ts in range(first, last + 1, step):
        for labels, value in vector_at(ts).items():
            found.setdefault(labels, {})[ts // MS] = value
    return found


def _rows(
    pushed: Sequence[Pushed], expr: LogExpr, start: int, end: int, direction: Direction = Direction.FORWARD
) -> Iterator[Row]:
    """What comes out of the pipeline, in the order of an answer."""
    rest = [stage for stage in expr.stages if not isinstance(stage, ast.LineFilter)]
    tests = [_line_test(stage) for stage in expr.stages if isinstance(stage, ast.LineFilter)]
    pipeline = Pipeline.of(rest)
    assert not pipeline.line_filters
    sign = 1 if direction is Direction.FORWARD else -1
    arrival = {entry: number for number, entry in enumerate(dict.fromkeys(pushed))}
    for entry in sorted(arrival, key=lambda each: (sign * each.ts, labels_id(each.stream), sign * arrival[each])):
        if start <= entry.ts < end and _selected(entry.stream, expr) and all(test(entry.line) for test in tests):
            row = Row(entry.ts, entry.line, entry.stream, entry.metadata)
            if pipeline.run_rest(row):
                yield row


def _selected(stream: Labels, expr: LogExpr) -> bool:
    labels = dict(stream)
    for matcher in expr.matchers:
        value = labels.get(matcher.name, "")
        same = bool(re.fullmatch(matcher.value, value)) if "~" in matcher.op else value == matcher.value
        if same == matcher.op.startswith("!"):
            return False
    return True


def _line_test(node: ast.LineFilter) -> Callable[[bytes], bool]:
    wanted = [operand.text for operand in node.operands]

    def found(line: bytes) -> bool:
        if "~" not in node.op:
            return any(each.encode() in line for each in wanted)
        text = line.decode("utf-8", "replace")
        return any(re.search(each, text) for each in wanted)

    return (lambda line: not found(line)) if node.op.negative else found


def _evaluated(pushed: Sequence[Pushed], expr: MetricExpr) -> Callable[[int], Vector]:
    """Time of a step (ns) -> the vector there."""
    match expr:
        case ast.RangeAggregation():
            return _windows(pushed, expr)
        case ast.VectorAggregation():
            operand = _evaluated(pushed, expr.operand)
            return lambda ts: _aggregated(operand(ts), expr.op, expr.grouping or ast.Grouping((), without=False))
    raise NotImplementedError(expr)


def _windows(pushed: Sequence[Pushed], node: ast.RangeAggregation) -> Callable[[int], Vector]:
    window = node.range
    samples = [
        (row.ts, _grouped(row.labels(), node), value)
        for row in _rows(pushed, window.log, -(1 << 62), 1 << 62)
        if (value := _sample(row, node)) is not None
    ]

    def vector(ts: int) -> Vector:
        last = ts - window.offset
        inside = [(labels, value) for at, labels, value in samples if last - window.range < at <= last]
        if node.op == "absent_over_time":
            return {} if inside else {_absent(window.log): 1.0}
        values: dict[Labels, list[float]] = {}
        for labels, value in inside:
            values.setdefault(labels, []).append(value)
        return {labels: _over_time(node, each) for labels, each in values.items()}

    return vector


def _sample(row: Row, node: ast.RangeAggregation) -> float | None:
    unwrap = node.range.unwrap
    if unwrap is None:
        return float(len(row.line)) if node.op.startswith("bytes_") else 1.0
    value = row.get(unwrap.label)
    return None if value is None else float(value)


def _grouped(labels: dict[str, str], node: ast.RangeAggregation) -> Labels:
    unwrapped = node.range.unwrap.label if node.range.unwrap else None
    if node.grouping is not None and not node.grouping.without:
        return _kept(tuple(labels.items()), node.grouping)
    # What was unwrapped is a label of no sample that is not asked to have it.
    others = tuple(sorted(pair for pair in labels.items() if pair[0] != unwrapped))
    return others if node.grouping is None else _kept(others, node.grouping)


def _kept(labels: Labels, grouping: ast.Grouping) -> Labels:
    return tuple(sorted(pair for pair in labels if (pair[0] in grouping.names) != grouping.without))


def _absent(expr: LogExpr) -> Labels:
    names = [matcher.name for matcher in expr.matchers]
    return tuple(
        sorted(
            (matcher.name, matcher.value)
            for matcher in expr.matchers
            if matcher.op == "=" and names.count(matcher.name) == 1 and matcher.value
        )
    )


def _over_time(node: ast.RangeAggregation, values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    match node.op:
        case "count_over_time" | "bytes_over_time" | "sum_over_time":
            return math.fsum(values)
        case "rate" | "bytes_rate":
            return math.fsum(values) / (node.range.range / SECOND)
        case "avg_over_time":
            return mean
        case "min_over_time":
            return min(values)
        case "max_over_time":
            return max(values)
        case "first_over_time":
            return values[0]
        case "last_over_time":
            return values[-1]
        case "stdvar_over_time":
            return variance
        case "stddev_over_time":
            return math.sqrt(variance)
        case "quantile_over_time":
            return _quantile(values, node.parameter or 0.0)
    raise NotImplementedError(node.op)


def _quantile(values: list[float], rank: float) -> float:
    ordered = sorted(values)
    lower = math.floor(rank * (len(ordered) - 1))
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (rank * (len(ordered) - 1) - lower)


def _aggregated(vector: Vector, op: str, grouping: ast.Grouping) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(_kept(labels, grouping), []).append(value)
    functions: dict[str, Callable[[list[float]], float]] = {
        "sum": math.fsum,
        "min": min,
        "max": max,
        "avg": lambda values: math.fsum(values) / len(values),
        "count": lambda values: float(len(values)),
    }
    return {labels: functions[op](values) for labels, values in groups.items()}
