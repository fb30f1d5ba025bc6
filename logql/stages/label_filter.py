"""Label filters: strings, numbers, durations, sizes, addresses, and those joined by `and` and `or`, as in Loki."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from logql import ast
from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.durations import print_size
from logql.ip import Address, has_address, ip_test
from logql.label_regex import ValueTest, label_regex
from logql.literals import to_bytes
from logql.source import Matcher, MatchOp
from logql.stages.row import ERROR, Row

LABEL_FILTER_ERROR = "LabelFilterErr"

_COMPARE: Mapping[ast.CompareOp, Callable[[Any, Any], bool]] = {
    ast.CompareOp.EQ: operator.eq,
    ast.CompareOp.NE: operator.ne,
    ast.CompareOp.GT: operator.gt,
    ast.CompareOp.GE: operator.ge,
    ast.CompareOp.LT: operator.lt,
    ast.CompareOp.LE: operator.le,
}


@dataclass(frozen=True, slots=True)
class StringTest:
    """`name="value"` and its kin. A missing label is "". Only this filter sees `__error__`, none the details of it.

    Attributes:
        name: of the label.
        negative: the values that pass `test` are dropped.
        test: of the value.
        wanted: the one value that passes it; None if there are others.
    """

    name: str
    negative: bool
    test: ValueTest
    wanted: str | None = None

    @classmethod
    def of(cls, node: ast.StringFilter) -> StringTest:
        """The test of a node. Raises RegexError."""
        matcher = node.matcher
        wanted = None if matcher.op in (MatchOp.RE, MatchOp.NRE) else matcher.value
        return cls(matcher.name, matcher.op in (MatchOp.NE, MatchOp.NRE), _value_test(matcher), wanted)

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        value = row.error if self.name == ERROR else row.get(self.name)
        return self.test(value or "") != self.negative


def _value_test(matcher: Matcher) -> ValueTest:
    if matcher.op in (MatchOp.RE, MatchOp.NRE):
        return label_regex(matcher.value)
    wanted = matcher.value
    return lambda value: value == wanted


@dataclass(frozen=True, slots=True)
class ValueComparison:
    """A comparison with a number, a duration or a size.

    A row without the label is dropped, one whose label is none of these goes on with an error (its first error stays).
    """

    name: str
    parse: Callable[[str], float]
    compare: Callable[[Any, Any], bool]
    value: float

    @classmethod
    def of(cls, node: ast.NumberFilter | ast.DurationFilter | ast.BytesFilter) -> ValueComparison:
        """The comparison of a node.

        Loki prints a query before it runs it, and a size is printed with two digits: `1KiB` is 1000 (recorded).
        """
        parse: Callable[[str], float]
        value: float = node.value
        match node:
            case ast.NumberFilter():
                parse = parse_float
            case ast.DurationFilter():
                parse = parse_duration
            case ast.BytesFilter():
                parse = parse_bytes
                value = parse_bytes(print_size(node.value))
        return cls(node.name, parse, _COMPARE[node.op], value)

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        text = row.get(self.name)
        if text is None:
            return False
        try:
            value = self.parse(text)
        except ConversionError as error:
            if not row.error:
                row.fail(LABEL_FILTER_ERROR, str(error))
            return True
        return self.compare(value, self.value)


@dataclass(frozen=True, slots=True)
class AddressTest:
    """`name=ip("...")`: whether an address anywhere in the value is one of those."""

    name: str
    negative: bool
    test: Callable[[Address], bool]

    @classmethod
    def of(cls, node: ast.IpLabelFilter) -> AddressTest:
        """The test of a node. Raises StageError: the pattern names no addresses."""
        return cls(node.name, node.negative, ip_test(node.pattern))

    def apply(self, row: Row) -> bool:
        """Whether the row goes on. One without the label does not; one that has failed before does."""
        if row.error:
            return True
        text = row.get(self.name)
        return text is not None and has_address(to_bytes(text), self.test) != self.negative


@dataclass(frozen=True, slots=True)
class BothTests:
    """`and`: the right test is made even if the left one fails, since it may set an error."""

    left: LabelTest
    right: LabelTest

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        left = self.left.apply(row)
        return self.right.apply(row) and left


@dataclass(frozen=True, slots=True)
class EitherTest:
    """`or`: the right test is made only if the left one fails."""

    left: LabelTest
    right: LabelTest

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        return self.left.apply(row) or self.right.apply(row)


LabelTest: TypeAlias = StringTest | ValueComparison | AddressTest | BothTests | EitherTest


def label_test(node: ast.LabelFilter) -> LabelTest:
    """The test of any label filter.

    Raises:
        RegexError, StageError: its regex or address is none.
    """
    match node:
        case ast.StringFilter():
            return StringTest.of(node)
        case ast.IpLabelFilter():
            return AddressTest.of(node)
        case ast.BinaryFilter(op, left, right):
            return (EitherTest if op == "or" else BothTests)(label_test(left), label_test(right))
        case _:
            return ValueComparison.of(node)


@dataclass(frozen=True, slots=True)
class LabelFilterStage:
    """`| <label filter>`."""

    test: LabelTest

    @classmethod
    def of(cls, node: ast.LabelFilterStage) -> LabelFilterStage:
        """The stage of a node. Raises as `label_test`."""
        return cls(label_test(node.filter))

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        return self.test.apply(row)


def names_of(node: ast.LabelFilter) -> Iterator[str]:
    """The labels that a filter reads."""
    match node:
        case ast.BinaryFilter(_, left, right):
            yield from names_of(left)
            yield from names_of(right)
        case ast.StringFilter(matcher):
            yield matcher.name
        case _:
            yield node.name
