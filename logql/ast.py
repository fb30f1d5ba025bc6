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


@dataclass(frozen=True, slots=True)
class NumberFilter:
    """`name > 5`. `text` is the number as written."""

    name: str
    op: CompareOp
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class DurationFilter:
    """`name > 1h30m`; `value` in ns."""

    name: str
    op: CompareOp
    value: int
    text: str


@dataclass(frozen=True, slots=True)
class BytesFilter:
    """`name > 5KB`; `value` in bytes."""

    name: str
    op: CompareOp
    value: int
    text: str


@dataclass(frozen=True, slots=True)
class IpLabelFilter:
    """`name = ip("10.0.0.0/8")` or `!=`."""

    name: str
    negative: bool
    pattern: str


@dataclass(frozen=True, slots=True)
class BinaryFilter:
    """Two label filters joined by `and` (also `,` and nothing at all) or `or`."""

    op: str
    left: LabelFilter
    right: LabelFilter


LabelFilter: TypeAlias = "StringFilter | NumberFilter | DurationFilter | BytesFilter | IpLabelFilter | BinaryFilter"


@dataclass(frozen=True, slots=True)
class LabelFilterStage:
    """`| <label filter>`."""

    filter: LabelFilter


@dataclass(frozen=True, slots=True)
class Extraction:
    """`name="expression"` of json and logfmt; `name` alone means the expression is the name."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class JsonStage:
    """`| json`, with or without extractions."""

    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class LogfmtStage:
    """`| logfmt`, its flags and extractions."""

    strict: bool = False
    keep_empty: bool = False
    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class RegexpStage:
    """`| regexp "..."`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class PatternStage:
    """`| pattern "..."`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class UnpackStage:
    """`| unpack`."""


@dataclass(frozen=True, slots=True)
class LineFormatStage:
    """`| line_format "..."`: the new line, a Go template."""

    template: str


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """`name=source` (a rename) or `name="template"`."""

    name: str
    value: str
    rename: bool


@dataclass(frozen=True, slots=True)
class LabelFormatStage:
    """`| label_format a=b, c="..."`."""

    formats: tuple[LabelFormat, ...]


@dataclass(frozen=True, slots=True)
class DecolorizeStage:
    """`| decolorize`."""


@dataclass(frozen=True, slots=True)
class DropStage:
    """`| drop a, b="x"`: names, or names with a condition on their value."""

    items: tuple[str | Matcher, ...]


@dataclass(frozen=True, slots=True)
class KeepStage:
    """`| keep a, b="x"`."""

    items: tuple[str | Matcher, ...]


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


@dataclass(frozen=True, slots=True)
class Unwrap:
    """`| unwrap label`, `| unwrap duration(label)`; `filters` are the label filters after it."""

    label: str
    conversion: str | None
    filters: tuple[LabelFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class LogRange:
    """`{...} | ... [5m] offset 1h`: windows of `range` ns, `offset` ns back."""

    log: LogExpr
    range: int
    offset: int
    unwrap: Unwrap | None


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`rate({...}[5m])`; `parameter` is the quantile."""

    op: str
    range: LogRange
    parameter: float | None
    grouping: Grouping | None


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`sum by (a) (...)`; `parameter` is the k of topk."""

    op: str
    operand: MetricExpr
    parameter: int | None
    grouping: Grouping | None


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


@dataclass(frozen=True, slots=True)
class BinaryOperation:
    """`a / on (x) b`."""

    op: str
    left: MetricExpr
    right: MetricExpr
    matching: Matching


@dataclass(frozen=True, slots=True)
class LabelReplace:
    """`label_replace(v, "dst", "replacement", "src", "regex")`."""

    operand: MetricExpr
    dst: str
    replacement: str
    src: str
    regex: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class VectorLiteral:
    """`vector(1)`."""

    value: float


MetricExpr: TypeAlias = (
    "RangeAggregation | VectorAggregation | BinaryOperation | LabelReplace | Literal | VectorLiteral"
)
Expr: TypeAlias = "LogExpr | MetricExpr"


def runs(stages: tuple[Stage, ...]) -> list[tuple[LineFilter, ...]]:
    """Neighbouring line filters together: Loki holds them as one stage, and its error texts name all of them."""
    return [tuple(run) for _, run in groupby(stages, type)]
