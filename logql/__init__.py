"""LogQL: the language and its evaluation. No sockets, no files; data comes through `Source`."""

from logql.ast import LogExpr
from logql.engine import run_log_query
from logql.errors import LimitError, LogQLError, ParseError, RegexError, SelectorExpected, StageError, UnsupportedQuery
from logql.limits import check_entries_limit
from logql.parser import parse, parse_selector
from logql.result import Entry, LogResult, StreamEntries, group_by_labels, group_by_stream
from logql.source import Direction, Matcher, MatchOp, Source, Unit
from logql.stats import Reading, Stats

__all__ = [
    "Direction",
    "Entry",
    "LimitError",
    "LogExpr",
    "LogQLError",
    "LogResult",
    "MatchOp",
    "Matcher",
    "ParseError",
    "Reading",
    "RegexError",
    "SelectorExpected",
    "Source",
    "StageError",
    "Stats",
    "StreamEntries",
    "Unit",
    "UnsupportedQuery",
    "check_entries_limit",
    "group_by_labels",
    "group_by_stream",
    "parse",
    "parse_selector",
    "run_log_query",
]
