"""LogQL: the language and its evaluation. No sockets, no files; data comes through `Source`."""

from logql.ast import Expr, LogExpr, MetricExpr
from logql.budget import Budget
from logql.choosing import Chooser, choice
from logql.engine import run_log_query
from logql.entry_columns import EntryColumns, EntryLabels
from logql.errors import (
    EvaluationError,
    LimitError,
    LogQLError,
    LogQueryExpected,
    ParseError,
    PipelineError,
    RegexError,
    SelectorExpected,
    StageError,
)
from logql.explain import Explanation, Step, span
from logql.format import format_query
from logql.limits import MetricLimits, check_entries_limit
from logql.live import LiveQuery
from logql.metric_engine import run_instant, run_range
from logql.metric_result import Matrix, Scalar, Series, Vector
from logql.numbers import plain
from logql.parser import parse, parse_log, parse_selector, parse_unbuilt
from logql.plan_texts import StageText
from logql.result import Entry, LogResult, StreamEntries, group_by_labels, group_by_stream
from logql.result_cache import ResultCache
from logql.selections import Selection, selections
from logql.source import Direction, Matcher, MatchOp, Source, Unit
from logql.stats import Reading, Stats
from logql.timings import Seconds
from logql.timings import Stage as TimedStage
from logql.vectors import Sample

__all__ = [
    "Budget",
    "Chooser",
    "Direction",
    "Entry",
    "EntryColumns",
    "EntryLabels",
    "EvaluationError",
    "Explanation",
    "Expr",
    "LimitError",
    "LiveQuery",
    "LogExpr",
    "LogQLError",
    "LogQueryExpected",
    "LogResult",
    "MatchOp",
    "Matcher",
    "Matrix",
    "MetricExpr",
    "MetricLimits",
    "ParseError",
    "PipelineError",
    "Reading",
    "RegexError",
    "ResultCache",
    "Sample",
    "Scalar",
    "Seconds",
    "Selection",
    "SelectorExpected",
    "Series",
    "Source",
    "StageError",
    "StageText",
    "Stats",
    "Step",
    "StreamEntries",
    "TimedStage",
    "Unit",
    "Vector",
    "check_entries_limit",
    "choice",
    "format_query",
    "group_by_labels",
    "group_by_stream",
    "parse",
    "parse_log",
    "parse_selector",
    "parse_unbuilt",
    "plain",
    "run_instant",
    "run_log_query",
    "run_range",
    "selections",
    "span",
]
