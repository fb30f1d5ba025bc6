"""The tokens of LogQL: names, order and spelling, which Loki's error texts depend on."""

from __future__ import annotations

from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple


class _Kind(Enum):
    CLASS = auto()
    OPERATOR = auto()
    KEYWORD = auto()
    FUNCTION = auto()


_TABLE = (
    ("IDENTIFIER", _Kind.CLASS, "IDENTIFIER"),
    ("STRING", _Kind.CLASS, "STRING"),
    ("NUMBER", _Kind.CLASS, "NUMBER"),
    ("FUNCTION_FLAG", _Kind.CLASS, "FUNCTION_FLAG"),
    ("DURATION", _Kind.CLASS, "DURATION"),
    ("BYTES", _Kind.CLASS, "BYTES"),
    ("RANGE", _Kind.CLASS, "RANGE"),
    ("EQ", _Kind.OPERATOR, "="),
    ("RE", _Kind.OPERATOR, "=~"),
    ("NRE", _Kind.OPERATOR, "!~"),
    ("NPA", _Kind.OPERATOR, "!>"),
    ("OPEN_BRACE", _Kind.OPERATOR, "{"),
    ("CLOSE_BRACE", _Kind.OPERATOR, "}"),
    ("OPEN_BRACKET", _Kind.OPERATOR, "["),
    ("CLOSE_BRACKET", _Kind.OPERATOR, "]"),
    ("COMMA", _Kind.OPERATOR, ","),
    ("DOT", _Kind.OPERATOR, "."),
    ("PIPE_MATCH", _Kind.OPERATOR, "|~"),
    ("PIPE_EXACT", _Kind.OPERATOR, "|="),
    ("PIPE_PATTERN", _Kind.OPERATOR, "|>"),
    ("OPEN_PARENTHESIS", _Kind.OPERATOR, "("),
    ("CLOSE_PARENTHESIS", _Kind.OPERATOR, ")"),
    ("BY", _Kind.KEYWORD, "by"),
    ("WITHOUT", _Kind.KEYWORD, "without"),
    ("COUNT_OVER_TIME", _Kind.FUNCTION, "count_over_time"),
    ("RATE", _Kind.FUNCTION, "rate"),
    ("RATE_COUNTER", _Kind.FUNCTION, "rate_counter"),
    ("SUM", _Kind.FUNCTION, "sum"),
    ("SORT", _Kind.FUNCTION, "sort"),
    ("SORT_DESC", _Kind.FUNCTION, "sort_desc"),
    ("AVG", _Kind.FUNCTION, "avg"),
    ("MAX", _Kind.FUNCTION, "max"),
    ("MIN", _Kind.FUNCTION, "min"),
    ("COUNT", _Kind.FUNCTION, "count"),
    ("STDDEV", _Kind.FUNCTION, "stddev"),
    ("STDVAR", _Kind.FUNCTION, "stdvar"),
    ("BOTTOMK", _Kind.FUNCTION, "bottomk"),
    ("TOPK", _Kind.FUNCTION, "topk"),
    ("APPROX_TOPK", _Kind.FUNCTION, "approx_topk"),
    ("BYTES_OVER_TIME", _Kind.FUNCTION, "bytes_over_time"),
    ("BYTES_RATE", _Kind.FUNCTION, "bytes_rate"),
    ("BOOL", _Kind.KEYWORD, "bool"),
    ("JSON", _Kind.KEYWORD, "json"),
    ("REGEXP", _Kind.KEYWORD, "regexp"),
    ("LOGFMT", _Kind.KEYWORD, "logfmt"),
    ("PIPE", _Kind.OPERATOR, "|"),
    ("LINE_FMT", _Kind.KEYWORD, "line_format"),
    ("LABEL_FMT", _Kind.KEYWORD, "label_format"),
    ("UNWRAP", _Kind.KEYWORD, "unwrap"),
    ("AVG_OVER_TIME", _Kind.FUNCTION, "avg_over_time"),
    ("SUM_OVER_TIME", _Kind.FUNCTION, "sum_over_time"),
    ("MIN_OVER_TIME", _Kind.FUNCTION, "min_over_time"),
    ("MAX_OVER_TIME", _Kind.FUNCTION, "max_over_time"),
    ("STDVAR_OVER_TIME", _Kind.FUNCTION, "stdvar_over_time"),
    ("STDDEV_OVER_TIME", _Kind.FUNCTION, "stddev_over_time"),
    ("QUANTILE_OVER_TIME", _Kind.FUNCTION, "quantile_over_time"),
    ("BYTES_CONV", _Kind.FUNCTION, "bytes"),
    ("DURATION_CONV", _Kind.FUNCTION, "duration"),
    ("DURATION_SECONDS_CONV", _Kind.FUNCTION, "duration_seconds"),
    ("FIRST_OVER_TIME", _Kind.FUNCTION, "first_over_time"),
    ("LAST_OVER_TIME", _Kind.FUNCTION, "last_over_time"),
    ("ABSENT_OVER_TIME", _Kind.FUNCTION, "absent_over_time"),
    ("VECTOR", _Kind.FUNCTION, "vector"),
    ("LABEL_REPLACE", _Kind.FUNCTION, "label_replace"),
    ("UNPACK", _Kind.KEYWORD, "unpack"),
    ("OFFSET", _Kind.KEYWORD, "offset"),
    ("PATTERN", _Kind.KEYWORD, "pattern"),
    ("IP", _Kind.FUNCTION, "ip"),
    ("ON", _Kind.KEYWORD, "on"),
    ("IGNORING", _Kind.KEYWORD, "ignoring"),
    ("GROUP_LEFT", _Kind.KEYWORD, "group_left"),
    ("GROUP_RIGHT", _Kind.KEYWORD, "group_right"),
    ("DECOLORIZE", _Kind.KEYWORD, "decolorize"),
    ("DROP", _Kind.KEYWORD, "drop"),
    ("KEEP", _Kind.KEYWORD, "keep"),
    ("OR", _Kind.KEYWORD, "or"),
    ("AND", _Kind.KEYWORD, "and"),
    ("UNLESS", _Kind.KEYWORD, "unless"),
    ("CMP_EQ", _Kind.OPERATOR, "=="),
    ("NEQ", _Kind.OPERATOR, "!="),
    ("LT", _Kind.OPERATOR, "<"),
    ("LTE", _Kind.OPERATOR, "<="),
    ("GT", _Kind.OPERATOR, ">"),
    ("GTE", _Kind.OPERATOR, ">="),
    ("ADD", _Kind.OPERATOR, "+"),
    ("SUB", _Kind.OPERATOR, "-"),
    ("MUL", _Kind.OPERATOR, "*"),
    ("DIV", _Kind.OPERATOR, "/"),
    ("MOD", _Kind.OPERATOR, "%"),
    ("POW", _Kind.OPERATOR, "^"),
)
"""Name, kind, spelling; in the order in which error texts list what was expected."""


