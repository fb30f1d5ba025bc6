"""Text of a template -> tokens, as Go's text/template/parse cuts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from logql.template.quoting import hash_u, quote

LEFT, RIGHT = "{{", "}}"
SPACES = " \t\r\n"


class Kind(Enum):
    """Kinds of token. Those of KEYWORDS show as <word> in messages, others quoted."""

    ERROR = auto()
    TEXT = auto()
    EOF = auto()
    LEFT_DELIM = auto()
    RIGHT_DELIM = auto()
    SPACE = auto()
    LEFT_PAREN = auto()
    RIGHT_PAREN = auto()
    PIPE = auto()
    ASSIGN = auto()
    DECLARE = auto()
    CHAR = auto()
    CHAR_CONSTANT = auto()
    COMPLEX = auto()
    NUMBER = auto()
    STRING = auto()
    RAW_STRING = auto()
    BOOL = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    VARIABLE = auto()
    DOT = auto()
    NIL = auto()
    BLOCK = auto()
    BREAK = auto()
    CONTINUE = auto()
    DEFINE = auto()
    ELSE = auto()
    END = auto()
    IF = auto()
    RANGE = auto()
    TEMPLATE = auto()
    WITH = auto()


KEYWORDS = {
    ".": Kind.DOT,
    "block": Kind.BLOCK,
    "break": Kind.BREAK,
    "continue": Kind.CONTINUE,
    "define": Kind.DEFINE,
    "else": Kind.ELSE,
    "end": Kind.END,
    "if": Kind.IF,
    "nil": Kind.NIL,
    "range": Kind.RANGE,
    "template": Kind.TEMPLATE,
    "with": Kind.WITH,
}
_KEYWORD_KINDS = frozenset(KEYWORDS.values())

_DECIMAL, _HEX, _OCTAL, _BINARY = "0-9_", "0-9a-fA-F_", "0-7_", "01_"
_NUMBER = re.compile(
    rf"[+-]?(?:0[xX][{_HEX}]*(?:\.[{_HEX}]*)?(?:[pP][+-]?[{_DECIMAL}]*)?"
    rf"|0[oO][{_OCTAL}]*(?:\.[{_OCTAL}]*)?"
    rf"|0[bB][{_BINARY}]*(?:\.[{_BINARY}]*)?"
    rf"|[{_DECIMAL}]*(?:\.[{_DECIMAL}]*)?(?:[eE][+-]?[{_DECIMAL}]*)?)i?",
    re.ASCII,
)
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_CHAR_QUOTED = re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        kind: its kind.
        at: where it begins, in characters.
        text: the token as written; the message of an ERROR.
        line: 1-based line where it begins.
    """

    kind: Kind
    at: int
    text: str
    line: int

    def __str__(self) -> str:
        if self.kind is Kind.EOF:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.text
        if self.kind in _KEYWORD_KINDS:
            return f"<{self.text}>"
        if len(self.text.encode("utf-8", "surrogateescape")) > 10:
            return f"{quote(self.text[:10])}..."
        return quote(self.text)


def tokenize(text: str) -> list[Token]:
    """The tokens of a template. The last is EOF, or ERROR where Go's scanner stops with a message."""
    return _Scanner(text).scan()


