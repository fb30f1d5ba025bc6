"""What `drop` and `keep` list: a label, or a label with a matcher on its value."""

from __future__ import annotations

from dataclasses import dataclass

from logql.label_regex import ValueTest
from logql.literals import to_bytes
from logql.regex import compile_regex
from logql.source import Matcher, MatchOp


def _any_value(_value: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """A name, and what its value must pass. Regexes are a stream matcher's: anchored, `.` is any character."""

    name: str
    accepts: ValueTest

    @property
    def any_value(self) -> bool:
        """Whether there is no matcher."""
        return self.accepts is _any_value

    @classmethod
    def of(cls, item: str | Matcher) -> LabelMatch:
        """Of an item of the list. Raises RegexError."""
        return cls(item, _any_value) if isinstance(item, str) else cls(item.name, _value_test(item))


def _value_test(matcher: Matcher) -> ValueTest:
    wanted = matcher.value
    match matcher.op:
        case MatchOp.EQ:
            return lambda value: value == wanted
        case MatchOp.NE:
            return lambda value: value != wanted
    regex = compile_regex(wanted, dot_all=True)
    negative = matcher.op is MatchOp.NRE
    return lambda value: (regex.fullmatch(to_bytes(value)) is not None) != negative