def _spellings(kind: _Kind) -> MappingProxyType[str, str]:
    return MappingProxyType({spelling: name for name, of, spelling in _TABLE if of is kind})


OPERATORS = _spellings(_Kind.OPERATOR)
"""Spelling -> token."""

KEYWORDS = _spellings(_Kind.KEYWORD)
"""Word -> token; these words are never identifiers."""

FUNCTIONS = _spellings(_Kind.FUNCTION)
"""Word -> token where "(" or a grouping follows; elsewhere the word is an identifier."""

FLAGS = frozenset({"--strict", "--keep-empty"})
"""What a FUNCTION_FLAG may be."""

ORDER = MappingProxyType({name: place for place, (name, _, _) in enumerate(_TABLE)})
"""Token -> its place in lists of what was expected."""

END = "$END"
"""The end of the text."""

_SHOWN_IN_LOWER_CASE = frozenset({"IP", "LABEL_REPLACE"})
_SHOWN = {name: name if kind is _Kind.FUNCTION else spelling for name, kind, spelling in _TABLE}


class Position(NamedTuple):
    """Where a token begins, as Loki counts: 1-based, columns in characters.

    A token that Loki's scanner completes by reading ahead (two-character operators, durations, sizes, ranges, flags)
    has line 0; so has the end of an empty text.
    """

    line: int
    col: int


class ScannedToken(NamedTuple):
    """A token: its name, its text (a string's value, unquoted) and where it begins."""

    name: str
    text: str
    at: Position


def display(name: str) -> str:
    """How an error text names a token."""
    if name == END:
        return "$end"
    return name.lower() if name in _SHOWN_IN_LOWER_CASE else _SHOWN[name]
