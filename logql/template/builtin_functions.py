"""The functions of Go's text/template itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote_plus

from logql.literals import to_bytes, to_text
from logql.template.errors import CallError
from logql.template.fmt import sprint, sprintf, sprintln
from logql.template.signatures import Function, Type
from logql.template.times import Time
from logql.template.values import NIL, LabelMap, Named, Uint8, is_true, type_name

_HTML_ESCAPES = {
    ord("\0"): "\ufffd",
    ord('"'): "&#34;",
    ord("'"): "&#39;",
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
}
_JS_ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}


def logic(*args: Any) -> Any:
    """Stands for `and` and `or`, whose arguments are evaluated one at a time by the evaluator."""
    raise NotImplementedError(args)


def negate(value: Any) -> bool:
    """Not."""
    return not is_true(value)


def length(value: Any) -> int:
    """The length of a string (bytes), list or map."""
    if isinstance(value, (bytes, list, dict, LabelMap)):
        return len(value)
    if value is NIL:
        raise CallError("len of nil pointer")
    if value is None:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    raise CallError(f"len of type {type_name(value)}")


def index(value: Any, *indexes: Any) -> Any:
    """`index x 1 "k"` is x[1]["k"]."""
    if _is_nil(value):
        raise CallError("index of untyped nil")
    for at in indexes:
        if value is NIL:
            raise CallError("index of nil pointer")
        if isinstance(value, (bytes, list)):
            place = _position(at, len(value))
            if place == len(value):
                # Go's check lets the length itself pass, and the access after it fails.
                what = "string" if isinstance(value, bytes) else "slice"
                raise CallError(f"reflect: {what} index out of range")
            value = Uint8(value[place]) if isinstance(value, bytes) else value[place]
        elif isinstance(value, (dict, LabelMap)):
            value = _of_key(value, at)
        else:
            raise CallError(f"can't index item of type {type_name(value)}")
    return value


def _of_key(value: dict[str, Any] | LabelMap, key: Any) -> Any:
    if _is_nil(key):
        raise CallError("value is nil; should be of type string")
    if not isinstance(key, bytes):
        raise CallError(f"value has type {type_name(key)}; should be string")
    name = to_text(key)
    return value.get(name) if isinstance(value, LabelMap) else value.get(name, NIL)


def _position(at: Any, limit: int) -> int:
    if _is_nil(at):
        raise CallError("cannot index slice/array with nil")
    if isinstance(at, bool) or not isinstance(at, int):
        raise CallError(f"cannot index slice/array with type {type_name(at)}")
    if not 0 <= at <= limit:
        raise CallError(f"index out of range: {int(at)}")
    return int(at)


def slice_of(value: Any, *indexes: Any) -> Any:
    """`slice x 1 2` is x[1:2]."""
    if _is_nil(value):
        raise CallError("slice of untyped nil")
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    if not isinstance(value, (bytes, list)):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, bytes) and len(indexes) == 3:
        raise CallError("cannot 3-index slice a string")
    bounds = [0, len(value)]
    for i, at in enumerate(indexes):
        bounds[i : i + 1] = [_position(at, len(value))]
    for low, high in pairwise(bounds):
        if low > high:
            raise CallError(f"invalid slice index: {low} > {high}")
    return value[bounds[0] : bounds[1]]


def _is_nil(value: Any) -> bool:
    return value is None or value is NIL


# Comparisons.


def _kind(value: Any) -> str:
    """The kind by which values compare; empty for lists, maps and the like."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"  # of either sign: Go compares them all
    if isinstance(value, float):
        return "float"
    if isinstance(value, bytes):
        return "string"
    return "complex" if isinstance(value, complex) else ""


