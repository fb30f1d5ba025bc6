"""Number and character constants of a template (Go: text/template/parse, strconv)."""

from __future__ import annotations

from logql.literals import BadLiteral, unquote
from logql.template.nodes import Number
from logql.template.quoting import quote
from logql.template.strconv import MAX_INT64, MAX_UINT64, MIN_INT64, NumberError, parse_float, parse_int
from logql.template.tokens import Kind, Token


def parse_number(token: Token) -> Number:
    """The constant that a token writes.

    Raises:
        ValueError: it is none; the text is Go's.
    """
    if token.kind is Kind.CHAR_CONSTANT:
        code = _char(token.text)
        return Number(token.at, token.text, code, code, float(code))
    if token.text.endswith("i"):
        value = _imaginary(token)
        if value is not None:
            return _simplified(token, value)
    integer, unsigned = _integers(token.text)
    if integer is not None or unsigned is not None:
        whole = integer if integer is not None else unsigned
        assert whole is not None
        return Number(token.at, token.text, integer, unsigned, float(whole))
    try:
        value_f = parse_float(token.text)
    except NumberError:
        raise ValueError(f"illegal number syntax: {quote(token.text)}") from None
    if not any(mark in token.text for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(token.text)}")
    return Number(token.at, token.text, *_as_integers(value_f), value_f)


def _char(text: str) -> int:
    body = text[1:-1]
    if body.startswith("\\"):
        try:
            value = "'" if body == "\\'" else unquote(f'"{body}"')
        except BadLiteral:
            raise ValueError("invalid syntax") from None
        if body == '\\"':
            raise ValueError("invalid syntax")
    else:
        value = body
    if not body:
        raise ValueError("invalid syntax")
    if len(value) != 1:
        raise ValueError(f"malformed character constant: {text}")
    code = ord(value)
    return code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code


def _imaginary(token: Token) -> complex | None:
    text = token.text[:-1]
    try:
        if token.kind is not Kind.COMPLEX:
            return complex(0, parse_float(text))
        cut = max(i for i in range(1, len(text)) if text[i] in "+-" and text[i - 1] not in "eEpP")
        return complex(parse_float(text[:cut]), parse_float(text[cut:]))
    except NumberError:
        if token.kind is Kind.COMPLEX:
            raise ValueError("syntax error scanning complex number") from None
        return None


def _simplified(token: Token, value: complex) -> Number:
    """A complex constant without an imaginary part is a float, and an integer if it is whole."""
    if value.imag:
        return Number(token.at, token.text, None, None, None, value)
    return Number(token.at, token.text, *_as_integers(value.real), value.real, value)


def _integers(text: str) -> tuple[int | None, int | None]:
    try:
        value = parse_int(text, 0, bits=None)
    except NumberError:
        return None, None
    unsigned = value if 0 <= value <= MAX_UINT64 and (value == 0 or text[0] not in "+-") else None
    return (value if MIN_INT64 <= value <= MAX_INT64 else None), unsigned


def _as_integers(value: float) -> tuple[int | None, int | None]:
    if value != value or not value.is_integer():  # noqa: PLR0124 - NaN is the number that is not itself
        return None, None
    whole = int(value)
    return (whole if MIN_INT64 <= whole <= MAX_INT64 else None), (whole if 0 <= whole <= MAX_UINT64 else None)
