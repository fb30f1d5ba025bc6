"""What a template may call: a function with the types of its parameters, as Go's reflection would see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from logql.template.durations import Duration
from logql.template.times import Location, Time
from logql.template.values import Int64


class Type(Enum):
    """Parameter types; the value is Go's name. VALUE (reflect.Value) and ANY take every value."""

    ANY = "interface {}"
    VALUE = "reflect.Value"
    STRING = "string"
    INT = "int"
    INT64 = "int64"
    FLOAT = "float64"
    TIME = "time.Time"
    DURATION = "time.Duration"
    LOCATION = "*time.Location"


INTEGERS = frozenset({Type.INT, Type.INT64, Type.DURATION})


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method.

    Attributes:
        call: takes the arguments, already of the types of `params`; raises CallError.
        params: types of the parameters; of a variadic function the last one repeats, or is absent.
        variadic: whether it does.
        builtin: one of text/template's own, of which `and`, `or` and `call` are evaluated apart.
    """

    call: Callable[..., Any]
    params: tuple[Type, ...]
    variadic: bool = False
    builtin: bool = False

    def param(self, index: int) -> Type:
        """The type of an argument."""
        return self.params[min(index, len(self.params) - 1)]


def convert(value: float, wanted: Type) -> Any:
    """A constant as a value of a parameter's type."""
    match wanted:
        case Type.INT64:
            return Int64(int(value))
        case Type.DURATION:
            return Duration(int(value))
        case Type.FLOAT:
            return float(value)
        case _:
            return int(value)


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value may be passed as it is (Go: AssignableTo)."""
    match wanted:
        case Type.ANY | Type.VALUE:
            return True
        case Type.STRING:
            return isinstance(value, bytes)
        case Type.INT:
            return type(value) is int
        case Type.INT64:
            return isinstance(value, Int64)
        case Type.FLOAT:
            return isinstance(value, float)
        case Type.TIME:
            return isinstance(value, Time)
        case Type.DURATION:
            return isinstance(value, Duration)
        case Type.LOCATION:
            return isinstance(value, Location)
