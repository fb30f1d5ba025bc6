"""Printing one value under a verb of Go's fmt, wrong verbs included."""

from __future__ import annotations

from typing import Any

from logql.template.errors import CallError
from logql.template.quoting import quote_bytes, quote_rune, rune
from logql.template.strconv import format_float
from logql.template.times import Time
from logql.template.values import NIL, LabelMap, Named, NilInterface, Uint8, sorted_items, type_name

MAX_OUTPUT = 2 << 20
"""Bytes a template may write, and bytes of any string on the way. Loki has no such bound and dies instead."""

NIL_TEXT = b"<nil>"
_BASES = {"b": 2, "d": 10, "o": 8, "O": 8, "x": 16, "X": 16, "v": 10}


def too_long() -> CallError:
    """The refusal of a result longer than MAX_OUTPUT."""
    return CallError(f"result is longer than {MAX_OUTPUT} bytes")


class Flags:
    """Flags, width and precision of one verb; -1 is absent."""

    __slots__ = ("minus", "plus", "plus_v", "precision", "sharp", "sharp_v", "space", "width", "zero")

    def __init__(self) -> None:
        self.sharp = self.zero = self.plus = self.minus = self.space = self.plus_v = self.sharp_v = False
        self.width = self.precision = -1

    def for_v(self) -> None:
        """%#v and %+v mean other things than # and + elsewhere."""
        self.sharp_v, self.sharp = self.sharp, False
        self.plus_v, self.plus = self.plus, False


