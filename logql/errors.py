"""What logql raises. gateway/errors.py alone turns these into statuses; `str()` of each is the body a client gets."""

from __future__ import annotations


class LogQLError(Exception):
    """Base of everything the language and its evaluator raise on purpose."""


class ParseError(LogQLError):
    """The query is not LogQL, or no valid query. Its text has Loki's form.

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


class SelectorExpected(LogQLError):  # noqa: N818 - named for what was wanted
    """A stream selector was wanted (labels, series, deletes) and another valid query came."""

    def __init__(self) -> None:
        super().__init__("only label matchers are supported")


class LogQueryExpected(LogQLError):  # noqa: N818 - named for what was wanted
    """A log query was wanted (detected fields, patterns) and a metric query came."""

    def __init__(self) -> None:
        super().__init__("only log selector is supported")


class RegexError(LogQLError):
    """A regular expression does not compile; the text is in the words of Go's regexp package."""


class StageError(LogQLError):
    """A stage cannot be built from its arguments (a bad pattern, an address that is none)."""


class LimitError(LogQLError):
    """The query asks for more than a limit allows."""


class PipelineError(LogQLError):
    """A sample of a metric query still has `__error__`, as in Loki.

    Attributes:
        error: the value of `__error__`.
    """

    def __init__(self, error: str, series: str) -> None:
        super().__init__(
            f"pipeline error: '{error}' for series: '{series}'.\n"
            f'Use a label filter to intentionally skip this error. (e.g | __error__!="{error}").\n'
            'To skip all potential errors you can match empty errors.(e.g __error__="")\n'
            'The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__="" )\n'
        )
        self.error = error


class EvaluationError(LogQLError):
    """A metric query cannot be evaluated on the data that is there (ambiguous matching). Loki answers 500."""
