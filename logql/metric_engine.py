"""Running a metric query over a Source: samples of every range aggregation first, then one vector a step.

Steps are at start, start + step, ... <= end; each is computed on its own, from windows that end at the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from logql.ast import (
    BinaryOperation,
    Grouping,
    LabelReplace,
    Literal,
    MetricExpr,
    RangeAggregation,
    VectorAggregation,
    VectorLiteral,
)
from logql.binop import scalar_operation, vector_operation
from logql.budget import POINT, Budget
from logql.count_reader import CountReader, is_countable
from logql.counts import CountVector, Steps
from logql.extractor import Extractor, grouping_of
from logql.label_replace import replacement
from logql.limits import MetricLimits, check_range, check_series, partial_warning
from logql.metric_result import Matrix, Scalar, Series, Vector
from logql.ranges import RangeVector, count_function, failure_of, range_function
from logql.samples import read_samples
from logql.source import MatchOp, Source
from logql.stats import Stats
from logql.unit_reader import UnitReader
from logql.vectors import Sample, aggregation
from storage.batch import Labels

MS = 1_000_000
"""ns of a millisecond: results, and steps, have no finer time."""

_AtStep = Callable[[int], Sequence[Sample]]
"""Time of a step (ns) -> the vector there."""


def _go_on() -> None:
    """The check of a query that nobody stops."""


def aligned(start: int, end: int, step: int) -> tuple[int, int]:
    """A range as Loki evaluates it: start moved down and end up to multiples of the step since the epoch.

    Its query frontend does so before it splits a query (LOKI.md 4.1), so a point may stand after the asked end.
    """
    return start - start % step, end + -end % step


def run_range(
    source: Source,
    tenant: str,
    expr: MetricExpr,
    start: int,
    end: int,
    step: int,
    *,
    limits: MetricLimits,
    check: Callable[[], None] = _go_on,
    budget: Budget | None = None,
) -> Matrix:
    """The series of a metric query over a range.

    Args:
        source: where entries come from.
        tenant: whose.
        expr: the query; operations on two literals are folded, as `parse` does.
        start: ns, inclusive; aligned to the step here.
        end: ns, inclusive; aligned likewise.
        step: ns, > 0; parts of a millisecond are dropped, but 1 ms is left.
        limits: of this tenant.
        check: called before each unit is read, now and then while its rows go through stages, and before each step;
            raises to stop the query.
        budget: counts the bytes that the query holds; without one it may hold any number.

    Raises:
        LimitError: more series, a longer range vector, or more memory than allowed.
        PipelineError: a sample has `__error__`.
        EvaluationError: the labels of a binary operation match ambiguously; approx_topk.
        RegexError, StageError: a stage cannot be built.
    """
    began = perf_counter()
    step = max(step - step % MS, MS)
    start, end = aligned(start, end, step)
    budget = budget or Budget()
    query = _Query(UnitReader(source, tenant, check, budget), start, end, step, limits)
    at = query.compiled(expr)
    points: dict[Labels, tuple[list[int], list[float]]] = {}
    warnings: tuple[str, ...] = ()
    for ts in range(start, end + 1, step):
        check()
        vector = at(ts)
        budget.take(len(vector) * POINT)
        for labels, value in vector:
            if labels not in points and len(points) >= limits.max_series:
                warnings = _cut(limits)
                continue
            times, values = points.setdefault(labels, ([], []))
            times.append(ts // MS)
            values.append(value)
    series = tuple(Series(labels, tuple(times), tuple(values)) for labels, (times, values) in sorted(points.items()))
    return Matrix(series, query.stats(sum(len(one.ts) for one in series), began), warnings)


def _cut(limits: MetricLimits) -> tuple[str, ...]:
    """The warnings of an answer that leaves series out.

    Raises:
        LimitError: this tenant, or this query, wants none left out.
    """
    if not limits.partial:
        check_series(limits.max_series + 1, limits.max_series)
    return (partial_warning(limits.max_series),)


def run_instant(
    source: Source,
    tenant: str,
    expr: MetricExpr,
    time: int,
    *,
    limits: MetricLimits,
    check: Callable[[], None] = _go_on,
    budget: Budget | None = None,
) -> Vector | Scalar:
    """The value of a metric query at `time` (ns); arguments and errors as of `run_range`."""
    began = perf_counter()
    query = _Query(UnitReader(source, tenant, check, budget), time, time, MS, limits)
    if isinstance(expr, Literal):
        return Scalar(time // MS, expr.value, query.stats(0, began))
    vector = query.compiled(expr)(time)
    if not sorts(expr):
        vector = sorted(vector, key=lambda sample: sample.labels)
    warnings: tuple[str, ...] = ()
    if len(vector) > limits.max_series:
        warnings = _cut(limits)
        vector = vector[: limits.max_series]
    return Vector(time // MS, tuple(vector), query.stats(len(vector), began), warnings)


def sorts(expr: MetricExpr) -> bool:
    """Whether sort or sort_desc stands anywhere in the expression: then a vector's order is the evaluator's."""
    match expr:
        case VectorAggregation():
            return expr.op in ("sort", "sort_desc") or sorts(expr.operand)
        case BinaryOperation():
            return sorts(expr.left) or sorts(expr.right)
        case LabelReplace():
            return sorts(expr.operand)
    return False


@dataclass(slots=True)
class _Query:
    """One query at work: makes a function of each node of the expression, reading the samples that it needs.

    Attributes:
        reader: what reads entries.
        start, end: ns, of the first and the last step.
        step: ns between two.
        limits: of the tenant.
    """

    reader: UnitReader
    start: int
    end: int
    step: int
    limits: MetricLimits

    def compiled(self, expr: MetricExpr) -> _AtStep:
        """The vector of an expression by time of step."""
        match expr:
            case RangeAggregation():
                return self._range(expr, None)
            case VectorAggregation():
                return self._aggregation(expr)
            case BinaryOperation():
                return self._operation(expr)
            case LabelReplace():
                operand, replace = self.compiled(expr.operand), replacement(expr)
                return lambda ts: replace(operand(ts))
            case Literal() | VectorLiteral():
                vector = [Sample((), expr.value)]
                return lambda _: vector

    def stats(self, returned: int, began: float) -> Stats:
        """What it took; `returned` points, `began` in seconds of perf_counter."""
        return self.reader.stats(returned, perf_counter() - began)

    def _range(self, node: RangeAggregation, outer: Grouping | None) -> _AtStep:
        window = node.range
        check_range(window.range, self.limits.max_range)
        grouping = grouping_of(node, outer)
        extractor = Extractor(node, grouping)
        if is_countable(node, extractor):
            series = self._counted(node, grouping, extractor)
        else:
            series = self._sampled(node, extractor)
        if node.op == "absent_over_time":
            absent = [Sample(_absent_labels(node), 1.0)]
            return lambda ts: [] if series(ts) else absent
        return series

    def _counted(self, node: RangeAggregation, grouping: Grouping | None, extractor: Extractor) -> _AtStep:
        window = node.range
        start, end = self.start - window.offset, self.end - window.offset
        steps = Steps(start, self.step, (self.end - self.start) // self.step + 1, window.range)
        counts = CountReader(self.reader, node, grouping, extractor, steps)
        counts.read(start - window.range + 1, end + 1)
        vector = CountVector(steps, counts.labels, counts.counter.total(), count_function(node), failure_of)
        return lambda ts: vector.at(ts - window.offset)

    def _sampled(self, node: RangeAggregation, extractor: Extractor) -> _AtStep:
        window = node.range
        start, end = self.start - window.offset - window.range, self.end - window.offset
        samples = read_samples(self.reader, node, extractor, start + 1, end + 1)
        series = RangeVector(samples, window.range, window.offset)
        function = range_function(node)
        return lambda ts: series.at(ts, function)

    def _aggregation(self, node: VectorAggregation) -> _AtStep:
        aggregate = aggregation(node)
        operand: _AtStep
        if node.op == "sum" and isinstance(node.operand, RangeAggregation):
            operand = self._range(node.operand, node.grouping or Grouping((), without=False))
        else:
            operand = self.compiled(node.operand)
        return lambda ts: aggregate(operand(ts))

    def _operation(self, node: BinaryOperation) -> _AtStep:
        match node.left, node.right:
            case Literal(number), operand:
                change, vector = scalar_operation(node, number, number_left=True), self.compiled(operand)
                return lambda ts: change(vector(ts))
            case operand, Literal(number):
                change, vector = scalar_operation(node, number, number_left=False), self.compiled(operand)
                return lambda ts: change(vector(ts))
        combine, left, right = vector_operation(node), self.compiled(node.left), self.compiled(node.right)
        return lambda ts: combine(left(ts), right(ts))


def _absent_labels(node: RangeAggregation) -> Labels:
    """The labels that `=` matchers name, less those that another matcher names too (LOKI.md 4.1)."""
    matchers = node.range.log.matchers
    named = [matcher.name for matcher in matchers]
    return tuple(
        sorted(
            (matcher.name, matcher.value)
            for matcher in matchers
            if matcher.op is MatchOp.EQ and named.count(matcher.name) == 1 and matcher.value
        )
    )
