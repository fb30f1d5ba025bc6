from __future__ import annotations

import base64
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logql.template import TemplateError, compile_template
from logql.template.fmt import sprintf
from logql.template.number_functions import from_json
from logql.template.regex_functions import count, replace_all
from logql.template.string_functions import _decode_slowly as decode_slowly
from logql.template.string_functions import base64_decode, lower, substr, title, trunc, upper, url_decode, url_encode
from logql.template.values import NIL

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.text("+- 0", max_size=4), st.integers(0, 30), st.sampled_from("dxX"))
def test_integers_print_as_in_c(value: int, flags: str, width: int, verb: str) -> None:
    layout = f"%{flags}{width or ''}{verb}"
    plain = re.sub("-.*|.*-", "-", flags) if "-" in flags else flags  # zeros never stand at the right
    wanted = f"%{plain}{'+' if '+' in flags else ''}{' ' if ' ' in flags else ''}{width or ''}{verb}" % value
    assert sprintf(layout.encode(), [value]).decode() == wanted


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from("eEfgG"), st.integers(0, 20), st.integers(1, 40)
)
def test_floats_print_as_in_c(value: float, verb: str, precision: int, width: int) -> None:
    layout = f"%0{width}.{precision}{verb}"
    assert sprintf(layout.encode(), [value]).decode() == layout % value


@given(st.binary(), st.lists(st.integers() | st.binary() | st.floats() | st.booleans(), max_size=3))
def test_any_layout_prints_something(layout: bytes, args: list[Any]) -> None:
    sprintf(re.sub(rb"[0-9]{3,}", b"9", layout), [arg % 1000 if type(arg) is int else arg for arg in args])


@given(st.binary())
def test_base64(value: bytes) -> None:
    encoded = base64.b64encode(value)
    assert base64_decode(encoded) == decode_slowly(encoded) == base64_decode(encoded.rstrip(b"=")) == value
    assert base64_decode(b"\n".join(encoded[i : i + 1] for i in range(len(encoded)))) == value


@given(st.text("AZaz09+/=*\n", max_size=12))
def test_the_fast_base64_decoder_takes_what_the_slow_one_takes(text: str) -> None:
    padded = text.encode() + b"=" * (-len(text.replace("\n", "")) % 4)
    assert base64_decode(text.encode()) == decode_slowly(padded)


@given(st.binary())
def test_url_encoding(value: bytes) -> None:
    assert url_decode(url_encode(value)) == value


@given(st.text())
def test_case_is_changed_one_character_for_one(text: str) -> None:
    for change in (upper, lower, title):
        assert len(change(text.encode()).decode()) == len(text)


@given(st.binary(), st.integers(-20, 20))
def test_trunc_keeps_an_end(value: bytes, size: int) -> None:
    kept = trunc(size, value)
    assert value.startswith(kept) if size >= 0 else value.endswith(kept)
    assert len(kept) == min(abs(size), len(value)) or (size < 0 and -size >= len(value) and kept == value)


@given(st.binary(max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_substr_is_a_slice(value: bytes, start: int, end: int) -> None:
    if start <= min(end, len(value)):
        assert substr(start, end, value) == value[start:end]


@given(st.text("ab\u00e9", max_size=12), st.sampled_from(["a", "a+", "b|aa", "é.", "(a)(b)"]))
def test_replacing_matches_that_are_not_empty_is_what_re_does(text: str, pattern: str) -> None:
    replaced = replace_all(pattern.encode(), text.encode(), b"<$0>").decode()
    assert replaced == re.sub(pattern, r"<\g<0>>", text)
    assert count(pattern.encode(), text.encode()) == len(re.findall(pattern, text))


@given(st.binary(max_size=20))
def test_bytes_that_are_no_utf8_survive_a_replacement(value: bytes) -> None:
    assert replace_all(b"z", value, b"z") == value
    assert replace_all(b"(?s)(.*)", value, b"$1") == value


@given(JSON)
def test_json_is_decoded(document: Any) -> None:
    assert plain(from_json(json.dumps(document).encode())) == plain_json(document)


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return None if value is NIL else value


def plain_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(st.lists(st.sampled_from([*"{}.-|()$:=, \"'`xX19e\n", "{{", "}}", "if ", "end", "range ", ".a", "print "])))
def test_any_text_is_a_template_or_refused_in_words(parts: list[str]) -> None:
    try:
        compile_template("".join(parts), name="line").render({"a": "b"}, line=b"x", ts=1)
    except TemplateError as error:
        assert str(error).startswith("template: ")  # noqa: PT017 - most texts raise nothing
