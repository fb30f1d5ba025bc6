"""Rules that a query must keep beyond its grammar and that are known before data is read, as in Loki."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from logql import ast
from logql.errors import ParseError, RegexError, StageError
from logql.regex import compile_regex, matches_empty
from logql.source import Matcher, MatchOp
from logql.stages.hints import ALL
from logql.stages.pipeline import reordered, stage_of

MAX_DEPTH = 250
"""Of parentheses and of the tree. Far above any real query, and low enough for what walks the tree recursively."""

_UNWRAP_ALLOWED = frozenset({"rate", "absent_over_time"})
_UNWRAP_FORBIDDEN = frozenset({"count_over_time", "bytes_over_time", "bytes_rate"})
_GROUPED_RANGES = frozenset(
    f"{name}_over_time" for name in ("avg", "stddev", "stdvar", "quantile", "max", "min", "first", "last")
)
_CHOOSERS = frozenset({"topk", "bottomk", "approx_topk"})

_MAX_DIGITS = 18
"""All of these fit 64 bits."""

_NO_VALUE_MATCHES = (
    "queries require at least one regexp or equality matcher that does not have an empty-compatible value. "
    'For instance, app=~".*" does not meet this requirement, but app=~".+" will'
)


def check_range_aggregation(op: str, parameter: str | None, unwrapped: bool, grouping: ast.Grouping | None) -> None:
    """What each range function takes.

    Args:
        op: its name.
        parameter: the number before the range, as written.
        unwrapped: whether the range has an unwrap.
        grouping: what follows.

    Raises:
        ParseError: something that it does not take is there, or something that it needs is not.
    """
    if op == "quantile_over_time":
        if parameter is None:
            raise ParseError(f"parameter required for operation {op}")
    elif parameter is not None:
        raise ParseError(f"parameter {parameter} not supported for operation {op}")
    if grouping is not None and op not in _GROUPED_RANGES:
        raise ParseError(f"grouping not allowed for {op} aggregation")
    if unwrapped:
        if op in _UNWRAP_FORBIDDEN:
            raise ParseError(f"invalid aggregation {op} with unwrap")
    elif op not in _UNWRAP_FORBIDDEN and op not in _UNWRAP_ALLOWED:
        raise ParseError(f"invalid aggregation {op} without unwrap")


def check_vector_aggregation(op: str, parameter: str | None, grouping: ast.Grouping | None) -> None:
    """What each vector aggregation takes; arguments and errors as `check_range_aggregation`."""
    if op not in _CHOOSERS:
        if parameter is not None:
            raise ParseError(f"unsupported parameter for operation {op}({parameter},")
        if grouping is not None and op in ("sort", "sort_desc"):
            raise ParseError("sort and sort_desc doesn't allow grouping by ")
        return
    if parameter is None:
        raise ParseError(f"parameter required for operation {op}")
    if not parameter.isdecimal() or len(parameter) > _MAX_DIGITS:
        raise ParseError(f"invalid parameter {op}({parameter},")
    if int(parameter) <= 0:
        raise ParseError(f"invalid parameter (must be greater than 0) {op}({parameter}")
    if op == "approx_topk" and grouping is not None:
        raise ParseError(f"grouping not allowed for {op} aggregation")


def check_label_replace(regex: str) -> None:
    """The regex of label_replace, which is anchored.

    Raises:
        ParseError: it is none.
    """
    try:
        compile_regex(f"^(?:{regex})$")
    except RegexError as error:
        raise ParseError(f"invalid regex in label_replace: {error}") from None


def check_matchers(expr: ast.Expr) -> None:
    """Every selector of a query, from left to right.

    Raises:
        ParseError: one might match streams for labels that they lack alone.
    """
    for log, _ in _pipelines(expr):
        _check_selector(log.matchers)


def check_stages(expr: ast.Expr) -> None:
    """Every stage of a query, from left to right: it is built.

    Raises:
        ParseError: one cannot be.
    """
    for log, filters in _pipelines(expr):
        _check_pipeline((*log.stages, *map(ast.LabelFilterStage, filters)))


def _pipelines(expr: ast.Expr) -> Iterator[tuple[ast.LogExpr, tuple[ast.LabelFilter, ...]]]:
    """Each log query in a query, with the label filters after its unwrap."""
    waiting: list[ast.Expr] = [expr]
    while waiting:
        match waiting.pop():
            case ast.LogExpr() as log:
                yield log, ()
            case ast.RangeAggregation(range=log_range):
                yield log_range.log, log_range.unwrap.filters if log_range.unwrap else ()
            case ast.VectorAggregation(operand=operand) | ast.LabelReplace(operand=operand):
                waiting.append(operand)
            case ast.BinaryOperation(left=left, right=right):
                waiting += [right, left]


def check_depth(expr: ast.Expr) -> None:
    """What walks a tree may recurse; this does not.

    Raises:
        ParseError: the tree is deeper than MAX_DEPTH.
    """
    level: list[ast.Expr | ast.LabelFilter] = [expr]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise too_deep()
        level = [inner for node in level for inner in _inner(node)]


def _inner(node: ast.Expr | ast.LabelFilter) -> Sequence[ast.Expr | ast.LabelFilter]:
    match node:
        case ast.LogExpr(stages=stages):
            return [stage.filter for stage in stages if isinstance(stage, ast.LabelFilterStage)]
        case ast.RangeAggregation(range=log_range):
            return [log_range.log, *(log_range.unwrap.filters if log_range.unwrap else ())]
        case ast.VectorAggregation(operand=operand) | ast.LabelReplace(operand=operand):
            return [operand]
        case ast.BinaryOperation(left=left, right=right) | ast.BinaryFilter(left=left, right=right):
            return [left, right]
    return []


def too_deep() -> ParseError:
    """The refusal of a tree that would exhaust the stack."""
    return ParseError(f"query nests too deeply (more than {MAX_DEPTH} levels)")


def _check_selector(matchers: tuple[Matcher, ...]) -> None:
    """Loki's rule that one matcher must ask for a label that is there."""
    for matcher in matchers:
        value = matcher.value
        match matcher.op:
            case MatchOp.EQ:
                empty_matches = value == ""
            case MatchOp.NE:
                empty_matches = value != ""
            case MatchOp.RE:
                empty_matches = matches_empty(value)
            case MatchOp.NRE:
                empty_matches = not matches_empty(value)
        if not empty_matches:
            return
    raise ParseError(_NO_VALUE_MATCHES)


def _check_pipeline(stages: tuple[ast.Stage, ...]) -> None:
    """Builds every stage, in running order. Of two faults in one run of line filters Loki names the last."""
    for kind, each in groupby(reordered(stages), type):
        run = list(each)
        if kind is ast.LineFilter:
            name = " ".join(map(str, run))
            for line_filter in reversed(run):
                _check_stage(line_filter, name)
        else:
            for stage in run:
                _check_stage(stage, str(stage))


def _check_stage(stage: ast.Stage, name: str) -> None:
    try:
        stage_of(stage, ALL)
    except (RegexError, StageError) as error:
        raise ParseError(f"stage '{name}' : {error}") from None
