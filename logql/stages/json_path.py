"""The expressions of `| json` and `| logfmt`: paths like `a.b[0]["c d"]`, and names of keys, with Loki's error texts.

Both are tiny languages of their own that Loki reads with scanners and yacc grammars; texts name their tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from logql.errors import StageError
from logql.literals import to_bytes
from logql.stages.extracted import decode
from logql.stages.jsonkeys import Path


class _Token(StrEnum):
    DOT = "DOT"
    LEFT = "LSB"
    RIGHT = "RSB"
    STRING = "STRING"
    FIELD = "FIELD"
    KEY = "KEY"
    INDEX = "INDEX"
    END = "$end"


_BLANK = re.compile(r"[ \t\n]*")
_FIELD = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STRING = re.compile(r'"([^"\]\0]*)["\]]?')
_DIGITS = re.compile(r"[0-9]+")
_PUNCTUATION = {".": _Token.DOT, "[": _Token.LEFT, "]": _Token.RIGHT}
_MAX_INT = (1 << 63) - 1


class _BadText(Exception):  # noqa: N818 - not an error of its own where the grammar has a better one
    """The scanner met what is no token; the grammar sees the end of the text there."""


def parse_json_path(expression: str) -> Path:
    """The path of a json expression; elements of arrays are `[n]`.

    Raises:
        StageError: it is none; the text is Loki's.
    """
    scanner = _Scanner(expression, _Token.FIELD)
    path: list[bytes] = []
    token, text = scanner.next()
    while True:
        if token is _Token.LEFT:
            path.append(_in_brackets(scanner))
        elif token is _Token.DOT and path:
            path.append(to_bytes(scanner.expect(_Token.FIELD)))
        elif token is _Token.FIELD and not path:
            path.append(to_bytes(text))
        elif token is _Token.END and path:
            scanner.check()
            return tuple(path)
        else:
            raise scanner.unexpected(token, () if path else (_Token.LEFT, _Token.FIELD))
        token, text = scanner.next()


def _in_brackets(scanner: _Scanner) -> bytes:
    token, text = scanner.next()
    if token not in (_Token.STRING, _Token.INDEX):
        raise scanner.unexpected(token, (_Token.STRING, _Token.INDEX))
    scanner.expect(_Token.RIGHT)
    return to_bytes(text if token is _Token.STRING else f"[{text}]")


def parse_logfmt_key(expression: str) -> str | None:
    """The key that a logfmt expression names, None when it names several, which none ever matches.

    Raises:
        StageError: it names none; the text is Loki's.
    """
    scanner = _Scanner(expression, _Token.KEY)
    token, key = scanner.next()
    if token not in (_Token.STRING, _Token.KEY):
        raise scanner.unexpected(token, (_Token.STRING, _Token.KEY))
    several = False
    while (token := scanner.next()[0]) is _Token.STRING:
        several = True
    if token is not _Token.END:
        raise scanner.unexpected(token, ())
    scanner.check()
    return None if several else key


class _Scanner:
    """Tokens of an expression; after something that is none, the end."""

    def __init__(self, expression: str, word: _Token) -> None:
        self._expression = expression
        self._tokens = self._scan(decode(to_bytes(expression)), word)
        self._bad = ""

    def next(self) -> tuple[_Token, str]:
        try:
            return next(self._tokens, (_Token.END, ""))
        except _BadText as bad:
            self._bad = str(bad)
            return _Token.END, ""

    def expect(self, wanted: _Token) -> str:
        token, text = self.next()
        if token is not wanted:
            raise self.unexpected(token, (wanted,))
        return text

    def check(self) -> None:
        """Raises what the scanner found, at the end of an expression that is good so far."""
        if self._bad:
            raise self._error(self._bad)

    def unexpected(self, token: _Token, expected: tuple[_Token, ...]) -> StageError:
        text = f"syntax error: unexpected {token}"
        return self._error(f"{text}, expecting {' or '.join(expected)}" if expected else text)

    def _error(self, text: str) -> StageError:
        return StageError(f"cannot parse expression [{self._expression}]: {text}")

    @staticmethod
    def _scan(text: str, word: _Token) -> Iterator[tuple[_Token, str]]:
        text = text.partition("\0")[0]
        at = 0
        while True:
            blank = _BLANK.match(text, at)
            at = blank.end() if blank else at
            if at == len(text):
                return
            if found := _FIELD.match(text, at):
                yield word, found[0]
            elif found := _STRING.match(text, at):
                yield _Token.STRING, found[1]
            elif word is _Token.KEY:
                raise _BadText(f"unexpected char {text[at]}")
            elif found := _DIGITS.match(text, at):
                yield _Token.INDEX, _index(found[0], text[found.end() : found.end() + 1])
            elif text[at] in _PUNCTUATION:
                yield _PUNCTUATION[text[at]], text[at]
                at += 1
                continue
            else:
                raise _BadText(f"unexpected char {text[at]}")
            at = found.end()


def _index(digits: str, following: str) -> str:
    if following == ".":
        raise _BadText("cannot use float as array index")
    if following not in (" ", "\t", "\n", "]"):
        raise _BadText(f"non-integer value: {following or chr(0)}")
    if int(digits) > _MAX_INT:
        raise _BadText(f'strconv.Atoi: parsing "{digits}": value out of range')
    return str(int(digits))
