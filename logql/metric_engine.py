"""Running a metric query over a Source: samples of every range aggregation first, then a vector a step.

Steps are at start, start + step, ... <= end; each comes from windows that end at the step. The vectors of many steps
are made together, in columns, but an answer or an error is what they give one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from logql.aggregate import aggregated, check_enabled
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
from logql.budget import Budget
from logql.count_reader import CountReader, is_countable
from logql.counts import CountVector, Steps
from logql.explain import Explanation
from logql.extractor import Extractor, grouping_of
from logql.label_replace import Relabelled
from logql.limits import MetricLimits, check_range
from logql.metric_result import Matrix, Scalar, Vector
from logql.plan_texts import PlanText, StageText, plan_text
from logql.points import MS, Points, cut
from logql.ranges import RangeVector, count_function, failure_of
from logql.result_cache import ResultCache
from logql.samples import read_samples
from logql.source import MatchOp, Source
from logql.stats import Stats
from logql.timings import Stage
from logql.unit_reader import UnitReader
from logql.vectors import Absence, ConstantVector, Sample, VectorSource
from storage.batch import Labels

_POINTS_AT_ONCE = 1 << 19
"""Samples of vectors that are made together, if all series have one at each step."""


def _go_on() -> None:
    """The check of a query that nobody stops."""


def aligned(start: int, end: int, step: int) -> tuple[int, int]:
    """A range as Loki evaluates it: start moved down and end up to multiples of the step since the epoch.

    Its query frontend does so before it splits a query, so a point may stand after the asked end.
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
    explanation: Explanation | None = None,
    cache: ResultCache | None = None,
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
        check: called before each unit is read, and now and then while its rows go through stages and while vectors are
            made; raises to stop the query.
        budget: counts the bytes that the query holds; without one it may hold any number.
        explanation: is told what the query does.
        cache: of what parts of blocks came to in earlier queries. Only for a source that shows all entries of a unit
            to a query that asks for their time.

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
    reader = UnitReader(source, tenant, check, budget, explanation, cache)
    query = _Query(reader, start, end, step, limits, _answering(expr))
    found = query.compiled(expr)
    points = Points(limits, budget)
    with query.reader.span(Stage.AGGREGATE):
        for first, stop in query.blocks():
            check()
            vectors = found.vectors(first, stop)
            points.add(vectors, first)
            if vectors.failure:
                raise vectors.failure
        series = points.series(found.labels, start, step)
    return Matrix(series, query.stats(sum(len(one.ts) for one in series), began), points.warnings)


