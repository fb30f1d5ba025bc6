"""What logql raises. gateway/errors.py alone turns these into statuses; `str()` of each is the body a client gets."""

from __future__ import annotations


class LogQLError(Exception):
    """Base of everything the language and its evaluator raise on purpose."""


class ParseError(LogQLError):
    """The query is not LogQL, or no valid query. Its text has Loki's form (LOKI.md 3.4).

    Attributes:
        message: what is wrong, without the position.
        line: 1-based line of the offending token; 0 where Loki gives none.
        col: 1-based column in characters; 0 where Loki gives none.
    """

    def __init__(self, message: str, line: int = 0, col: int = 0) -> None:
        where = f"at line {line}, col {col}" if line or col else ""
        super().__init__(f"parse error {where}: {message}")
        self.message = message
        self.line = line
        self.col = col


class UnsupportedQuery(ParseError):  # noqa: N818 - a state of this version, not a mistake of the user
    """The query uses a part of LogQL that this version does not evaluate yet."""


class SelectorExpected(LogQLError):  # noqa: N818 - named for what was wanted
    """A stream selector was wanted (labels, series, deletes) and another valid query came."""

    def __init__(self) -> None:
        super().__init__("only label matchers are supported")


class RegexError(LogQLError):
    """A regular expression does not compile; the text is in the words of Go's regexp package."""


class StageError(LogQLError):
    """A stage cannot be built from its arguments (a bad pattern, an address that is none)."""


class LimitError(LogQLError):
    """The query asks for more than a limit allows."""
