"""The outside of a JSON push body, read as Loki's decoder (jsoniter) reads it, down to the texts of its refusals.

The rules that show: a body is read in pieces of 512 bytes; a text quotes up to 10 and up to 50 bytes either side of the
reading position, within its piece; only the first value is read, whatever follows it; strings are checked for control
characters only while no backslash and no end of piece was met; numbers are checked, nesting is bounded.

This is the exact decoder: it is asked when the fast one refuses, and its cost is linear in the body.
"""

from __future__ import annotations

import math
import re
from typing import Final

from gateway.push.json_good import GOOD_ITEMS, GOOD_MEMBERS
from gateway.push.json_inside import BadJson, unescaped_by_reader

PIECE: Final = 512
MAX_DEPTH: Final = 10_000

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_UNTIL_ESCAPE = re.compile(rb'[^"\\]*')
_NUMBER_RUN = re.compile(rb"[-+.eE0-9]*")
_FLOAT = re.compile(rb"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BIG_FLOAT = re.compile(rb"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NUMBER_END = frozenset(b",]} \t\n\r")
_DIGITS = frozenset(b"0123456789")
_GOOD_STRING = re.compile(rb'[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*+)*+')
_ESCAPED = frozenset(b'"\\/bfnrt')
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Reader:
    """A position in a body.

    Attributes:
        body: all that can be read.
        at: the reading position; `piece <= at <= end of the piece`.
        piece: where the piece begins that holds the byte last read.
    """

    def __init__(self, body: bytes, fault: str | None = None) -> None:
        """`fault`: what reading past the body reports; None is the plain end."""
        self.body = body
        self.at = 0
        self.piece = 0
        self._fault = fault
        self._ended = False

    # -- position and texts

    def _moved(self, at: int) -> None:
        """The byte before `at` was read."""
        self.at = at
        if at > self.piece + PIECE:
            self.piece = (at - 1) // PIECE * PIECE

    def _no_more(self) -> None:
        """More was wanted than there is."""
        if self._fault is not None:
            raise BadJson(self._fault)
        last = max(len(self.body) - 1, 0) // PIECE * PIECE
        if last > self.piece:
            self.piece = self.at = last
        self._ended = True

    def unread(self) -> None:
        """Steps back one byte; not once the end was met."""
        if not self._ended:
            self.at -= 1

    def refuse(self, operation: str, message: str) -> BadJson:
        """The error for the present position."""
        low, high = self.piece, min(self.piece + PIECE, len(self.body))
        near = max(self.at - 10, low)
        close = self.body[near : min(self.at + 10, high)].decode("utf-8", "surrogateescape")
        wide = self.body[max(self.at - 50, low) : min(self.at + 50, high)].decode("utf-8", "surrogateescape")
        return BadJson(
            f"{operation}: {message}, error found in #{self.at - near} byte of ...|{close}|..., "
            f"bigger context ...|{wide}|..."
        )

    def token(self) -> int:
        """The next byte that is no white space, read; 0 at the end."""
        skipped = _SPACE.match(self.body, self.at)
        at = skipped.end() if skipped else self.at
        if at >= len(self.body):
            self._no_more()
            return 0
        self._moved(at + 1)
        return self.body[at]

    def byte(self) -> int:
        """The next byte, read; 0 at the end."""
        if self.at >= len(self.body):
            self._no_more()
            return 0
        self._moved(self.at + 1)
        return self.body[self.at - 1]

    # -- structure

    def object_start(self) -> bool:
        """Reads `{`, `{}` or `null`; whether fields follow."""
        char = self.token()
        if char == ord("{"):
            if self.token() == ord("}"):
                return False
            self.unread()
            return True
        if char == ord("n"):
            self._literal(b"ull")
            return False
        raise self.refuse("readObjectStart", f"expect {{ or n, but found {_shown(char)}")

    def field(self) -> bytes:
        """Reads a field's name and its colon; the name in ASCII lower case, as names are compared."""
        char = self.token()
        if char != ord('"'):
            raise self.refuse("readFieldHash", f'expect ", but found {_shown(char)}')
        plain = _UNTIL_ESCAPE.match(self.body, self.at)
        end = plain.end() if plain else self.at
        name = self.body[self.at : end]
        if end >= len(self.body):
            self._no_more()
            raise self.refuse("readFieldHash", "incomplete field name")
        if self.body[end] == ord('"'):
            self._moved(end + 1)
        else:
            if end > self.at:
                self._moved(end)
            name += self.string_tail()
        char = self.token()
        if char != ord(":"):
            raise self.refuse("readFieldHash", f"expect :, but found {_shown(char)}")
        return name.lower()

    def object_ended(self) -> bool:
        """Reads `,` or `}`; whether it was the end."""
        char = self.token()
        if char == ord(","):
            return False
        if char == ord("}"):
            return True
        raise self.refuse("isObjectEnd", f"object ended prematurely, unexpected char {_shown(char)}")

    def _literal(self, rest: bytes) -> None:
        operation = "skipThreeBytes" if len(rest) == 3 else "skipFourBytes"
        for expected in rest:
            if self.byte() != expected:
                raise self.refuse(operation, f"expect {rest.decode()}")

    # -- strings

    def string(self) -> bytes:
        """Reads a string, or null as the empty one; escapes undone, half surrogates replaced by U+FFFD."""
        char = self.token()
        if char == ord("n"):
            self._literal(b"ull")
            return b""
        if char != ord('"'):
            raise self.refuse("ReadString", f'expects " or n, but found {_shown(char)}')
        plain = self._string_body("ReadString")
        return self.string_tail() if plain is None else plain

    def _string_body(self, operation: str) -> bytes | None:
        """Reads the rest of a string whose opening quote is read; None if that has to be read by string_tail."""
        body, start = self.body, self.at
        plain = _PLAIN.match(body, start)
        end = plain.end() if plain else start
        tail = min(self.piece + PIECE, len(body))
        if end < tail:
            if body[end] == ord('"'):
                self._moved(end + 1)
                return body[start:end]
            if body[end] < 0x20:
                raise self.refuse(operation, f"invalid control character found: {body[end]}")
        return None

    def _skip_string(self, operation: str) -> None:
        if self._string_body(operation) is None:
            self._skip_string_tail()

    def string_tail(self) -> bytes:
        """The rest of a string, escapes undone; control characters pass here."""
        start = self.at
        self._skip_string_tail()
        return unescaped_by_reader(self.body[start : self.at - 1])

    def _skip_string_tail(self) -> None:
        good = _GOOD_STRING.match(self.body, self.at)
        if good and good.end() > self.at:
            self._moved(good.end())
        while True:  # once if the string is good; a bad escape is found by reading it as it is read
            char = self.byte()
            if self._ended:
                raise self.refuse("readStringSlowPath", "unexpected end of input")
            if char == ord('"'):
                return
            if char == ord("\\"):
                self._skip_escape(self.byte())

    def _skip_escape(self, char: int) -> None:
        """Reads an escape that may be bad; `char` follows its backslash, 0 at the end of the body."""
        if char == ord("u"):
            self._four_digits()
        elif char not in _ESCAPED:
            raise self.refuse("readEscapedChar", "invalid escape char after \\")

    def _four_digits(self) -> None:
        for _ in range(4):
            char = self.byte()
            if self._ended:
                raise self.refuse("readStringSlowPath", "unexpected end of input")
            if char not in _HEX:
                raise self.refuse("readU4", f"expects 0~9 or a~f, but found {_shown(char)}")

    # -- skipping

    def value(self, depth: int) -> bytes:
        """Reads any value and returns its bytes; `depth` objects and arrays are open round it."""
        self.token()
        self.unread()
        start = self.at
        self.skip(depth)
        return self.body[start : self.at]

    def skip(self, depth: int) -> None:
        """Reads over any value. Nesting costs no Python stack."""
        closers: list[int] = []
        while True:
            if closers and depth + len(closers) + 2 <= MAX_DEPTH:
                self._skip_good(GOOD_ITEMS if closers[-1] == ord("]") else GOOD_MEMBERS)
            opened = self._skip_start(closers, depth)
            if opened:
                continue
            while closers:
                char = self.token()
                if char == ord(","):
                    if closers[-1] == ord("}"):
                        self._skip_key(self.string_start())
                    break
                if char != closers[-1]:
                    raise self._not_closed(closers[-1], char)
                closers.pop()
            else:
                return

    def _skip_good(self, run: re.Pattern[bytes]) -> None:
        """Reads over what an array or object goes on with and is good, at once: most of a big body."""
        good = run.match(self.body, self.at)
        if good and good.end() > self.at:
            self._moved(good.end())

    def string_start(self) -> int:
        """The first byte of a name after a comma: a quote, or the n of null, which jsoniter takes for a name."""
        char = self.token()
        if char not in (ord('"'), ord("n")):
            raise self.refuse("ReadString", f'expects " or n, but found {_shown(char)}')
        return char

    def _not_closed(self, closer: int, char: int) -> BadJson:
        if closer == ord("}"):
            return self.refuse("ReadObjectCB", "object not ended with }")
        return self.refuse("ReadArrayCB", f"expect ] in the end, but found {_shown(char)}")

    def _skip_key(self, first: int) -> None:
        if first == ord('"'):
            self._skip_string("ReadString")
        else:
            self._literal(b"ull")
        char = self.token()
        if char != ord(":"):
            raise self.refuse("ReadObject", f"expect : after object field, but found {_shown(char)}")

    def _skip_start(self, closers: list[int], depth: int) -> bool:
        """Reads a scalar whole, or opens an array or object that has something in it (True)."""
        char = self.token()
        if char == ord('"'):
            self._skip_string("trySkipString")
        elif char in (ord("{"), ord("[")):
            if depth + len(closers) + 1 > MAX_DEPTH:
                raise self.refuse("incrementDepth", "exceeded max depth")
            closer = char + 2
            following = self.token()
            if following == closer:
                return False
            if char == ord("{"):
                if following != ord('"'):
                    raise self.refuse("ReadObjectCB", f'expect " after {{, but found {_shown(following)}')
                self._skip_key(following)
            else:
                self.unread()
            closers.append(closer)
            return True
        elif char == ord("n"):
            self._literal(b"ull")
        elif char == ord("t"):
            self._literal(b"rue")
        elif char == ord("f"):
            self._literal(b"alse")
        elif char == ord("0"):
            self._skip_zero()
        elif char == ord("-") or char in _DIGITS:
            self._skip_number(char)
        else:
            raise self.refuse("Skip", f"do not know how to skip: {char}")
        return False

    # -- numbers

    def _skip_zero(self) -> None:
        """A number that begins with 0; it is read as a float32."""
        following = self.body[self.at] if self.at < len(self.body) else 0
        if following in _DIGITS:
            self.unread()
            raise self.refuse("readFloat32", "leading zero is invalid")
        self.unread()
        run = self._number_run()
        if (fault := _float_fault(run)) is not None:
            raise self.refuse("readFloat32SlowPath", fault)
        if not _FLOAT.fullmatch(run):
            raise BadJson(f'strconv.ParseFloat: parsing "{run.decode()}": invalid syntax')
        if _overflows(run, 39):
            raise BadJson(f'strconv.ParseFloat: parsing "{run.decode()}": value out of range')

    def _skip_number(self, first: int) -> None:
        """Any other number; it is read as a float64, and if that fails as one of any size."""
        if self._plain_number():
            return
        if first != ord("-"):
            self.unread()
        following = self.body[self.at : self.at + 2]
        if first == ord("-") and (following[:1] == b"." or (following[:1] == b"0" and following[1:].isdigit())):
            # Refused as a float64 before anything was read, and taken by the second reading.
            run = self._number_run()
            if not _BIG_FLOAT.fullmatch(run):
                raise BadJson("number has no digits")
            return
        run = self._number_run()
        if not run or _float_fault(run) is not None or not _FLOAT.fullmatch(run) or _overflows(run, 309):
            raise self.refuse("readNumberAsString", "invalid number")

    def _plain_number(self) -> bool:
        """Reads the rest of a number that is digits, at most one dot, and ends within its piece."""
        body, dotted = self.body, False
        tail = min(self.piece + PIECE, len(body))
        for at in range(self.at, tail):
            char = body[at]
            if char == ord("."):
                if dotted:
                    raise self.refuse("validateNumber", "more than one dot found in number")
                if at + 1 == tail:
                    return False
                if body[at + 1] not in _DIGITS:
                    raise self.refuse("validateNumber", "missing digit after dot")
                dotted = True
            elif char not in _DIGITS:
                if char not in _NUMBER_END or at == self.at:
                    return False
                self._moved(at)
                return True
        return False

    def _number_run(self) -> bytes:
        found = _NUMBER_RUN.match(self.body, self.at)
        run = found[0] if found else b""
        end = self.at + len(run)
        self._moved(end)
        if end >= len(self.body):
            self._no_more()
        elif end == self.piece + PIECE:
            self.piece = end
        return run


def _float_fault(run: bytes) -> str | None:
    if not run:
        return "empty number"
    if run.startswith(b"-"):
        return "-- is not valid"
    dot = run.find(b".")
    if dot >= 0:
        if dot == len(run) - 1:
            return "dot can not be last character"
        if run[dot + 1] not in _DIGITS:
            return "missing digit after dot"
    return None


def _overflows(run: bytes, digits: int) -> bool:
    """Whether a number is too big for a float of which the biggest has `digits` digits."""
    mantissa, _, exponent = run.lower().partition(b"e")
    whole = len(mantissa.partition(b".")[0].lstrip(b"0"))
    if len(exponent) > 9:
        return not exponent.startswith(b"-") and bool(mantissa.strip(b"0."))
    size = whole + int(exponent or b"0")
    if size != digits or len(run) > 1000:
        return size > digits and bool(mantissa.strip(b"0."))
    value = float(run)
    return math.isinf(value) or (digits == 39 and value > 3.4028235677973366e38)


def _shown(char: int) -> str:
    """A byte as Go's string([]byte{c}) shows it."""
    return bytes((char,)).decode("utf-8", "surrogateescape")