def run_instant(
    source: Source,
    tenant: str,
    expr: MetricExpr,
    time: int,
    *,
    limits: MetricLimits,
    check: Callable[[], None] = _go_on,
    budget: Budget | None = None,
    explanation: Explanation | None = None,
) -> Vector | Scalar:
    """The value of a metric query at `time` (ns); arguments and errors as of `run_range`."""
    began = perf_counter()
    query = _Query(UnitReader(source, tenant, check, budget, explanation), time, time, MS, limits, _answering(expr))
    if isinstance(expr, Literal):
        return Scalar(time // MS, expr.value, query.stats(0, began))
    found = query.compiled(expr)
    with query.reader.span(Stage.AGGREGATE):
        vectors = found.vectors(0, 1)
    if vectors.failure:
        raise vectors.failure
    vector = [
        Sample(found.labels[number], value)
        for number, value in zip(vectors.series.tolist(), vectors.values.tolist(), strict=True)
    ]
    if not sorts(expr):
        vector.sort(key=lambda sample: sample.labels)
    warnings: tuple[str, ...] = ()
    if len(vector) > limits.max_series:
        warnings = cut(limits)
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
        answering: the range aggregation whose label sets are the series of the answer, if there is one.
        most_series: that a range aggregation of it has, once it is compiled.
    """

    reader: UnitReader
    start: int
    end: int
    step: int
    limits: MetricLimits
    answering: RangeAggregation | None = None
    most_series: int = 1

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Bounds of the steps whose vectors are made together. For a query that is compiled."""
        count = self._count()
        at_once = max(1, _POINTS_AT_ONCE // self.most_series)
        for first in range(0, count, at_once):
            yield first, min(first + at_once, count)

    def compiled(self, expr: MetricExpr) -> VectorSource:
        """The vectors of an expression. Reads the samples that it needs."""
        match expr:
            case RangeAggregation():
                return self._range(expr, None)
            case VectorAggregation():
                return self._aggregation(expr)
            case BinaryOperation():
                return self._operation(expr)
            case LabelReplace():
                return Relabelled(expr, self.compiled(expr.operand))
            case Literal() | VectorLiteral():
                return ConstantVector(expr.value)

    def stats(self, returned: int, began: float) -> Stats:
        """What it took; `returned` points, `began` in seconds of perf_counter."""
        return self.reader.stats(returned, perf_counter() - began)

    def _count(self) -> int:
        return (self.end - self.start) // self.step + 1

    def _steps(self, node: RangeAggregation) -> Steps:
        return Steps(self.start - node.range.offset, self.step, self._count(), node.range.range)

    def _most_sets(self, node: RangeAggregation) -> int:
        """Label sets that a range aggregation's samples may have, beyond which the answer has too many series; 0: any.

        Told early: a query by a label of a million values ends with its first thousand lines, not with its last.
        """
        every_sample_shows = node.range.range >= self.step or self.start == self.end
        return (
            self.limits.max_series if node is self.answering and every_sample_shows and not self.limits.partial else 0
        )

    def _range(self, node: RangeAggregation, outer: Grouping | None) -> VectorSource:
        check_range(node.range.range, self.limits.max_range)
        grouping = grouping_of(node, outer)
        with self.reader.span(Stage.PLAN):
            extractor = Extractor(node, grouping)
        countable = is_countable(node, extractor)
        if self.reader.explanation is not None:
            self.reader.explanation.plan(partial(_plan_text, node, extractor, countable=countable))
        series: VectorSource = self._counted(node, grouping, extractor) if countable else self._sampled(node, extractor)
        self.most_series = max(self.most_series, len(series.labels))
        return Absence(series, _absent_labels(node)) if node.op == "absent_over_time" else series

    def _counted(self, node: RangeAggregation, grouping: Grouping | None, extractor: Extractor) -> CountVector:
        steps = self._steps(node)
        counts = CountReader(self.reader, node, grouping, extractor, steps, self._most_sets(node))
        counts.read(steps.start - steps.width + 1, self.end - node.range.offset + 1)
        with self.reader.span(Stage.AGGREGATE):
            return CountVector(steps, counts.labels, counts.counter.total(), count_function(node), failure_of)

    def _sampled(self, node: RangeAggregation, extractor: Extractor) -> RangeVector:
        steps = self._steps(node)
        start, end = steps.start - steps.width, self.end - node.range.offset
        samples = read_samples(self.reader, node, extractor, start + 1, end + 1, self._most_sets(node))
        with self.reader.span(Stage.AGGREGATE):
            return RangeVector(samples, node, steps, self.reader.check)

    def _aggregation(self, node: VectorAggregation) -> VectorSource:
        check_enabled(node)
        if node.op == "sum" and isinstance(node.operand, RangeAggregation):
            return aggregated(node, self._range(node.operand, node.grouping or Grouping((), without=False)))
        return aggregated(node, self.compiled(node.operand))

    def _operation(self, node: BinaryOperation) -> VectorSource:
        match node.left, node.right:
            case Literal(number), operand:
                return scalar_operation(node, number, self.compiled(operand), number_left=True)
            case operand, Literal(number):
                return scalar_operation(node, number, self.compiled(operand), number_left=False)
        return vector_operation(node, self.compiled(node.left), self.compiled(node.right))


def _answering(expr: MetricExpr) -> RangeAggregation | None:
    """The range aggregation whose label sets are the series of an expression: there are no fewer and no more."""
    match expr:
        case VectorAggregation(op="sum", operand=RangeAggregation() as node, grouping=grouping):
            outer = grouping or Grouping((), without=False)
            return node if grouping_of(node, outer) is outer else None
        case RangeAggregation() if expr.op != "absent_over_time":
            return expr
    return None


def _plan_text(node: RangeAggregation, extractor: Extractor, *, countable: bool) -> PlanText:
    """The plan of a range aggregation in words; its unwrap stands after the stages."""
    by_columns = countable or extractor.by_columns
    pipeline, plan = extractor.pipeline, extractor.plan
    found = plan_text(str(node), node.range.log, extractor.nodes, pipeline, plan, by_columns=by_columns)
    if node.range.unwrap is None:
        return found
    return replace(found, stages=(*found.stages, StageText(str(node.range.unwrap), by_columns)))


def _absent_labels(node: RangeAggregation) -> Labels:
    """The labels that `=` matchers name, less those that another matcher names too, as in Loki."""
    matchers = node.range.log.matchers
    named = [matcher.name for matcher in matchers]
    return tuple(
        sorted(
            (matcher.name, matcher.value)
            for matcher in matchers
            if matcher.op is MatchOp.EQ and named.count(matcher.name) == 1 and matcher.value
        )
    )
