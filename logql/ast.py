"""The syntax tree. Values only: frozen, comparable (positions aside), and `str()` of a node is Loki's text of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import TypeAlias

from logql.literals import quote
from logql.source import Matcher
from logql.tokens import Position


@dataclass(frozen=True, slots=True)
class Selector:
    """`{name="value", ...}`: which streams are read. May be empty as text; validation refuses that."""

    matchers: tuple[Matcher, ...]
    at: Position = field(compare=False)

    def __str__(self) -> str:
        return "{" + ", ".join(f"{matcher.name}{matcher.op}{quote(matcher.value)}" for matcher in self.matchers) + "}"


class LineFilterOp(StrEnum):
    """The operators of a line filter; each of the three tests and its opposite."""

    CONTAINS = "|="
    NOT_CONTAINS = "!="
    MATCHES = "|~"
    NOT_MATCHES = "!~"
    PATTERN = "|>"
    NOT_PATTERN = "!>"

    @property
    def negative(self) -> bool:
        """Whether lines that pass the test are dropped."""
        return self.value[0] == "!"


@dataclass(frozen=True, slots=True)
class LineFilterOperand:
    """What a line is tested for: a text, a regex or a pattern (the operator says which), or an `ip("...")`."""

    text: str
    is_ip: bool
    at: Position = field(compare=False)

    def __str__(self) -> str:
        return f"ip({quote(self.text)})" if self.is_ip else quote(self.text)


@dataclass(frozen=True, slots=True)
class LineFilter:
    """`|= "a" or "b"`: positive operators ask for any operand, negative ones for none of them."""

    op: LineFilterOp
    operands: tuple[LineFilterOperand, ...]
    at: Position = field(compare=False)

    def __str__(self) -> str:
        return f"{self.op} {' or '.join(map(str, self.operands))}"


Stage: TypeAlias = LineFilter
"""Any step of a pipeline."""


@dataclass(frozen=True, slots=True)
class LogExpr:
    """A log query: a selector and the stages that its lines go through, in order."""

    selector: Selector
    stages: tuple[Stage, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, (self.selector, *self.stages)))

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """The selector's matchers."""
        return self.selector.matchers


def runs(stages: tuple[Stage, ...]) -> list[tuple[LineFilter, ...]]:
    """Neighbouring line filters together: Loki holds them as one stage, and its error texts name all of them."""
    return [tuple(run) for _, run in groupby(stages, type)]
