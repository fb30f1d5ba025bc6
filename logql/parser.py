"""Text -> syntax tree, with Loki's error texts.

Lark's LALR tables drive it; tokens are fed one by one, so that the first error in reading order is the one reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from lark import Lark, Token
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer, LexerState
from lark.parsers.lalr_interactive_parser import InteractiveParser

from logql.ast import Expr, LogExpr
from logql.build import builder
from logql.errors import LogQueryExpected, ParseError, SelectorExpected
from logql.expected import expected_tokens
from logql.scanner import scan
from logql.source import Matcher
from logql.tokens import ScannedToken, display
from logql.validate import MAX_DEPTH, check_depth, check_matchers, check_stages, too_deep

Matchers: TypeAlias = tuple[Matcher, ...]

MAX_BYTES = 131072
"""Texts of this many bytes and more are refused (Loki)."""

_MAX_EXPECTED = 4
"""Longer lists of expected tokens are left out (goyacc)."""


def parse(text: str) -> Expr:
    """The tree of a query, ready to run.

    Args:
        text: the query; bytes that were no UTF-8 as lone surrogates (surrogateescape).

    Raises:
        ParseError: it is no LogQL, or breaks a rule that is known before data is read: a selector without a matcher
            that it needs, a stage that cannot be built from its arguments.
    """
    expr = parse_unbuilt(text)
    check_stages(expr)
    return expr


def parse_unbuilt(text: str) -> Expr:
    """As `parse`, for a query that is looked at and not run: its stages may have faults (templates, addresses)."""
    expr = _parse_text(text)
    check_depth(expr)
    check_matchers(expr)
    return expr


def parse_log(text: str) -> LogExpr:
    """As `parse`, for what works on log queries alone.

    Raises:
        ParseError: as `parse`.
        LogQueryExpected: it is a metric query.
    """
    expr = parse(text)
    if not isinstance(expr, LogExpr):
        raise LogQueryExpected
    return expr


def parse_choice(text: str) -> LogExpr:
    """As `parse_log`, but the selector may match every stream: what a delete chooses by.

    Raises:
        ParseError: as `parse`.
        LogQueryExpected: it is a metric query.
    """
    expr = _parse_text(text)
    check_depth(expr)
    if not isinstance(expr, LogExpr):
        raise LogQueryExpected
    check_stages(expr)
    return expr


def parse_selector(text: str) -> Matchers:
    """The matchers of a query that must be a selector and nothing else: what labels and series are asked with.

    Raises:
        ParseError: as `parse`.
        SelectorExpected: it is a valid query, but has stages or is a metric query.
    """
    expr = parse_unbuilt(text)
    if not isinstance(expr, LogExpr) or expr.stages:
        raise SelectorExpected
    return expr.matchers


def _parse_text(text: str) -> Expr:
    size = len(text.encode("utf-8", "surrogateescape"))
    if size >= MAX_BYTES:
        raise ParseError(f"input size too long ({size} > {MAX_BYTES})")
    state = _lark().parse_interactive("")
    result: Any = None
    for token in _bounded(scan(text)):
        try:
            result = state.feed_token(Token(token.name, token.text, line=token.at.line, column=token.at.col))
        except UnexpectedToken:
            raise _unexpected(token, state) from None
    expr: Expr = result
    return expr


def _bounded(tokens: Iterator[ScannedToken]) -> Iterator[ScannedToken]:
    depth = 0
    for token in tokens:
        if token.name == "OPEN_PARENTHESIS":
            depth += 1
            if depth > MAX_DEPTH:
                raise too_deep()
        elif token.name == "CLOSE_PARENTHESIS":
            depth -= 1
        yield token


def _unexpected(token: ScannedToken, state: InteractiveParser) -> ParseError:
    message = f"syntax error: unexpected {display(token.name)}"
    expected = expected_tokens(state)
    if 0 < len(expected) <= _MAX_EXPECTED:
        message += f", expecting {' or '.join(map(display, expected))}"
    return ParseError(message, *token.at)


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
        transformer=builder(),
    )
