"""Text -> syntax tree, with Loki's error texts.

Lark's LALR tables drive it; tokens are fed one by one, so that the first error in reading order is the one reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer, LexerState
from lark.parsers.lalr_interactive_parser import InteractiveParser

from logql.ast import LineFilter, LineFilterOp, LineFilterOperand, LogExpr, Selector, Stage, runs
from logql.errors import ParseError, RegexError, SelectorExpected, StageError, UnsupportedQuery
from logql.regex import compile_regex, matches_empty
from logql.scanner import scan
from logql.source import Matcher, MatchOp
from logql.stages.line_filter import LineFilterStage
from logql.tokens import END, ORDER, Position, ScannedToken, display

T = TypeVar("T")
Matchers: TypeAlias = tuple[Matcher, ...]

MAX_BYTES = 131072
"""Texts of this many bytes and more are refused (Loki)."""

MAX_DEPTH = 250
"""Open parentheses. Far above any real query, and low enough for what walks the tree recursively."""

_MAX_EXPECTED = 4
"""Longer lists of expected tokens are left out (goyacc)."""

_NO_VALUE_MATCHES = (
    "queries require at least one regexp or equality matcher that does not have an empty-compatible value. "
    'For instance, app=~".*" does not meet this requirement, but app=~".+" will'
)


def parse(text: str) -> LogExpr:
    """The tree of a query.

    Args:
        text: the query; bytes that were no UTF-8 as lone surrogates (surrogateescape).

    Raises:
        ParseError: it is no LogQL, or breaks a rule that is known before data is read (regexes, patterns, addresses,
            the matcher that every selector needs).
        UnsupportedQuery: it is LogQL beyond what this version evaluates.
    """
    expr = _parse_text(text)
    _check_matchers(expr.matchers)
    _check_stages(expr.stages)
    return expr


def parse_selector(text: str) -> Matchers:
    """The matchers of a query that must be a selector and nothing else: what labels and series are asked with.

    Raises:
        ParseError: as `parse`.
        SelectorExpected: it is a valid query, but has stages or is a metric query.
    """
    try:
        expr = parse(text)
    except UnsupportedQuery:
        raise SelectorExpected from None
    if expr.stages:
        raise SelectorExpected
    return expr.matchers


def _parse_text(text: str) -> LogExpr:
    size = len(text.encode("utf-8", "surrogateescape"))
    if size >= MAX_BYTES:
        raise ParseError(f"input size too long ({size} > {MAX_BYTES})")
    state = _lark().parse_interactive("")
    result: object = None
    for token in _bounded(scan(text)):
        try:
            result = state.feed_token(Token(token.name, token.text, line=token.at.line, column=token.at.col))
        except UnexpectedToken:
            raise _unexpected(token, state) from None
    assert isinstance(result, LogExpr)
    return result


def _bounded(tokens: Iterator[ScannedToken]) -> Iterator[ScannedToken]:
    depth = 0
    for token in tokens:
        if token.name == "OPEN_PARENTHESIS":
            depth += 1
            if depth > MAX_DEPTH:
                raise ParseError(f"query nests too deeply (more than {MAX_DEPTH} parentheses)", *token.at)
        elif token.name == "CLOSE_PARENTHESIS":
            depth -= 1
        yield token


def _unexpected(token: ScannedToken, state: InteractiveParser) -> ParseError:
    accepted: set[str] = state.accepts()  # type: ignore[no-untyped-call]  # Lark has no types here
    message = f"syntax error: unexpected {display(token.name)}"
    expected = sorted(accepted - {END}, key=ORDER.__getitem__)
    if END not in accepted and 0 < len(expected) <= _MAX_EXPECTED:
        message += f", expecting {' or '.join(map(display, expected))}"
    return ParseError(message, *token.at)


def _check_matchers(matchers: Matchers) -> None:
    """Loki's rule that a selector must not match streams for labels they lack alone."""
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


def _check_stages(stages: tuple[Stage, ...]) -> None:
    """Builds every stage. Of two faults in one run of line filters Loki names the last."""
    for run in runs(stages):
        for line_filter in reversed(run):
            try:
                LineFilterStage.of(line_filter)
            except (RegexError, StageError) as error:
                raise ParseError(f"stage '{' '.join(map(str, run))}' : {error}") from None


def _unsupported(what: str, token: Token) -> UnsupportedQuery:
    return UnsupportedQuery(f"this version of Weir does not evaluate {what} yet", *_at(token))


def _at(token: Token) -> Position:
    assert token.line is not None
    assert token.column is not None
    return Position(token.line, token.column)


@v_args(inline=True)
class _Build(Transformer[Token, LogExpr]):
    """Makes nodes as rules are reduced. Lists grow in place: a long pipeline costs linear time."""

    def query(self, expr: LogExpr) -> LogExpr:
        return expr

    def selected(self, selector: Selector) -> LogExpr:
        return LogExpr(selector)

    def piped(self, selector: Selector, stages: list[Stage]) -> LogExpr:
        return LogExpr(selector, tuple(stages))

    def parenthesised(self, _open: Token, expr: LogExpr, _close: Token) -> LogExpr:
        return expr

    def selector(self, brace: Token, *inner: Any) -> Selector:
        return Selector(tuple(inner[0]) if len(inner) == 2 else (), _at(brace))

    def matcher(self, name: Token, op: Token, value: Token) -> Matcher:
        if op.type in ("RE", "NRE"):
            try:
                compile_regex(value.value, dot_all=True)
            except RegexError as error:
                raise ParseError(str(error)) from None
        return Matcher(name.value, MatchOp(op.value), value.value)

    def first(self, item: T) -> list[T]:
        return [item]

    def further(self, items: list[T], _separator: Token, item: T) -> list[T]:
        items.append(item)
        return items

    def next_stage(self, items: list[Stage], item: Stage) -> list[Stage]:
        items.append(item)
        return items

    def line_filter(self, op: Token, operands: list[LineFilterOperand]) -> LineFilter:
        return LineFilter(LineFilterOp(op.value), tuple(operands), _at(op))

    def text_operand(self, text: Token) -> LineFilterOperand:
        return LineFilterOperand(text.value, is_ip=False, at=_at(text))

    def ip_operand(self, ip: Token, _open: Token, text: Token, _close: Token) -> LineFilterOperand:
        return LineFilterOperand(text.value, is_ip=True, at=_at(ip))

    def metric_start(self, token: Token) -> None:
        raise _unsupported("metric queries", token)

    def binary_operator(self, token: Token) -> None:
        raise _unsupported("binary operations", token)

    def parsing_stage(self, token: Token) -> None:
        raise _unsupported("parsers, label filters and formats", token)


class _FedByHand(Lexer):
    """Lark wants a lexer; tokens come from scanner.py one by one instead (`feed_token`)."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:  # noqa: ARG002 - Lark's signature
        return iter(())


@cache
def _lark() -> Lark:
    build: Callable[..., Lark] = Lark
    return build(
        (Path(__file__).parent / "grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer=_FedByHand,
        start="query",
        transformer=_Build(),
    )
