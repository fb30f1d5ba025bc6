"""Hypothesis strategies for syntax trees that print without loss (sizes and vector() are rounded when printed)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from logql import ast
from logql.source import Matcher, MatchOp
from logql.tokens import KEYWORDS

SECOND = 1_000_000_000

names = st.one_of(
    st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,8}\Z").filter(lambda name: name.lower() not in KEYWORDS),
    st.sampled_from(["sum", "rate", "bytes", "duration", "ip", "vector", "sort", "ünï"]),
)
values = st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\.+*?()|[]{}^$<>"), max_size=8)
name_lists = st.lists(names, max_size=3).map(tuple)
finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, allow_nan=False, allow_infinity=False)

exact_matchers = st.builds(Matcher, names, st.sampled_from([MatchOp.EQ, MatchOp.NE]), values)
matchers = st.one_of(exact_matchers, st.builds(Matcher, names, st.sampled_from([MatchOp.RE, MatchOp.NRE]), plain))
sure = st.builds(Matcher, names, st.just(MatchOp.EQ), values.filter(bool))
selectors = st.builds(lambda one, more: ast.Selector((*more, one), ast.NOWHERE), sure, st.lists(matchers, max_size=2))


def operands(text: st.SearchStrategy[str], is_ip: bool) -> st.SearchStrategy[ast.LineFilterOperand]:
    return st.builds(ast.LineFilterOperand, text, st.just(is_ip), st.just(ast.NOWHERE))


def line_filters(ops: str, each: st.SearchStrategy[ast.LineFilterOperand]) -> st.SearchStrategy[ast.LineFilter]:
    return st.builds(
        ast.LineFilter,
        st.sampled_from([ast.LineFilterOp(op) for op in ops.split()]),
        st.lists(each, min_size=1, max_size=3).map(tuple),
        st.just(ast.NOWHERE),
    )


addresses = st.ip_addresses().map(str)
text_filters = line_filters("|= !=", operands(values, is_ip=False) | operands(addresses, is_ip=True))
other_filters = line_filters("|~ !~ |> !>", operands(plain, is_ip=False))

compare_ops = st.sampled_from(list(ast.CompareOp))
written = st.just("")
simple_filters: st.SearchStrategy[Any] = st.one_of(
    st.builds(ast.StringFilter, matchers),
    st.builds(ast.NumberFilter, names, compare_ops, finite, written),
    st.builds(ast.DurationFilter, names, compare_ops, st.integers(0, 10**15), written),
    st.builds(
        ast.BytesFilter,
        names,
        compare_ops,
        st.integers(1, 999) | st.integers(10, 999).map(lambda n: n * 10**9),
        written,
    ),
    st.builds(ast.IpLabelFilter, names, st.booleans(), addresses),
)
label_filters: st.SearchStrategy[Any] = st.recursive(
    simple_filters,
    lambda inner: st.builds(ast.BinaryFilter, st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=4,
)
extractions = st.lists(st.builds(ast.Extraction, names, values), max_size=2).map(tuple)
conditions = st.lists(names | matchers, min_size=1, max_size=3).map(tuple)
label_formats = st.one_of(
    st.builds(ast.LabelFormat, names, names, st.just(value=True)),
    st.builds(ast.LabelFormat, names, values, st.just(value=False)),
)
stages: st.SearchStrategy[Any] = st.one_of(
    text_filters,
    other_filters,
    st.builds(ast.LabelFilterStage, label_filters),
    st.builds(ast.JsonStage, extractions),
    st.builds(ast.LogfmtStage, st.booleans(), st.booleans(), extractions),
    st.builds(ast.RegexpStage, names.filter(str.isascii).map(lambda name: f"(?P<{name}>.*)")),
    st.builds(ast.PatternStage, names.filter(str.isascii).map(lambda name: f"<{name}a> <_>")),
    st.builds(ast.UnpackStage),
    st.builds(ast.LineFormatStage, values),
    st.builds(ast.LabelFormatStage, st.lists(label_formats, min_size=1, max_size=3).map(tuple)),
    st.builds(ast.DecolorizeStage),
    st.builds(ast.DropStage, conditions),
    st.builds(ast.KeepStage, conditions),
)


def is_unambiguous(pipeline: tuple[ast.Stage, ...]) -> bool:
    """`| drop a != "b"` is one stage, so that no line filter with != or !~ can follow a name."""
    return not any(
        isinstance(stage, ast.DropStage | ast.KeepStage)
        and isinstance(stage.items[-1], str)
        and isinstance(following, ast.LineFilter)
        and following.op in (ast.LineFilterOp.NOT_CONTAINS, ast.LineFilterOp.NOT_MATCHES)
        for stage, following in pairwise(pipeline)
    )


pipelines = st.lists(stages, max_size=4).map(tuple).filter(is_unambiguous)
log_exprs = st.builds(ast.LogExpr, selectors, pipelines)

groupings = st.builds(ast.Grouping, name_lists, st.booleans())
unwraps = st.builds(
    ast.Unwrap,
    names,
    st.sampled_from([None, "bytes", "duration", "duration_seconds"]),
    st.lists(label_filters, max_size=2).map(tuple),
)
offsets = st.integers(0, 10**15) | st.integers(-10_000, -1).map(lambda seconds: seconds * SECOND)


def ranges(unwrap: st.SearchStrategy[Any]) -> st.SearchStrategy[ast.LogRange]:
    return st.builds(ast.LogRange, log_exprs, st.integers(0, 10**8).map(lambda ms: ms * 1_000_000), offsets, unwrap)


range_aggregations = st.one_of(
    st.builds(
        ast.RangeAggregation,
        st.sampled_from(["count_over_time", "bytes_over_time", "bytes_rate", "rate", "absent_over_time"]),
        ranges(st.none()),
        st.none(),
        st.none(),
    ),
    st.builds(
        ast.RangeAggregation,
        st.sampled_from(["rate", "absent_over_time", "rate_counter", "sum_over_time"]),
        ranges(unwraps),
        st.none(),
        st.none(),
    ),
    st.builds(
        ast.RangeAggregation,
        st.sampled_from([f"{op}_over_time" for op in ("avg", "min", "max", "stddev", "stdvar", "first", "last")]),
        ranges(unwraps),
        st.none(),
        st.none() | groupings,
    ),
    st.builds(ast.RangeAggregation, st.just("quantile_over_time"), ranges(unwraps), positive, st.none() | groupings),
)
vectors = st.builds(ast.VectorLiteral, st.integers(0, 10**6).map(lambda n: n / 1000))
matchings = st.one_of(
    st.builds(ast.Matching, st.booleans()),
    st.builds(ast.Matching, st.booleans(), st.booleans(), name_lists, written=st.just(value=True)),
    st.builds(
        ast.Matching,
        st.booleans(),
        st.booleans(),
        name_lists,
        st.sampled_from(["left", "right"]),
        name_lists,
        written=st.just(value=True),
    ),
)
literals = st.builds(ast.Literal, finite)
set_ops = st.sampled_from(["or", "and", "unless"])
number_ops = st.sampled_from(["==", "!=", ">", ">=", "<", "<=", "+", "-", "*", "/", "%", "^"])
strings = st.tuples(values, values, values, plain)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    operation = ast.BinaryOperation
    return st.one_of(
        st.builds(
            ast.VectorAggregation,
            st.sampled_from(["sum", "avg", "count", "max", "min", "stddev", "stdvar"]),
            inner,
            st.none(),
            st.none() | groupings,
        ),
        st.builds(ast.VectorAggregation, st.sampled_from(["sort", "sort_desc"]), inner, st.none(), st.none()),
        st.builds(
            ast.VectorAggregation,
            st.sampled_from(["topk", "bottomk"]),
            inner,
            st.integers(1, 100),
            st.none() | groupings,
        ),
        st.builds(ast.VectorAggregation, st.just("approx_topk"), inner, st.integers(1, 100), st.none()),
        st.builds(lambda operand, texts: ast.LabelReplace(operand, *texts), inner, strings),
        st.builds(operation, set_ops, inner, inner, matchings),
        st.builds(operation, number_ops, inner, inner, matchings),
        st.builds(operation, number_ops, inner, literals, matchings),
        st.builds(operation, number_ops, literals, inner, matchings),
    )


metric_exprs: st.SearchStrategy[Any] = st.recursive(range_aggregations | vectors, larger, max_leaves=6)
exprs: st.SearchStrategy[Any] = st.one_of(log_exprs, metric_exprs, literals)