def equals(first: Any, *others: Any) -> bool:
    """Whether the first equals any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(one: Any, other: Any) -> bool:
    kind = _kind(one)
    if kind != _kind(other):
        if _is_nil(one) or _is_nil(other):
            return False
        raise _incompatible(one, other)
    if kind:
        return bool(one == other)
    if _is_nil(one) or _is_nil(other):
        return _is_nil(one) == _is_nil(other)
    if _shape(one) != _shape(other):
        raise CallError(f"non-comparable types {_shown(one)}: {type_name(one)}, {type_name(other)}: {_shown(other)}")
    if isinstance(one, Time) and isinstance(other, Time):
        return one.ns == other.ns and one.zone == other.zone
    if isinstance(one, Named):
        return one is other
    raise CallError(f"non-comparable type {_shown(other)}: {type_name(other)}")


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else "map" if isinstance(value, (dict, LabelMap)) else type_name(value)


def _shown(value: Any) -> str:
    return to_text(sprint([value]))


def differs(one: Any, other: Any) -> bool:
    """Ne."""
    return not equals(one, other)


def less(one: Any, other: Any) -> bool:
    """Lt."""
    kinds = _kind(one), _kind(other)
    if not all(kinds):
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise _incompatible(one, other)
    if kinds[0] in {"bool", "complex"}:
        raise CallError("invalid type for comparison")
    return bool(one < other)


def less_or_equal(one: Any, other: Any) -> bool:
    """Le."""
    return less(one, other) or equals(one, other)


def greater(one: Any, other: Any) -> bool:
    """Gt: Go says not less-or-equal, so that NaN is greater than everything."""
    return not less_or_equal(one, other)


def greater_or_equal(one: Any, other: Any) -> bool:
    """Ge: not less."""
    return not less(one, other)


def _incompatible(one: Any, other: Any) -> CallError:
    return CallError(f"incompatible types for comparison: {type_name(one)} and {type_name(other)}")


# Escaping.


def joined(args: Sequence[Any]) -> bytes:
    """Arguments printed as a template prints values."""
    if len(args) == 1 and isinstance(args[0], bytes):
        return args[0]
    return sprint([b"<no value>" if _is_nil(arg) else arg for arg in args])


def html(*args: Any) -> bytes:
    """HTML text."""
    return to_bytes(to_text(joined(args)).translate(_HTML_ESCAPES))


def js(*args: Any) -> bytes:
    """The inside of a JavaScript string."""
    return to_bytes("".join(map(_js_char, to_text(joined(args)))))


def _js_char(char: str) -> str:
    if char in _JS_ESCAPES:
        return _JS_ESCAPES[char]
    if char < " ":
        return f"\\u00{ord(char):02X}"
    if char.isprintable() or char == "\x7f":
        return char
    code = 0xFFFD if 0xDC80 <= ord(char) <= 0xDCFF else ord(char)
    return "\ufffd" if code == 0xFFFD else f"\\u{code:04X}"


def urlquery(*args: Any) -> bytes:
    """A part of a URL's query."""
    return quote_plus(joined(args), safe="").encode()


_VALUES, _ANYS = (Type.VALUE,), (Type.ANY,)

BUILTINS: dict[str, Function] = {
    "and": Function(logic, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "or": Function(logic, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "call": Function(logic, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "not": Function(negate, _VALUES, builtin=True),
    "len": Function(length, _VALUES, builtin=True),
    "index": Function(index, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "slice": Function(slice_of, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "print": Function(lambda *args: sprint(args), _ANYS, variadic=True, builtin=True),
    "printf": Function(
        lambda layout, *args: sprintf(layout, args), (Type.STRING, Type.ANY), variadic=True, builtin=True
    ),
    "println": Function(lambda *args: sprintln(args), _ANYS, variadic=True, builtin=True),
    "html": Function(html, _ANYS, variadic=True, builtin=True),
    "js": Function(js, _ANYS, variadic=True, builtin=True),
    "urlquery": Function(urlquery, _ANYS, variadic=True, builtin=True),
    "eq": Function(equals, (Type.VALUE, Type.VALUE), variadic=True, builtin=True),
    "ne": Function(differs, (Type.VALUE, Type.VALUE), builtin=True),
    "lt": Function(less, (Type.VALUE, Type.VALUE), builtin=True),
    "le": Function(less_or_equal, (Type.VALUE, Type.VALUE), builtin=True),
    "gt": Function(greater, (Type.VALUE, Type.VALUE), builtin=True),
    "ge": Function(greater_or_equal, (Type.VALUE, Type.VALUE), builtin=True),
}
