from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.errors import StageError
from logql.stages.hints import Hints
from logql.stages.json_path import parse_json_path
from logql.stages.jsonscan import JsonError, fields, unescape
from tests.logql.stages.parsing import check, new_row, parsed, parser, recorded

BRACE = "Value looks like object, but can't find closing '}' symbol"
BRACKET = "Value is array, but can't find closing ']' symbol"
QUOTE = "Value is string, but can't find closing '\"' symbol"
ESCAPE = "Encountered an invalid escape sequence in a string"


@pytest.mark.parametrize("case", recorded("json"), ids=lambda case: f"{case['stage']} {case['line'][:40]}")
def test_a_line_has_the_labels_that_loki_gave_it(case: dict[str, Any]) -> None:
    check(case)


def error(details: str, **found: str) -> dict[str, str]:
    return {**found, "__error__": "JSONParserErr", "__error_details__": details}


LINES = [
    (b'{"a":1,"b":[1,}', error(BRACKET, a="1")),
    (b'{"a":1,"b":{"c":2}', error(BRACKET, a="1", b_c="2")),
    (b'{"a":{"b":1,"c":tru}}', error("Unknown value type", a_b="1")),
    (b'{"a":{"b":1 2},"c":3}', error(BRACE, a_b="1")),
    (b'{"a":"x\\', error(QUOTE)),
    (b'{"a":"x\\"}', error(QUOTE)),
    (b'{"a":"x\\\\"}', {"a": "x\\"}),
    (b'{"a":}', error("Unknown value type")),
    (b'{"a":', error("Malformed JSON error")),
    (b'{"a"', error("Malformed JSON error")),
    (b"{", error("Malformed JSON error")),
    (b"{}x", {}),
    (b'{"a":1,', error(BRACKET, a="1")),
    (b'{"a":1,,"b":2}', error(BRACE, a="1")),
    (b'{"a":1]', error(BRACE, a="1")),
    (b'{"a":-x,"b":1"2}', {"a": "-x", "b": '1"2'}),
    (b'{"a\\x":1}', error(ESCAPE)),
    (b'{"a":"\\x"}', {"a": ""}),
    (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
    (b'{"a":"\\udc00\\udc00"}', {"a": " "}),
    (b'{"a":"\\ud800--dc00"}', {"a": "\U00010000"}),
    (b'{"a":"\\ud800\\u0041"}', {"a": ""}),
    (b'{"a":"x\xff\xe2\x82y"}', {"a": "x   y"}),
    ('{"a":"�"}'.encode(), {"a": " "}),
    (b'{"\xff\xffa":1}', {"__a": "1"}),
    (b'{" a ":1}', {"a": "1"}),
    ('{"\xa0a\x85\u2003":1}'.encode(), {"a": "1"}),
    (b'{" ":1,"":2}', {}),
    (b'{"":{"1":1}}', {"_1": "1"}),
    (b'{"1":{"2":3}}', {"_1_2": "3"}),
    (b'{"a":{" ":{"b":1}}}', {"a_b": "1"}),
    (b'{"a":1,"a":{"":2}}', {"a": "1"}),
    (b'{"a":null,"b":[{"c":1}],"d":{"e":null}}', {}),
]


@pytest.mark.parametrize(("line", "labels"), LINES)
def test_a_line_is_read_as_far_as_it_is_json(line: bytes, labels: dict[str, str]) -> None:
    assert parsed("| json", line) == labels


def test_a_taken_name_gets_a_suffix_on_the_last_key() -> None:
    stream = {"a": "s", "b_c": "s"}
    line = b'{"a":1,"a":2,"b":{"c ":3,"":4}}'
    assert parsed("| json", line, stream) == {"a_extracted": "1", "b_c__extracted": "3", "b": "4"}


def test_a_name_of_structured_metadata_is_taken_until_it_is_dropped() -> None:
    row = new_row(b'{"a":1,"b":2}', {}, {"a": "m", "b": "m"})
    row.delete("b")
    parser("| json").apply(row)
    assert row.labels() == {"a": "m", "a_extracted": "1", "b": "2"}


def test_a_label_that_was_parsed_once_is_not_parsed_again() -> None:
    row = new_row(b'{"a":1,"b":2}', {}, {})
    row.set("a", "format")
    parser("| json").apply(row)
    assert row.labels() == {"a": "format", "b": "2"}
    row.delete("b")
    parser("| json").apply(row)
    assert row.labels() == {"a": "format"}


def test_a_deep_line_is_read_in_full() -> None:
    depth = 20_000
    line = b'{"a":' * depth + b"1" + b"}" * depth
    assert parsed("| json", line) == {"_".join("a" * depth): "1"}


class Equals:
    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def apply(self, row: Any) -> bool:
        return bool(row.get(self.name) == self.value)


def test_a_filter_drops_the_line_as_soon_as_its_label_is_read() -> None:
    hints = Hints(filters={"a": Equals("a", "1")})
    row = new_row(b'{"b":1,"a":2,"c":3}', {}, {})
    assert not parser("| json", hints).apply(row)
    assert row.labels() == {"b": "1", "a": "2"}


def test_only_wanted_labels_are_read_and_no_further_than_the_last() -> None:
    hints = Hints(required=frozenset({"b_c"}))
    assert parsed("| json", b'{"a":1,"x":{"y":1},"b":{"d":1,"c":2},broken', hints=hints) == {"b_c": "2"}
    assert parsed("| json", b"broken", hints=Hints(no_labels=True)) == {}
    assert parsed("| json", b"broken", hints=hints) == error(BRACE)


def test_an_error_is_preserved_when_the_query_asks_for_it() -> None:
    labels = parsed("| json", b"x", hints=Hints(required=frozenset({"__error__"}), preserve_error=True))
    assert labels == error(BRACE, __preserve_error__="true")


PATHS = [
    ("a", (b"a",)),
    ("a.b_2", (b"a", b"b_2")),
    (' a [ 007 ] . b\n["c d"]', (b"a", b"[7]", b"b", b"c d")),
    ('["k"]', (b"k",)),
    ('["\udcff"]', ("�".encode(),)),
    ('[""]', (b"",)),
    ("a\0b", (b"a",)),
]


@pytest.mark.parametrize(("text", "path"), PATHS)
def test_an_expression_is_a_path(text: str, path: tuple[bytes, ...]) -> None:
    assert parse_json_path(text) == path


BAD_PATHS = [
    ("", "syntax error: unexpected $end, expecting LSB or FIELD"),
    ("é", "syntax error: unexpected $end, expecting LSB or FIELD"),
    ('"pod"]', "syntax error: unexpected STRING, expecting LSB or FIELD"),
    (".a", "syntax error: unexpected DOT, expecting LSB or FIELD"),
    ("field with space", "syntax error: unexpected FIELD"),
    ("a]", "syntax error: unexpected RSB"),
    ("pod..uuid", "syntax error: unexpected DOT, expecting FIELD"),
    ("pod.", "syntax error: unexpected $end, expecting FIELD"),
    ("[x]", "syntax error: unexpected FIELD, expecting STRING or INDEX"),
    ("a[-1]", "syntax error: unexpected $end, expecting STRING or INDEX"),
    ("a[1.5]", "syntax error: unexpected $end, expecting STRING or INDEX"),
    ("a[1", "syntax error: unexpected $end, expecting STRING or INDEX"),
    ('["pod"', "syntax error: unexpected $end, expecting RSB"),
    ('["pod"]]', "syntax error: unexpected RSB"),
    ('["key', "syntax error: unexpected $end, expecting RSB"),
    ('["key]', "syntax error: unexpected $end, expecting RSB"),
    ('["pod""deployment"]', "syntax error: unexpected STRING, expecting RSB"),
    ("a 5 ", "syntax error: unexpected INDEX"),
    ("a 5x", "non-integer value: x"),
    ("a 5", "non-integer value: \0"),
    ("a é", "unexpected char é"),
    ("a\r", "unexpected char \r"),
    ("a 99999999999999999999 ", 'strconv.Atoi: parsing "99999999999999999999": value out of range'),
]


@pytest.mark.parametrize(("text", "message"), BAD_PATHS)
def test_a_bad_expression_is_refused(text: str, message: str) -> None:
    with pytest.raises(StageError) as refused:
        parse_json_path(text)
    assert str(refused.value) == f"cannot parse expression [{text}]: {message}"


EXPRESSIONS = [
    ('| json x="a.b"', b'{"a":{"b":1},"x":2}', {"x": "1"}),
    ('| json x="a.b"', b'{"a": {"c":{"b":3}},"b":1}', {"x": ""}),
    ('| json x="a", y="a", z="a.b"', b'{"a":{"b":1}}', {"x": '{"b":1}', "y": '{"b":1}', "z": "1"}),
    ('| json x="a"', b'{"a":"\\n\xff"}', {"x": "\n "}),
    ('| json x="a"', b'{"a":{"b":"\\n"}}', {"x": '{"b":"\\n"}'}),
    ('| json x="a"', b'{"a":["\\u00e9"]}', {"x": '["é"]'}),
    ('| json x="a"', b'{"a":null}', {"x": ""}),
    ('| json x="[1].b"', b'[{"b":1},{"b":2}]', {"x": "2"}),
    ('| json x="a[1][0]"', b'{"a":[[1],[2]]}', {"x": "2"}),
    ('| json x="a[1]"', b'{"a":["p","q"]}', {"x": "q"}),
    ('| json x="a[0]", y="a[2].b[1]"', b'{"a":["p","q",{"b":[1,"z"]}]}', {"x": "p", "y": "z"}),
    ('| json x="a[0]"', b'{"a":[1', {"x": "1"}),
    ('| json x="b"', b'{"a":[1', {"x": ""}),
    ('| json x="a"', b'{"a":[1', error(BRACKET, x="")),
    ('| json x="a"', b'"a":1', error("Malformed JSON error", x="")),
    ('| json x="a"', b'"a"', {"x": ""}),
    ('| json x="a"', b' {"a":1}', {"__error__": "JSONParserErr"}),
    ('| json x="a"', b"", {}),
    ('| json x="a"', b'{"b":1}}{{"a":2}', {"x": "2"}),
    ('| json x="a"', b'{"a":1,"a":2}', {"x": "1"}),
    ('| json x="[\\"a\\"]"', b'{"\\u0061":1}', {"x": "1"}),
]


@pytest.mark.parametrize(("stage", "line", "labels"), EXPRESSIONS)
def test_expressions_read_their_places(stage: str, line: bytes, labels: dict[str, str]) -> None:
    assert parsed(stage, line) == labels


def test_an_expression_sets_a_label_again() -> None:
    row = new_row(b'{"a":1,"b":2}', {}, {})
    row.set("x", "before")
    parser('| json x="a", y="nosuch"').apply(row)
    assert row.labels() == {"x": "1", "y": ""}


simple = st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\/é😀\n\x7f{}[],:', max_size=6)
names = st.text(alphabet="abc", min_size=1, max_size=2)
values = st.recursive(simple, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
objects = st.dictionaries(names, values, max_size=4)


@given(value=objects, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_json_flattens_as_pythons_reader_says(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    wanted: dict[str, str] = {}
    _flatten(value, "", wanted)
    assert parsed("| json", json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == wanted


def _flatten(value: dict[str, Any], prefix: str, found: dict[str, str]) -> None:
    for name, inner in value.items():
        if isinstance(inner, dict):
            _flatten(inner, f"{prefix}{name}_", found)
        elif inner is not None and not isinstance(inner, list):
            found.setdefault(prefix + name, inner if isinstance(inner, str) else json.dumps(inner))


steps = names | st.integers(0, 2)


@given(value=objects, path=st.lists(steps, min_size=1, max_size=4), spaced=st.booleans())
def test_a_path_leads_where_pythons_reader_says(value: dict[str, Any], path: list[str | int], spaced: bool) -> None:
    line = json.dumps(value, separators=None if spaced else (",", ":")).encode()
    text = "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in path)
    found = parsed(f"| json x=`{text}`", line)
    there: Any = value
    for step in path:
        inside = isinstance(step, int) == isinstance(there, list) and isinstance(there, list | dict)
        try:
            there = there[step] if inside else None
        except (KeyError, IndexError):
            there = None
    if isinstance(there, dict | list):
        assert found["x"].startswith("{" if isinstance(there, dict) else "[")
    elif isinstance(there, str) or there is None:
        assert found == {"x": there or ""}
    else:
        assert found == {"x": json.dumps(there)}


broken = st.lists(
    st.sampled_from(
        [b'{"', b'"}', b'":', b'"a":', b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"1", b"\xff", b" ", b"null"]
    ),
    max_size=12,
).map(b"".join)


@given(line=broken)
def test_no_line_is_too_broken(line: bytes) -> None:
    try:
        found = list(fields(line))
    except JsonError:
        found = []
    assert all(line[field.value.start : field.value.stop] == field.value.raw for field in found)
    parsed("| json", line)
    names = parsed('| json x="a", y="a[0].a[0]", z="[0].a", w="a.a"', line)
    assert "__error__" in names or not line or {"w", "x", "y", "z"} <= names.keys()


@given(text=st.text())
def test_escapes_are_undone(text: str) -> None:
    raw = json.dumps(text)[1:-1].encode()
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    assert unescape(raw) == text.encode()
