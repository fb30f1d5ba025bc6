"""The syntax tree. Values only: frozen, comparable (positions aside), and `str()` of a node is Loki's text of it.

`at` of a node is where its first token stands; NOWHERE in trees that no query was parsed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from logql.durations import print_duration, print_prometheus_duration, print_size
from logql.literals import quote
from logql.numbers import fixed, plain, short
from logql.source import Matcher
from logql.tokens import Position

NOWHERE = Position(0, 0)


def _matcher(matcher: Matcher) -> str:
    return f"{matcher.name}{matcher.op}{quote(matcher.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """`{name="value", ...}`: which streams are read. May be empty as text; validation refuses that."""

    matchers: tuple[Matcher, ...]
    at: Position = field(compare=False)

    def __str__(self) -> str:
        return "{" + ", ".join(map(_matcher, self.matchers)) + "}"


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


class CompareOp(StrEnum):
    """Comparisons: of label filters with a number, a duration or bytes, and of metric queries."""

    EQ = "=="
    NE = "!="
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="


@dataclass(frozen=True, slots=True)
class StringFilter:
    """`name="value"`, `!=`, `=~`, `!~` on any label; a missing one is ""."""

    matcher: Matcher
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return _matcher(self.matcher)


@dataclass(frozen=True, slots=True)
class NumberFilter:
    """`name > 5`. `text` is the number as written."""

    name: str
    op: CompareOp
    value: float
    text: str = field(compare=False)
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}{self.op}{plain(self.value)}"


@dataclass(frozen=True, slots=True)
class DurationFilter:
    """`name > 1h30m`; `value` in ns."""

    name: str
    op: CompareOp
    value: int
    text: str = field(compare=False)
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}{self.op}{print_duration(self.value)}"


@dataclass(frozen=True, slots=True)
class BytesFilter:
    """`name > 5KB`; `value` in bytes."""

    name: str
    op: CompareOp
    value: int
    text: str = field(compare=False)
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}{self.op}{print_size(self.value)}"


@dataclass(frozen=True, slots=True)
class IpLabelFilter:
    """`name = ip("10.0.0.0/8")` or `!=`."""

    name: str
    negative: bool
    pattern: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}{'!=' if self.negative else '='}ip({quote(self.pattern)})"


@dataclass(frozen=True, slots=True)
class BinaryFilter:
    """Two label filters joined by `and` (also `,` and nothing at all) or `or`."""

    op: str
    left: LabelFilter
    right: LabelFilter
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"( {self.left} {',' if self.op == 'and' else self.op} {self.right} )"


LabelFilter: TypeAlias = "StringFilter | NumberFilter | DurationFilter | BytesFilter | IpLabelFilter | BinaryFilter"


@dataclass(frozen=True, slots=True)
class LabelFilterStage:
    """`| <label filter>`."""

    filter: LabelFilter
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"| {self.filter}"


@dataclass(frozen=True, slots=True)
class Extraction:
    """`name="expression"` of json and logfmt; `name` alone means the expression is the name."""

    name: str
    expression: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}={quote(self.expression)}"


def _stage(name: str, arguments: Iterable[object]) -> str:
    return f"| {name} {','.join(map(str, arguments))}".rstrip(" ")


def _condition(item: str | Matcher) -> str:
    return item if isinstance(item, str) else _matcher(item)


@dataclass(frozen=True, slots=True)
class JsonStage:
    """`| json`, with or without extractions."""

    extractions: tuple[Extraction, ...] = ()
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return _stage("json", self.extractions)


@dataclass(frozen=True, slots=True)
class LogfmtStage:
    """`| logfmt`, its flags and extractions."""

    strict: bool = False
    keep_empty: bool = False
    extractions: tuple[Extraction, ...] = ()
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        flags = " --strict" * self.strict + " --keep-empty" * self.keep_empty
        return _stage(f"logfmt{flags}", self.extractions)


@dataclass(frozen=True, slots=True)
class RegexpStage:
    """`| regexp "..."`."""

    pattern: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"| regexp {quote(self.pattern)}"


@dataclass(frozen=True, slots=True)
class PatternStage:
    """`| pattern "..."`."""

    pattern: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"| pattern {quote(self.pattern)}"


@dataclass(frozen=True, slots=True)
class UnpackStage:
    """`| unpack`."""

    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return "| unpack"


@dataclass(frozen=True, slots=True)
class LineFormatStage:
    """`| line_format "..."`: the new line, a Go template."""

    template: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"| line_format {quote(self.template)}"


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """`name=source` (a rename) or `name="template"`."""

    name: str
    value: str
    rename: bool
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.name}={self.value if self.rename else quote(self.value)}"


@dataclass(frozen=True, slots=True)
class LabelFormatStage:
    """`| label_format a=b, c="..."`."""

    formats: tuple[LabelFormat, ...]
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return _stage("label_format", self.formats)


@dataclass(frozen=True, slots=True)
class DecolorizeStage:
    """`| decolorize`."""

    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return "| decolorize"


@dataclass(frozen=True, slots=True)
class DropStage:
    """`| drop a, b="x"`: names, or names with a condition on their value."""

    items: tuple[str | Matcher, ...]
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return _stage("drop", map(_condition, self.items))


@dataclass(frozen=True, slots=True)
class KeepStage:
    """`| keep a, b="x"`."""

    items: tuple[str | Matcher, ...]
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return _stage("keep", map(_condition, self.items))


Stage: TypeAlias = (
    "LineFilter | LabelFilterStage | JsonStage | LogfmtStage | RegexpStage | PatternStage | UnpackStage"
    " | LineFormatStage | LabelFormatStage | DecolorizeStage | DropStage | KeepStage"
)
"""Any step of a pipeline."""


@dataclass(frozen=True, slots=True)
class LogExpr:
    """A log query: a selector and the stages that its lines go through, in order."""

    selector: Selector
    stages: tuple[Stage, ...] = ()
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return " ".join(map(str, (self.selector, *self.stages)))

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """The selector's matchers."""
        return self.selector.matchers


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (a, b)` or `without (a, b)`; `by ()` is one group, no grouping is None."""

    names: tuple[str, ...]
    without: bool
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"{'without' if self.without else 'by'} ({','.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Unwrap:
    """`| unwrap label`, `| unwrap duration(label)`; `filters` are the label filters after it."""

    label: str
    conversion: str | None
    filters: tuple[LabelFilter, ...] = ()
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        label = f"{self.conversion}({self.label})" if self.conversion else self.label
        return " ".join((f"| unwrap {label}", *(f"| {each}" for each in self.filters)))


@dataclass(frozen=True, slots=True)
class LogRange:
    """`{...} | ... [5m] offset 1h`: windows of `range` ns, `offset` ns back."""

    log: LogExpr
    range: int
    offset: int
    unwrap: Unwrap | None
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        parts = (self.log,) if self.unwrap is None else (self.log, self.unwrap)
        offset = f" offset {print_duration(self.offset)}" if self.offset else ""
        return f"{' '.join(map(str, parts))}[{print_prometheus_duration(self.range)}]{offset}"


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`rate({...}[5m])`; `parameter` is the quantile."""

    op: str
    range: LogRange
    parameter: float | None
    grouping: Grouping | None
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        parameter = "" if self.parameter is None else f"{short(self.parameter)},"
        grouping = "" if self.grouping is None else f" {self.grouping}"
        return f"{self.op}({parameter}{self.range}){grouping}"


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`sum by (a) (...)`; `parameter` is the k of topk."""

    op: str
    operand: MetricExpr
    parameter: int | None
    grouping: Grouping | None
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        grouping = "" if self.grouping is None else f" {self.grouping}"
        parameter = "" if self.parameter is None else f"{self.parameter},"
        return f"{self.op}{grouping}({parameter}{self.operand})"


@dataclass(frozen=True, slots=True)
class Matching:
    """How a binary operation pairs series.

    Attributes:
        return_bool: `bool`.
        on: labels are those of `on (...)` (else of `ignoring (...)`).
        labels: they; with on False and none of them: all labels must be equal.
        group: "left", "right" or None.
        include: labels of `group_left (...)`.
        written: whether on/ignoring was written at all.
    """

    return_bool: bool = False
    on: bool = False
    labels: tuple[str, ...] = ()
    group: str | None = None
    include: tuple[str, ...] = ()
    written: bool = False
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        words = ["bool"] * self.return_bool
        if self.written:
            words.append(f"{'on' if self.on else 'ignoring'} ({','.join(self.labels)})")
        if self.group:
            words.append(f"group_{self.group}")
            if self.include:
                words.append(f"({','.join(self.include)})")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class BinaryOperation:
    """`a / on (x) b`."""

    op: str
    left: MetricExpr
    right: MetricExpr
    matching: Matching
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        right = str(self.right)
        operator = f"{self.op} {self.matching}".rstrip(" ")
        # Names in parentheses may follow group_left: those of the right side must not be taken for them.
        names = " ()" if self.matching.group and not self.matching.include and right.startswith("(") else ""
        return f"({self.left} {operator}{names} {right})"


@dataclass(frozen=True, slots=True)
class LabelReplace:
    """`label_replace(v, "dst", "replacement", "src", "regex")`."""

    operand: MetricExpr
    dst: str
    replacement: str
    src: str
    regex: str
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        texts = (self.dst, self.replacement, self.src, self.regex)
        return f"label_replace({self.operand},{','.join(map(quote, texts))})"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number."""

    value: float
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return short(self.value)


@dataclass(frozen=True, slots=True)
class VectorLiteral:
    """`vector(1)`."""

    value: float
    at: Position = field(default=NOWHERE, compare=False, kw_only=True)

    def __str__(self) -> str:
        return f"vector({fixed(self.value)})"


MetricExpr: TypeAlias = (
    "RangeAggregation | VectorAggregation | BinaryOperation | LabelReplace | Literal | VectorLiteral"
)
Expr: TypeAlias = "LogExpr | MetricExpr"
