"""Go's fmt: Sprint, Sprintln and Sprintf over the values of templates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from logql.template.printer import MAX_OUTPUT, NIL_TEXT, Flags, Printer, too_long
from logql.template.values import NIL, type_name

__all__ = ["MAX_OUTPUT", "sprint", "sprintf", "sprintln", "too_long"]

_FLAGS = b"#0+- "
_MAX_NUMBER = 1_000_000
_INDEX = re.compile(rb"\[([0-9]+)\]")


def sprint(args: Sequence[Any]) -> bytes:
    """fmt.Sprint: a blank between two operands of which neither is a string."""
    printer = Printer()
    after_string = True
    for arg in args:
        is_string = isinstance(arg, bytes)
        if not is_string and not after_string:
            printer.write(b" ")
        printer.arg(arg, "v")
        after_string = is_string
    return printer.result()


def sprintln(args: Sequence[Any]) -> bytes:
    """fmt.Sprintln."""
    printer = Printer()
    for i, arg in enumerate(args):
        if i:
            printer.write(b" ")
        printer.arg(arg, "v")
    printer.write(b"\n")
    return printer.result()


def sprintf(layout: bytes, args: Sequence[Any]) -> bytes:
    """fmt.Sprintf."""
    printer = Printer()
    _Format(printer, layout, args).run()
    return printer.result()


class _Format:
    def __init__(self, printer: Printer, layout: bytes, args: Sequence[Any]) -> None:
        self.printer = printer
        self.layout = layout
        self.args = args
        self.at = 0
        self.arg = 0
        self.reordered = False
        self.good_index = True

    def run(self) -> None:
        layout, out = self.layout, self.printer
        while True:
            start = layout.find(b"%", self.at)
            out.write(layout[self.at :] if start < 0 else layout[self.at : start])
            if start < 0:
                break
            self.at = start + 1
            self.verb()
        if not self.reordered and self.arg < len(self.args):
            out.flags = Flags()
            out.write(b"%!(EXTRA ")
            for i, arg in enumerate(self.args[self.arg :]):
                out.write(b", " if i else b"")
                if arg is NIL or arg is None:
                    out.write(NIL_TEXT)
                else:
                    out.write(type_name(arg).encode() + b"=")
                    out.arg(arg, "v")
            out.write(b")")

    def verb(self) -> None:
        layout, out = self.layout, self.printer
        flags = out.flags = Flags()
        self.good_index = True
        while layout[self.at : self.at + 1] and layout[self.at] in _FLAGS:
            match chr(layout[self.at]):
                case "#":
                    flags.sharp = True
                case "0":
                    flags.zero = True
                case "+":
                    flags.plus = True
                case "-":
                    flags.minus = True
                case _:
                    flags.space = True
            self.at += 1
        after_index = self.index()
        after_index = self.width(flags, after_index)
        if layout[self.at : self.at + 1] == b".":
            self.at += 1
            after_index = self.precision(flags, after_index)
        if not after_index:
            self.index()
        if self.at >= len(layout):
            out.write(b"%!(NOVERB)")
            return
        verb, size = _decode_rune(layout, self.at)
        self.at += size
        if verb == "%":
            out.write(b"%")
        elif not self.good_index:
            out.write(b"%!" + verb.encode() + b"(BADINDEX)")
        elif self.arg >= len(self.args):
            out.write(b"%!" + verb.encode() + b"(MISSING)")
        else:
            if verb == "v":
                flags.for_v()
            out.arg(self.args[self.arg], verb)
            self.arg += 1

    def index(self) -> bool:
        """An explicit argument index [n]; tells whether there was a good one."""
        if self.layout[self.at : self.at + 1] != b"[":
            return False
        self.reordered = True
        match = _INDEX.match(self.layout, self.at)
        if match is None:
            end = self.layout.find(b"]", self.at)
            self.good_index = False
            self.at = end + 1 if end >= 0 else self.at + 1
            return False
        self.at = match.end()
        number = int(match[1][:9])
        if 1 <= number <= len(self.args):
            self.arg = number - 1
        else:
            self.good_index = False
        return True

    def width(self, flags: Flags, after_index: bool) -> bool:
        if self.layout[self.at : self.at + 1] == b"*":
            self.at += 1
            width = self.star()
            if width is None:
                self.printer.write(b"%!(BADWIDTH)")
            else:
                flags.width = abs(width)
                if width < 0:
                    flags.minus, flags.zero = True, False
            return False
        number = self.number()
        if number >= 0:
            flags.width = number
            if after_index:
                self.good_index = False
        return after_index

    def precision(self, flags: Flags, after_index: bool) -> bool:
        if after_index:
            self.good_index = False
        after_index = self.index()
        if self.layout[self.at : self.at + 1] == b"*":
            self.at += 1
            precision = self.star()
            if precision is None or precision < 0:
                self.printer.write(b"%!(BADPREC)")
            else:
                flags.precision = precision
            return False
        flags.precision = max(self.number(), 0)
        return after_index

    def star(self) -> int | None:
        if self.arg >= len(self.args):
            return None
        value = self.args[self.arg]
        self.arg += 1
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_NUMBER:
            return None
        return int(value)

    def number(self) -> int:
        start = self.at
        while self.layout[self.at : self.at + 1].isdigit():
            self.at += 1
        if start == self.at:
            return -1
        if self.at - start > 7 or int(self.layout[start : self.at]) > _MAX_NUMBER:
            self.at = len(self.layout)
            return -1
        return int(self.layout[start : self.at])


def _decode_rune(raw: bytes, at: int) -> tuple[str, int]:
    for size in range(1, 5):
        try:
            return raw[at : at + size].decode(), size
        except UnicodeDecodeError:
            continue
    return "\ufffd", 1
