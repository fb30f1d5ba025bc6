"""Text -> tokens, in the way of Go's text/scanner, whose quirks users see as positions and messages, as in Loki."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from logql.convert import ConversionError, parse_bytes, parse_duration
from logql.durations import parse_prometheus_duration
from logql.errors import ParseError
from logql.literals import BadLiteral, unquote
from logql.tokens import END, FLAGS, FUNCTIONS, KEYWORDS, OPERATORS, Position, ScannedToken

_BLANK = re.compile(r"[ \t\r\n]+")
_LINE_COMMENT = re.compile(r"(?:#|//)[^\n]*\n?")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[bBoO][0-9_]*"
    r"|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]*)?"
)
_NO_OCTAL = re.compile(r"0[0-7_]*([89])[0-9_]*")
_DURATION_RUN = re.compile(r"[0-9.]*[nuµmshdwy][0-9.nuµmshdwy]*")
_BYTES_RUN = re.compile(r"[0-9.]*[BikKMGTP]+")
_CALL = re.compile(r"[ \t\r\n]*(?:\(|(?:by|without)[ \t\r\n]*\()", re.IGNORECASE)
_STRING_BODY = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_CHAR_BODY = re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")
_CHAR = re.compile(r"'(?:[^'\\\n]|\\[^\n]{1,9})'")
_UNDECODED = re.compile("[\udc80-\udcff]")


def scan(text: str) -> Iterator[ScannedToken]:
    """The tokens of `text`, the last of which is END. Made as they are asked for: Loki reports the first error only.

    Args:
        text: the query; bytes that were no UTF-8 are lone surrogates (surrogateescape).

    Raises:
        ParseError: a literal, comment or range that does not end, a bad escape, or invalid UTF-8.
    """
    return _Scanner(text).tokens()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.line_start = 0

    def tokens(self) -> Iterator[ScannedToken]:
        while self._skip_blanks_and_comments():
            yield self._token()
        yield ScannedToken(END, "", self._position() if self.text else Position(0, 0))

    def _position(self) -> Position:
        return Position(self.line, self.at - self.line_start + 1)

    def _advance(self, to: int) -> str:
        piece = self.text[self.at : to]
        breaks = piece.count("\n")
        if breaks:
            self.line += breaks
            self.line_start = self.at + piece.rindex("\n") + 1
        self.at = to
        return piece

    def _skip_blanks_and_comments(self) -> bool:
        """Moves to the next token; whether there is one."""
        while self.at < len(self.text):
            if match := _BLANK.match(self.text, self.at) or _LINE_COMMENT.match(self.text, self.at):
                self._advance(match.end())
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2)
                if end < 0:
                    raise ParseError("comment not terminated", *self._position())
                self._advance(end + 2)
            else:
                return True
        return False

    def _token(self) -> ScannedToken:
        char = self.text[self.at]
        if char == "_" or char.isalpha():
            return self._word()
        if char in '"`':
            return self._string(char)
        if char == "'":
            return self._char()
        if match := _NUMBER.match(self.text, self.at):
            return self._number(self.at, match.end())
        if char == "-":
            return self._minus()
        if char == "[":
            return self._range()
        return self._operator(char)

    def _word(self) -> ScannedToken:
        start, end = self._position(), self.at + 1
        while end < len(self.text) and (
            self.text[end] == "_" or self.text[end].isalpha() or self.text[end].isdecimal()
        ):
            end += 1
        word = self._advance(end)
        name = KEYWORDS.get(word.lower())
        if name is None and word.lower() in FUNCTIONS and _CALL.match(self.text, end):
            name = FUNCTIONS[word.lower()]
        return ScannedToken(name or "IDENTIFIER", word, start)

    def _string(self, mark: str) -> ScannedToken:
        start = self._position()
        if mark == "`":
            end = self.text.find("`", self.at + 1) + 1
        else:
            match = _STRING_BODY.match(self.text, self.at)
            end = match.end() if match else 0
        if not end:
            raise ParseError("literal not terminated", *start)
        token = self._advance(end)
        if _UNDECODED.search(token):
            raise ParseError("invalid UTF-8 encoding", *start)
        try:
            return ScannedToken("STRING", unquote(token), start)
        except BadLiteral as error:
            raise ParseError(str(error), *start) from None

    def _char(self) -> ScannedToken:
        """A Go character literal: a token to the scanner, but nothing that LogQL knows."""
        start = self._position()
        match = _CHAR_BODY.match(self.text, self.at)
        if not match:
            raise ParseError("literal not terminated", *start)
        if not _CHAR.fullmatch(match.group()):
            raise ParseError("invalid char literal", *start)
        return ScannedToken("IDENTIFIER", self._advance(match.end()), start)

    def _number(self, begin: int, end: int) -> ScannedToken:
        """A number or, where a unit follows at once, a duration or a size."""
        start = self._position()
        for name, run, readers in (
            ("DURATION", _DURATION_RUN, (parse_prometheus_duration, parse_duration)),
            ("BYTES", _BYTES_RUN, (parse_bytes,)),
        ):
            tail = run.match(self.text, end)
            if tail and _is_read(self.text[begin : tail.end()], readers):
                return ScannedToken(name, self._advance(tail.end()), Position(0, start.col))
        number = self._advance(end)
        if match := _NO_OCTAL.fullmatch(number):
            raise ParseError(f"invalid digit '{match[1]}' in octal literal", *start)
        return ScannedToken("NUMBER", number, start)

    def _minus(self) -> ScannedToken:
        start = self._position()
        for flag in FLAGS:
            if self.text.startswith(flag, self.at):
                self._advance(self.at + len(flag))
                return ScannedToken("FUNCTION_FLAG", flag, Position(0, start.col))
        number = _NUMBER.match(self.text, self.at + 1)
        if number:
            tail = _DURATION_RUN.match(self.text, number.end())
            if tail and _is_read(self.text[self.at + 1 : tail.end()], (parse_prometheus_duration,)):
                return ScannedToken("DURATION", self._advance(tail.end()), Position(0, start.col))
        self._advance(self.at + 1)
        return ScannedToken("SUB", "-", start)

    def _range(self) -> ScannedToken:
        """`[5m]`; its text is what stands between the brackets."""
        start = Position(0, self._position().col)
        end = self.text.find("]", self.at)
        if end < 0:
            raise ParseError("missing closing ']' in duration", *start)
        length = self._advance(end + 1)[1:-1]
        try:
            parse_prometheus_duration(length)
        except ConversionError as error:
            raise ParseError(str(error), *start) from None
        return ScannedToken("RANGE", length, start)

    def _operator(self, char: str) -> ScannedToken:
        start = self._position()
        if _UNDECODED.match(char):
            raise ParseError("invalid UTF-8 encoding", *start)
        two = self.text[self.at : self.at + 2]
        if len(two) == 2 and two in OPERATORS:
            self._advance(self.at + 2)
            return ScannedToken(OPERATORS[two], two, Position(0, start.col))
        self._advance(self.at + 1)
        return ScannedToken(OPERATORS.get(char, "IDENTIFIER"), char, start)


def _is_read(text: str, readers: Sequence[Callable[[str], int]]) -> bool:
    """Whether any of the readers takes the text."""
    for read in readers:
        with suppress(ConversionError):
            read(text)
            return True
    return False
