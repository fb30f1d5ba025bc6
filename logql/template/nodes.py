"""The syntax tree of a template. `str()` of a node is what Go shows of it in messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from logql.template.quoting import quote


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`."""

    at: int

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil:
    """`nil`."""

    at: int

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Bool:
    """`true` or `false`."""

    at: int
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class Number:
    """A number constant under every type that holds it, as Go's untyped constants are.

    Attributes:
        at: where it begins.
        text: as written.
        integer: its value as int64, if it has one.
        unsigned: its value as uint64, if it has one.
        floating: its value as float64, if it has one.
        imaginary: its value if it is complex.
    """

    at: int
    text: str
    integer: int | None
    unsigned: int | None
    floating: float | None
    imaginary: complex | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class String:
    """A quoted string; `text` is as written, with its quotes."""

    at: int
    text: str
    value: bytes

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field:
    """`.a.b`."""

    at: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.a.b`; the first name has the dollar sign."""

    at: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Identifier:
    """The name of a function."""

    at: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of another operand: `(f .x).a.b`."""

    at: int
    of: Operand
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.of})" if isinstance(self.of, Pipeline) else str(self.of)
        return inner + "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Command:
    """An operand, or a function with its arguments."""

    at: int
    args: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipeline) else str(arg) for arg in self.args)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`$a, $b := command | command`; `assigns` tells `=` from `:=`."""

    at: int
    variables: tuple[Variable, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        shown = " | ".join(map(str, self.commands))
        if not self.variables:
            return shown
        return f"{', '.join(map(str, self.variables))} {'=' if self.assigns else ':='} {shown}"


Operand: TypeAlias = Dot | Nil | Bool | Number | String | Field | Variable | Identifier | Chain | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    at: int
    text: bytes

    def __str__(self) -> str:
        return self.text.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Action:
    """`{{pipeline}}`."""

    at: int
    pipeline: Pipeline

    def __str__(self) -> str:
        return f"{{{{{self.pipeline}}}}}"


@dataclass(frozen=True, slots=True)
class Branch:
    """`{{if}}`, `{{with}}` or `{{range}}` (its `word`); `other` is what {{else}} holds, None without one."""

    at: int
    word: str
    pipeline: Pipeline
    body: Body
    other: Body | None

    def __str__(self) -> str:
        other = "" if self.other is None else f"{{{{else}}}}{self.other}"
        return f"{{{{{self.word} {self.pipeline}}}}}{self.body}{other}{{{{end}}}}"


@dataclass(frozen=True, slots=True)
class Call:
    """`{{template "name" pipeline}}`."""

    at: int
    name: str
    pipeline: Pipeline | None

    def __str__(self) -> str:
        rest = "" if self.pipeline is None else f" {self.pipeline}"
        return f"{{{{template {quote(self.name)}{rest}}}}}"


@dataclass(frozen=True, slots=True)
class Break:
    """`{{break}}`."""

    at: int

    def __str__(self) -> str:
        return "{{break}}"


@dataclass(frozen=True, slots=True)
class Continue:
    """`{{continue}}`."""

    at: int

    def __str__(self) -> str:
        return "{{continue}}"


Item: TypeAlias = Text | Action | Branch | Call | Break | Continue
Node: TypeAlias = Operand | Command | Item


@dataclass(frozen=True, slots=True)
class Body:
    """A run of items."""

    items: tuple[Item, ...] = field(default=())

    def __str__(self) -> str:
        return "".join(map(str, self.items))

    @property
    def empty(self) -> bool:
        """Whether there is nothing but blanks (Go: such a definition gives way to another of its name)."""
        return all(isinstance(item, Text) and not item.text.strip() for item in self.items)