def is_word(char: str) -> bool:
    """Whether a character may stand in an identifier."""
    return char == "_" or char.isalpha() or char.isdecimal()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.tokens: list[Token] = []
        self.depth = 0
        self.line = 1
        self.counted = 0

    def scan(self) -> list[Token]:
        while self._text() and self._action():
            pass
        return self.tokens

    def _emit(self, kind: Kind, start: int, text: str) -> None:
        self.line += self.text.count("\n", self.counted, start)
        self.counted = start
        self.tokens.append(Token(kind, start, text, self.line))

    def _take(self, kind: Kind, end: int) -> bool:
        """Emits the text up to `end`."""
        self._emit(kind, self.at, self.text[self.at : end])
        self.at = end
        return True

    def _fail(self, message: str, start: int | None = None) -> bool:
        self._emit(Kind.ERROR, self.at if start is None else start, message)
        return False

    def _right_delim(self, at: int) -> int:
        """Length of a closing delimiter with its trim marker; 0 if there is none."""
        if self.text.startswith(RIGHT, at):
            return 2
        marked = self.text[at : at + 1] in tuple(SPACES) and self.text.startswith("-" + RIGHT, at + 1)
        return 4 if marked else 0

    def _text(self) -> bool:
        """Text up to the next action, which is left at its first token; False at the end."""
        while True:
            start = self.text.find(LEFT, self.at)
            if start < 0:
                if self.at < len(self.text):
                    self._take(Kind.TEXT, len(self.text))
                self._emit(Kind.EOF, len(self.text), "")
                return False
            inside = start + 2
            trims = self.text.startswith("-", inside) and self.text[inside + 1 : inside + 2] in tuple(SPACES)
            before = self.text[self.at : start]
            if trims:
                before = before.rstrip(SPACES)
                inside += 2
            if before:
                self._emit(Kind.TEXT, self.at, before)
            if not self.text.startswith("/*", inside):
                self._emit(Kind.LEFT_DELIM, start, LEFT)
                self.at = inside
                self.depth = 0
                return True
            if not self._comment(inside):
                return False

    def _comment(self, start: int) -> bool:
        end = self.text.find("*/", start + 2)
        if end < 0:
            return self._fail("unclosed comment", start)
        length = self._right_delim(end + 2)
        if not length:
            return self._fail("comment ends before closing delimiter", start)
        self._after_delim(end + 2, length)
        return True

    def _after_delim(self, start: int, length: int) -> None:
        self.at = start + length
        if length > 2:
            rest = self.text[self.at :]
            self.at += len(rest) - len(rest.lstrip(SPACES))

    def _action(self) -> bool:
        while True:
            length = self._right_delim(self.at)
            if length:
                if self.depth:
                    return self._fail("unclosed left paren")
                self._emit(Kind.RIGHT_DELIM, self.at + length - 2, RIGHT)
                self._after_delim(self.at, length)
                return True
            if not self._inside():
                return False

    def _inside(self) -> bool:
        text, at = self.text, self.at
        if at >= len(text):
            return self._fail("unclosed action")
        char = text[at]
        if char in SPACES:
            return self._space()
        if char == "=":
            return self._take(Kind.ASSIGN, at + 1)
        if char == ":":
            return self._take(Kind.DECLARE, at + 2) if text.startswith(":=", at) else self._fail("expected :=")
        if char == "|":
            return self._take(Kind.PIPE, at + 1)
        if char == '"':
            return self._pattern(_QUOTED, Kind.STRING, "unterminated quoted string")
        if char == "'":
            return self._pattern(_CHAR_QUOTED, Kind.CHAR_CONSTANT, "unterminated character constant")
        if char == "`":
            end = text.find("`", at + 1)
            return self._take(Kind.RAW_STRING, end + 1) if end > 0 else self._fail("unterminated raw quoted string")
        if char == "$":
            return self._word(at + 1, Kind.VARIABLE)
        if char == "." and not (at + 1 < len(text) and text[at + 1] in "0123456789") and at + 1 < len(text):
            return self._word(at + 1, Kind.FIELD)
        if char in "+-.0123456789":
            return self._number()
        if is_word(char):
            return self._word(at, Kind.IDENTIFIER)
        if char == "(":
            self.depth += 1
            return self._take(Kind.LEFT_PAREN, at + 1)
        if char == ")":
            self.depth -= 1
            return self._take(Kind.RIGHT_PAREN, at + 1) if self.depth >= 0 else self._fail("unexpected right paren")
        if char.isascii() and char.isprintable():
            return self._take(Kind.CHAR, at + 1)
        return self._fail(f"unrecognized character in action: {hash_u(char)}")

    def _space(self) -> bool:
        end = self.at
        while end < len(self.text) and self.text[end] in SPACES:
            end += 1
        if self.text.startswith("-" + RIGHT, end):
            end -= 1
        if end > self.at:
            self._take(Kind.SPACE, end)
        return True

    def _pattern(self, pattern: re.Pattern[str], kind: Kind, message: str) -> bool:
        match = pattern.match(self.text, self.at)
        return self._take(kind, match.end()) if match else self._fail(message)

    def _word(self, start: int, kind: Kind) -> bool:
        """An identifier, or a field or variable whose sign stands before `start`."""
        end = start
        while end < len(self.text) and is_word(self.text[end]):
            end += 1
        if not self._ends_word(end):
            return self._fail(f"bad character {hash_u(self.text[end])}")
        word = self.text[self.at : end]
        if kind is Kind.IDENTIFIER:
            kind = Kind.BOOL if word in {"true", "false"} else KEYWORDS.get(word, kind)
        elif word == ".":
            kind = Kind.DOT
        return self._take(kind, end)

    def _ends_word(self, at: int) -> bool:
        return at >= len(self.text) or self.text[at] in " \t\r\n.,|:()" or self.text.startswith(RIGHT, at)

    def _number(self) -> bool:
        end, good = self._number_end(self.at)
        if not good:
            return self._fail(f"bad number syntax: {quote(self.text[self.at : end])}")
        if self.text[end : end + 1] in {"+", "-"}:
            end, good = self._number_end(end)
            if not good or self.text[end - 1] != "i":
                return self._fail(f"bad number syntax: {quote(self.text[self.at : end])}")
            return self._take(Kind.COMPLEX, end)
        return self._take(Kind.NUMBER, end)

    def _number_end(self, start: int) -> tuple[int, bool]:
        match = _NUMBER.match(self.text, start)
        assert match is not None, "every part of the pattern is optional"
        end = match.end()
        if end < len(self.text) and is_word(self.text[end]):
            return end + 1, False
        return end, True
