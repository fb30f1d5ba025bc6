"""The values a template computes with, typed as Go types them.

Go's string is `bytes`, bool `bool`, int `int`, int64 `Int64`, uint8 `Uint8`, float64 `float`, complex128 `complex`,
[]interface{} `list`, map[string]interface{} `dict` (keys as str with surrogateescape), the labels `LabelMap`. The
absence of a value (Go's invalid reflect.Value) is None; a nil inside an interface{} is NIL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from logql.literals import to_bytes


class Int64(int):
    """int64."""

    __slots__ = ()


class Uint8(int):
    """uint8: a byte of a string."""

    __slots__ = ()


class NilInterface:
    """A nil of type interface{}: what a missing key of a decoded JSON object gives."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NIL"


NIL = NilInterface()


class LabelMap:
    """The labels of an entry: map[string]string."""

    __slots__ = ("labels",)

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels

    def get(self, name: str) -> bytes:
        """A label's value; empty if there is none (missingkey=zero)."""
        return to_bytes(self.labels.get(name, ""))

    def __len__(self) -> int:
        return len(self.labels)


class Named:
    """A value of a type with a name of its own, which prints itself.

    Attributes:
        go_type: the type's name.
    """

    __slots__ = ()
    go_type = ""

    def text(self) -> str:
        """Go's String()."""
        raise NotImplementedError


def type_name(value: Any) -> str:
    """The name of a value's type as Go prints it."""
    if isinstance(value, Named):
        return value.go_type
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    raise TypeError(value)


_NAMES: tuple[tuple[type, str], ...] = (
    (bytes, "string"),
    (bool, "bool"),
    (Int64, "int64"),
    (Uint8, "uint8"),
    (int, "int"),
    (float, "float64"),
    (complex, "complex128"),
    (list, "[]interface {}"),
    (dict, "map[string]interface {}"),
    (LabelMap, "map[string]string"),
    (NilInterface, "interface {}"),
)


def is_true(value: Any) -> bool:
    """Go's truth: not the zero value of its type, not empty."""
    if value is None or value is NIL:
        return False
    if isinstance(value, Named) and not isinstance(value, int):
        return True
    return bool(value)


def sorted_items(value: dict[str, Any] | LabelMap) -> list[tuple[bytes, Any]]:
    """The pairs of a map in order of their keys' bytes, as Go prints and ranges over maps."""
    if isinstance(value, LabelMap):
        return sorted((to_bytes(name), to_bytes(text)) for name, text in value.labels.items())
    return sorted(((to_bytes(name), inner) for name, inner in value.items()), key=lambda pair: pair[0])


def wrap64(value: int) -> int:
    """An integer as int64 arithmetic leaves it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