class Printer:
    """Output that grows up to MAX_OUTPUT.

    Attributes:
        flags: those of the verb at hand.
    """

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.flags = Flags()

    def write(self, part: bytes) -> None:
        """Adds bytes; CallError when that is too much."""
        self.size += len(part)
        if self.size > MAX_OUTPUT:
            raise too_long()
        self.parts.append(part)

    def result(self) -> bytes:
        """All that was written."""
        return b"".join(self.parts)

    def arg(self, value: Any, verb: str) -> None:
        """Writes a value under a verb."""
        if value is None or value is NIL:
            self._pad(NIL_TEXT) if verb in "Tv" else self._bad_verb(value, verb)
        elif verb == "T":
            self._string(type_name(value).encode(), "s")
        elif verb == "p":
            self._bad_verb(value, verb)
        else:
            self._value(value, verb)

    def _value(self, value: Any, verb: str) -> None:
        if isinstance(value, Named) and self._named(value, verb):
            return
        if isinstance(value, bytes):
            self._string(value, verb)
        elif isinstance(value, bool):
            self._pad(b"true" if value else b"false") if verb in "tv" else self._bad_verb(value, verb)
        elif isinstance(value, int):
            self._integer(value, verb)
        elif isinstance(value, float):
            self._floating(value, verb)
        elif isinstance(value, complex):
            self._complex(value, verb)
        elif isinstance(value, list):
            self._list(value, verb)
        elif isinstance(value, (dict, LabelMap)):
            self._map(value, verb)
        else:
            self._bad_verb(value, verb)

    def _named(self, value: Named, verb: str) -> bool:
        """A value that prints itself does so for the verbs of strings; numbers keep their own for the others."""
        if self.flags.sharp_v:
            if isinstance(value, Time):
                self._string(value.go_text().encode(), "s")
                return True
            return False
        if verb in "vsxXq":
            self._string(value.text().encode(), verb)
            return True
        if isinstance(value, Time):
            self.write(b"{")
            for i, part in enumerate(value.parts()):
                self.write(b" " if i else b"")
                self.arg(part, verb)
            self.write(b"}")
            return True
        return False

    def _bad_verb(self, value: Any, verb: str) -> None:
        self.write(b"%!" + verb.encode() + b"(")
        if value is None or value is NIL:
            self.write(NIL_TEXT)
        else:
            self.write(type_name(value).encode() + b"=")
            self.arg(value, "v")
        self.write(b")")

    def _pad(self, text: bytes) -> None:
        flags = self.flags
        if flags.width <= 0:
            self.write(text)
            return
        missing = flags.width - len(text.decode("utf-8", "surrogateescape"))
        if missing <= 0:
            self.write(text)
        elif flags.minus:
            self.write(text + b" " * missing)
        else:
            self.write((b"0" if flags.zero else b" ") * missing + text)

    def _pad_blank(self, text: bytes) -> None:
        zero, self.flags.zero = self.flags.zero, False
        self._pad(text)
        self.flags.zero = zero

    def _string(self, value: bytes, verb: str) -> None:
        flags = self.flags
        if verb in "xX":
            self._pad(self._hex(value, verb))
            return
        if verb not in "vsq":
            self._bad_verb(value, verb)
            return
        if flags.precision >= 0:
            value = _truncated(value, flags.precision)
        if verb == "s" or (verb == "v" and not flags.sharp_v):
            self._pad(value)
        elif flags.sharp and b"`" not in value and _can_backquote(value):
            self._pad(b"`" + value + b"`")
        else:
            self._pad(quote_bytes(value, ascii_only=flags.plus).encode())

    def _hex(self, value: bytes, verb: str) -> bytes:
        flags = self.flags
        if flags.precision >= 0:
            value = value[: flags.precision]
        if not value:
            return b""
        prefix = "0x" if flags.sharp else ""
        shown = prefix + (value.hex(" ").replace(" ", f" {prefix}") if flags.space else value.hex())
        return (shown.upper() if verb == "X" else shown).encode()

    def _integer(self, value: int, verb: str) -> None:
        flags = self.flags
        value_is_unsigned = isinstance(value, Uint8)
        if verb == "c":
            self._pad(rune(value).encode())
        elif verb == "q":
            self._pad(quote_rune(value, ascii_only=flags.plus).encode())
        elif verb == "U":
            self._unicode(value)
        elif verb == "v" and flags.sharp_v and value_is_unsigned:
            flags.sharp = True
            self._digits(value, "x")
            flags.sharp = False
        elif verb in _BASES:
            self._digits(value, verb)
        else:
            self._bad_verb(value, verb)

    def _digits(self, value: int, verb: str) -> None:
        flags = self.flags
        base = _BASES[verb]
        sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
        if flags.precision == 0 and value == 0:
            self._pad_blank(b"")
            return
        digits = f"{abs(value):{ {2: 'b', 8: 'o', 10: 'd', 16: 'X' if verb == 'X' else 'x'}[base] }}"
        if flags.precision >= 0:
            digits = digits.rjust(flags.precision, "0")
        elif flags.zero and not flags.minus and flags.width > 0:
            digits = digits.rjust(flags.width - len(sign), "0")
        if flags.sharp:
            if base == 8:
                digits = digits if digits.startswith("0") else "0" + digits
            elif base != 10:
                digits = {2: "0b", 16: "0X" if verb == "X" else "0x"}[base] + digits
        if verb == "O":
            digits = "0o" + digits
        self._pad_blank((sign + digits).encode())

    def _unicode(self, value: int) -> None:
        shown = f"U+{value % (1 << 64):0{max(self.flags.precision, 4)}X}"
        if self.flags.sharp and 0 <= value <= 0x10FFFF and rune(value).isprintable():
            shown = f"{shown} '{rune(value)}'"
        self._pad_blank(shown.encode())

    def _floating(self, value: float, verb: str) -> None:
        if verb == "v":
            self._float_text(value, "g", -1)
        elif verb in "bgGxX":
            self._float_text(value, verb, -1)
        elif verb in "feEF":
            self._float_text(value, verb.replace("F", "f"), 6)
        else:
            self._bad_verb(value, verb)

    def _float_text(self, value: float, verb: str, precision: int) -> None:
        flags = self.flags
        if flags.precision >= 0:
            precision = flags.precision
        shown = format_float(value, verb, precision)
        sign, body = (shown[0], shown[1:]) if shown[0] in "+-" else ("+", shown)
        if sign == "+" and flags.space and not flags.plus:
            sign = " "
        if body in {"Inf", "NaN"}:
            bare = body == "NaN" and not flags.space and not flags.plus
            self._pad_blank((body if bare else sign + body).encode())
            return
        if flags.sharp and verb != "b":
            body = _with_point(body, verb, precision)
        if not flags.plus and sign == "+":
            self._pad(body.encode())
        elif flags.zero and not flags.minus and flags.width > len(body) + 1:
            self.write((sign + body.rjust(flags.width - 1, "0")).encode())
        else:
            self._pad((sign + body).encode())

    def _complex(self, value: complex, verb: str) -> None:
        if verb not in "vbgGxXfFeE":
            self._bad_verb(value, verb)
            return
        plus = self.flags.plus
        self.write(b"(")
        self._floating(value.real, verb)
        self.flags.plus = True
        self._floating(value.imag, verb)
        self.write(b"i)")
        self.flags.plus = plus

    def _list(self, value: list[Any], verb: str) -> None:
        sharp = self.flags.sharp_v
        self.write(type_name(value).encode() + b"{" if sharp else b"[")
        for i, item in enumerate(value):
            if i:
                self.write(b", " if sharp else b" ")
            self._inner(item, verb)
        self.write(b"}" if sharp else b"]")

    def _map(self, value: dict[str, Any] | LabelMap, verb: str) -> None:
        sharp = self.flags.sharp_v
        self.write(type_name(value).encode() + b"{" if sharp else b"map[")
        for i, (key, item) in enumerate(sorted_items(value)):
            if i:
                self.write(b", " if sharp else b" ")
            self._inner(key, verb)
            self.write(b":")
            self._inner(item, verb)
        self.write(b"}" if sharp else b"]")

    def _inner(self, value: Any, verb: str) -> None:
        if isinstance(value, NilInterface):
            self.write(b"interface {}(nil)" if self.flags.sharp_v else NIL_TEXT)
        else:
            self._value(value, verb)


def _truncated(value: bytes, runes: int) -> bytes:
    """The first `runes` characters; a byte that is no UTF-8 is one."""
    text = value.decode("utf-8", "surrogateescape")
    return text[:runes].encode("utf-8", "surrogateescape")


def _can_backquote(value: bytes) -> bool:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return not any(char == "\ufeff" or (char < " " and char != "\t") or char == "\x7f" for char in text)


def _with_point(body: str, verb: str, precision: int) -> str:
    """The # flag: a decimal point always, and %g keeps its trailing zeros."""
    if verb in "xX":
        mantissa, mark, exponent = body.partition("p" if verb == "x" else "P")
        return mantissa + ("" if "." in mantissa else ".") + mark + exponent
    mantissa, mark, exponent = body.partition("e" if "e" in body else "E")
    wanted = 0
    if verb in "gG":
        wanted = 6 if precision == -1 else max(precision, 1)
        digits = mantissa.replace(".", "")
        wanted -= len(digits.lstrip("0")) if digits.strip("0") else 1
    return mantissa + ("" if "." in mantissa else ".") + "0" * max(wanted, 0) + mark + exponent
