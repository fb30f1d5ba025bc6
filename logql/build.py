"""Rules of grammar.lark -> nodes of the tree. Lists grow in place, so that a long query costs linear time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, TypeVar

from lark import Token, Transformer, v_args

from logql import ast
from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.durations import parse_prometheus_duration
from logql.errors import ParseError, RegexError, StageError
from logql.precedence import BinaryOperator, group_filters, group_operations
from logql.regex import compile_regex
from logql.source import Matcher, MatchOp
from logql.stages.pattern_parser import PatternParser
from logql.stages.regexp import RegexpParser
from logql.tokens import Position
from logql.validate import check_label_replace, check_range_aggregation, check_vector_aggregation

T = TypeVar("T")

_FIRST = BinaryOperator("", ast.Matching())


class _Chain(list[tuple[BinaryOperator, ast.Expr]]):
    """Binary operations; more may follow."""


class _FilterChain(list[tuple[str, ast.LabelFilter]]):
    """Label filters; more may follow."""


class _Number(NamedTuple):
    """A number with its sign, and as it was written."""

    value: float
    text: str
    at: Position


class _On(NamedTuple):
    """`on (a, b)` or `ignoring (a, b)`."""

    on: bool
    labels: tuple[str, ...]
    at: Position


class _Group(NamedTuple):
    """`group_left (a, b)` or `group_right (a, b)`."""

    side: str
    include: tuple[str, ...]


class _Unwrap(NamedTuple):
    """An unwrap; more filters may follow."""

    label: str
    conversion: str | None
    filters: list[ast.LabelFilter]
    at: Position

    def finished(self) -> ast.Unwrap:
        return ast.Unwrap(self.label, self.conversion, tuple(self.filters), at=self.at)


class _Placed(NamedTuple):
    """A matcher and where it stands."""

    matcher: Matcher
    at: Position


_Unfinished: TypeAlias = "ast.Expr | _Chain"


@contextmanager
def _refusing() -> Iterator[None]:
    """Regexes and patterns that are none refuse the query as soon as they are read; their texts name no stage."""
    try:
        yield
    except (RegexError, StageError) as error:
        raise ParseError(str(error)) from None


def _at(token: Token) -> Position:
    assert token.line is not None
    assert token.column is not None
    return Position(token.line, token.column)


def _finished(expr: Any) -> Any:
    """The tree of a chain that has come to its end; anything else as it is."""
    match expr:
        case _Chain():
            return group_operations(expr)
        case _FilterChain():
            return group_filters(expr)
    return expr


def _float(text: str) -> float:
    try:
        return parse_float(text)
    except ConversionError as error:
        raise ParseError(f"unable to parse literal as a float: {error}") from None


def _quantile(op: str, text: str) -> float:
    try:
        return parse_float(text)
    except ConversionError as error:
        raise ParseError(f"invalid parameter for operation {op.lower()}: {error}") from None


def _duration(text: str) -> int:
    """Value in ns of a DURATION token, which is Prometheus' or else Go's; a minus may stand before the former."""
    try:
        return -parse_prometheus_duration(text[1:]) if text[0] == "-" else parse_prometheus_duration(text)
    except ConversionError:
        return parse_duration(text)


def _comparison(op: Token) -> ast.CompareOp:
    return ast.CompareOp("==" if op.type == "EQ" else op.value)


def _only(children: Sequence[Any], kind: type[T]) -> T | None:
    """The child of a type, if there is one."""
    return next((child for child in children if isinstance(child, kind)), None)


def _names(children: Sequence[Any]) -> tuple[str, ...]:
    """The names of a list in parentheses, which may be empty."""
    return tuple(name.value for name in _only(children, list) or ())


@v_args(inline=True)
class _Build(Transformer[Token, ast.Expr]):
    """Makes nodes as rules are reduced."""

    def query(self, expr: _Unfinished) -> Any:
        return _finished(expr)

    def parenthesised(self, _open: Token, inner: _Unfinished | ast.LogRange, _close: Token) -> Any:
        return _finished(inner)

    # Lists

    def first(self, item: T) -> list[T]:
        return [item]

    def next_item(self, items: list[T], item: T) -> list[T]:
        items.append(item)
        return items

    def further(self, items: list[T], _separator: Token, item: T) -> list[T]:
        items.append(item)
        return items

    # Log queries

    def log_expr(self, selector: ast.Selector, stages: Sequence[ast.Stage] = ()) -> ast.LogExpr:
        return ast.LogExpr(selector, tuple(stages), at=selector.at)

    def selector(self, brace: Token, *rest: Any) -> ast.Selector:
        return ast.Selector(tuple(placed.matcher for placed in _only(rest, list) or ()), _at(brace))

    def matcher(self, name: Token, op: Token, value: Token) -> _Placed:
        if op.type in ("RE", "NRE"):
            with _refusing():
                compile_regex(value.value, dot_all=True)
        return _Placed(Matcher(name.value, MatchOp(op.value), value.value), _at(name))

    def line_filter(self, op: Token, operands: list[ast.LineFilterOperand]) -> ast.LineFilter:
        return ast.LineFilter(ast.LineFilterOp(op.value), tuple(operands), _at(op))

    def text_operand(self, text: Token) -> ast.LineFilterOperand:
        return ast.LineFilterOperand(text.value, is_ip=False, at=_at(text))

    def ip_operand(self, ip: Token, _open: Token, text: Token, _close: Token) -> ast.LineFilterOperand:
        return ast.LineFilterOperand(text.value, is_ip=True, at=_at(ip))

    # Parsers

    def piped(self, pipe: Token, stage: ast.Stage) -> ast.Stage:
        return replace(stage, at=_at(pipe))

    def json(self, _json: Token, extractions: Sequence[ast.Extraction] = ()) -> ast.JsonStage:
        return ast.JsonStage(tuple(extractions))

    def logfmt(self, _logfmt: Token, *lists: list[Any]) -> ast.LogfmtStage:
        given = [each for items in lists for each in items]
        flags = {each.value for each in given if isinstance(each, Token)}
        extractions = tuple(each for each in given if isinstance(each, ast.Extraction))
        return ast.LogfmtStage("--strict" in flags, "--keep-empty" in flags, extractions)

    def regexp(self, _regexp: Token, pattern: Token) -> ast.RegexpStage:
        stage = ast.RegexpStage(pattern.value)
        with _refusing():
            RegexpParser.of(stage)
        return stage

    def pattern(self, _pattern: Token, pattern: Token) -> ast.PatternStage:
        stage = ast.PatternStage(pattern.value)
        with _refusing():
            PatternParser.of(stage)
        return stage

    def unpack(self, _unpack: Token) -> ast.UnpackStage:
        return ast.UnpackStage()

    def extraction(self, name: Token, _eq: Token | None = None, expression: Token | None = None) -> ast.Extraction:
        return ast.Extraction(name.value, (name if expression is None else expression).value, at=_at(name))

    # Label filters

    def label_filter_stage(self, pipe: Token, chain: _FilterChain) -> ast.LabelFilterStage:
        return ast.LabelFilterStage(_finished(chain), at=_at(pipe))

    def filter_start(self, operand: ast.LabelFilter) -> _FilterChain:
        return _FilterChain([("", operand)])

    def filter_chain(self, chain: _FilterChain, *rest: Any) -> _FilterChain:
        operator = rest[0].value.lower() if len(rest) == 2 else ""
        chain.append((operator, rest[-1]))
        return chain

    def filter_group(self, _open: Token, chain: _FilterChain, _close: Token) -> ast.LabelFilter:
        grouped: ast.LabelFilter = _finished(chain)
        return grouped

    def string_filter(self, placed: _Placed) -> ast.StringFilter:
        return ast.StringFilter(placed.matcher, at=placed.at)

    def number_filter(self, name: Token, op: Token, number: _Number) -> ast.NumberFilter:
        return ast.NumberFilter(name.value, _comparison(op), number.value, number.text, at=_at(name))

    def duration_filter(self, name: Token, op: Token, duration: Token) -> ast.DurationFilter:
        text = duration.value
        return ast.DurationFilter(name.value, _comparison(op), _duration(text), text, at=_at(name))

    def bytes_filter(self, name: Token, op: Token, size: Token) -> ast.BytesFilter:
        return ast.BytesFilter(name.value, _comparison(op), parse_bytes(size.value), size.value, at=_at(name))

    def ip_filter(
        self, name: Token, op: Token, _ip: Token, _open: Token, text: Token, _close: Token
    ) -> ast.IpLabelFilter:
        return ast.IpLabelFilter(name.value, op.type == "NEQ", text.value, at=_at(name))

    # Other stages

    def line_format(self, pipe: Token, _line_format: Token, template: Token) -> ast.LineFormatStage:
        return ast.LineFormatStage(template.value, at=_at(pipe))

    def label_format(self, name: Token, _eq: Token, value: Token) -> ast.LabelFormat:
        return ast.LabelFormat(name.value, value.value, rename=value.type == "IDENTIFIER", at=_at(name))

    def label_format_stage(
        self, pipe: Token, _label_format: Token, formats: list[ast.LabelFormat]
    ) -> ast.LabelFormatStage:
        return ast.LabelFormatStage(tuple(formats), at=_at(pipe))

    def decolorize(self, pipe: Token, _decolorize: Token) -> ast.DecolorizeStage:
        return ast.DecolorizeStage(at=_at(pipe))

    def drop(self, pipe: Token, _drop: Token, items: list[str | Matcher]) -> ast.DropStage:
        return ast.DropStage(tuple(items), at=_at(pipe))

    def keep(self, pipe: Token, _keep: Token, items: list[str | Matcher]) -> ast.KeepStage:
        return ast.KeepStage(tuple(items), at=_at(pipe))

    def name(self, name: Token) -> str:
        text: str = name.value
        return text

    def only(self, placed: _Placed) -> Matcher:
        return placed.matcher

    # Metric queries

    def binary(self, left: _Unfinished, op: Token, *rest: Any) -> _Chain:
        chain = left if isinstance(left, _Chain) else _Chain([(_FIRST, left)])
        matching = rest[0] if len(rest) == 2 else ast.Matching(at=_at(op))
        chain.append((BinaryOperator(op.value.lower(), matching), rest[-1]))
        return chain

    def matching(self, *parts: Any) -> ast.Matching:
        on, group = _only(parts, _On), _only(parts, _Group)
        first = parts[0]
        found = ast.Matching(
            return_bool=isinstance(first, Token), at=_at(first) if isinstance(first, Token) else first.at
        )
        if on is not None:
            found = replace(found, on=on.on, labels=on.labels, written=True)
        if group is not None:
            found = replace(found, group=group.side, include=group.include)
        return found

    def on(self, word: Token, *rest: Any) -> _On:
        return _On(word.type == "ON", _names(rest), _at(word))

    def group(self, word: Token, *rest: Any) -> _Group:
        return _Group("left" if word.type == "GROUP_LEFT" else "right", _names(rest))

    def number(self, *tokens: Token) -> _Number:
        sign = "-" if tokens[0].type == "SUB" else ""
        value = _float(tokens[-1].value)
        return _Number(-value if sign else value, f"{sign}{tokens[-1].value}", _at(tokens[0]))

    def literal(self, number: _Number) -> ast.Literal:
        return ast.Literal(number.value, at=number.at)

    def vector(self, vector: Token, _open: Token, number: Token, _close: Token) -> ast.VectorLiteral:
        return ast.VectorLiteral(_float(number.value), at=_at(vector))

    def label_replace(self, word: Token, _open: Token, operand: _Unfinished, *rest: Token) -> ast.LabelReplace:
        dst, replacement, src, regex = (token.value for token in rest if token.type == "STRING")
        check_label_replace(regex)
        return ast.LabelReplace(_finished(operand), dst, replacement, src, regex, at=_at(word))

    def range_aggregation(self, op: Token, *rest: Any) -> ast.RangeAggregation:
        name, log_range, grouping = op.value.lower(), _only(rest, ast.LogRange), _only(rest, ast.Grouping)
        assert log_range is not None
        parameter = next((token.value for token in rest if isinstance(token, Token) and token.type == "NUMBER"), None)
        check_range_aggregation(name, parameter, log_range.unwrap is not None, grouping)
        value = None if parameter is None else _quantile(op, parameter)
        return ast.RangeAggregation(name, log_range, value, grouping, at=_at(op))

    def log_range(self, *parts: Any) -> ast.LogRange:
        selector, unwrap = _only(parts, ast.Selector), _only(parts, _Unwrap)
        assert selector is not None
        log = ast.LogExpr(selector, tuple(_only(parts, list) or ()), at=selector.at)
        length = next(token for token in parts if isinstance(token, Token) and token.type == "RANGE")
        first = parts[0]
        return ast.LogRange(
            log,
            parse_prometheus_duration(length.value),
            _only(parts, int) or 0,
            unwrap.finished() if unwrap else None,
            at=_at(first) if isinstance(first, Token) else selector.at,
        )

    def offset(self, _offset: Token, duration: Token) -> int:
        return _duration(duration.value)

    def unwrap(self, pipe: Token, _unwrap: Token, *rest: Token) -> _Unwrap:
        if len(rest) == 1:
            return _Unwrap(rest[0].value, None, [], _at(pipe))
        conversion, _open, label, _close = rest
        return _Unwrap(label.value, conversion.value.lower(), [], _at(pipe))

    def filtered_unwrap(self, unwrap: _Unwrap, _pipe: Token, chain: _FilterChain) -> _Unwrap:
        unwrap.filters.append(_finished(chain))
        return unwrap

    def vector_aggregation(self, op: Token, *rest: Any) -> ast.VectorAggregation:
        name, grouping = op.value.lower(), _only(rest, ast.Grouping)
        operand = next(each for each in rest if not isinstance(each, Token | ast.Grouping))
        parameter = next((token.value for token in rest if isinstance(token, Token) and token.type == "NUMBER"), None)
        check_vector_aggregation(name, parameter, grouping)
        value = None if parameter is None else int(parameter)
        return ast.VectorAggregation(name, _finished(operand), value, grouping, at=_at(op))

    def grouping(self, word: Token, *rest: Any) -> ast.Grouping:
        return ast.Grouping(_names(rest), word.type == "WITHOUT", at=_at(word))


def builder() -> Transformer[Token, ast.Expr]:
    """What Lark calls as it reduces rules; the result of a parse is an Expr."""
    return _Build()
