"""What is found in lines: as the stages find it, with the keys that lead there in JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql.ast import JsonStage, LogfmtStage
from logql.detected_lines import LONGEST, LineParser, LineReader
from logql.stages.json_stage import JsonParser
from logql.stages.logfmt import LogfmtParser
from logql.stages.row import Row
from storage.batch import Labels

STREAM: Labels = (("a", "1"), ("a_b", "2"), ("app", "web"))

JSON = JsonParser.of(JsonStage())
LOGFMT = LogfmtParser.of(LogfmtStage())


def by_stages(line: bytes, stream: Labels = STREAM) -> tuple[LineParser, dict[str, str]]:
    row = Row(0, line, stream, ())
    JSON.apply(row)
    if not row.error:
        return LineParser.JSON, row.parsed
    row = Row(0, line, stream, ())
    LOGFMT.apply(row)
    return LineParser.LOGFMT, row.parsed


def found(line: bytes, stream: Labels = STREAM) -> tuple[LineParser, dict[str, str]]:
    parser, fields = LineReader().read(line, stream)
    return parser, {name: each.value for name, each in fields.items()}


KEYS = st.sampled_from(["a", "b", "a b", "a_b", "", " ", "1st", "é", "a.b", "a\n", "app", "_", "\ufffd", "a\u2028"])
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["\ufffd", "\u0000", "x y", '"', "\\", "é", "\U0001f600"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """Objects, now and then with a byte gone or one too many."""
    text = json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    line = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(line)))
        gone = draw(st.integers(0, 2))
        line = (
            line[:at]
            + draw(st.sampled_from([b"", b",", b'"', b"}", b"{", b"\\", b":", b"\xff", b"0"]))
            + line[at + gone :]
        )
    return line


@st.composite
def logfmt_lines(draw: st.DrawFn) -> bytes:
    """Pairs, keys alone, quotes where they belong and where they do not."""
    pieces = st.sampled_from(
        ["a", "b.c", "é", "=", '"', " ", "  ", "x y", "\\", '\\"', "1", "\t", "\ufffd", 'k="v w"', "k=v", "app=x"]
    )
    return "".join(draw(st.lists(pieces, max_size=12))).encode()


@given(json_lines())
def test_json_is_found_as_the_stage_finds_it(line: bytes) -> None:
    assert found(line) == by_stages(line)


@given(logfmt_lines())
def test_logfmt_is_found_as_the_stage_finds_it(line: bytes) -> None:
    assert found(line) == by_stages(line)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_the_stages_read_them(line: bytes) -> None:
    assert found(line) == by_stages(line)


@settings(max_examples=40)
@given(st.lists(json_lines(), max_size=3))
def test_a_reader_that_has_seen_other_lines_reads_the_same(lines: list[bytes]) -> None:
    reader = LineReader()
    for line in lines:
        for stream in (STREAM, ()):
            parser, fields = reader.read(line, stream)
            assert (parser, {name: each.value for name, each in fields.items()}) == by_stages(line, stream)


@pytest.mark.parametrize(
    ("line", "name", "path"),
    [
        (b'{"x":1}', "x", ("x",)),
        (b'{"x":{"y z":{"q":"v"}}}', "x_y_z_q", ("x", "y z", "q")),
        (b'{"x":{"y":1},"x_y":2}', "x_y", ("x", "y")),
        (b'{"x_y":2,"x":{"y":1}}', "x_y", ("x_y",)),
        (b'{"app":"v"}', "app_extracted", ("app",)),
        (b'{"a":{"b":1}}', "a_b_extracted", ("a", "b")),
        (b'{"x":{"":1}}', "x", ("x", "")),
        (b'{"x\\u0041":1}', "xA", ("xA",)),  # an escape: read by the stage's scanner
        (b'{"x":{"y":1}} tail', "x_y", ("x", "y")),  # no JSON of anybody else's
        (b'{"\xd0\xba":{"1":1}}', "__1", ("к", "1")),
        (b"x=1", "x", ()),
    ],
)
def test_the_way_to_a_field(line: bytes, name: str, path: tuple[str, ...]) -> None:
    fields = LineReader().read(line, STREAM)[1]
    assert fields[name].path == path


@pytest.mark.parametrize("tail", [b"", b" tail"])
def test_fields_with_endless_names_are_left_out(tail: bytes) -> None:
    deep = b'{"k":' * LONGEST + b"1" + b"}" * LONGEST
    line = b'{"%b":1,"%b":{"x":1},"deep":%b,"y":2}%b' % (b"n" * LONGEST, b"m" * LONGEST, deep, tail)
    assert found(line) == (LineParser.JSON, {"y": "2"})


def test_a_deep_line_with_values_at_each_depth_is_read() -> None:
    depth = 5_000
    line = b'{"k":1,"k":' * depth + b"1" + b"}" * depth
    names = found(line)[1]
    assert len(names) == LONGEST // 2
    assert max(map(len, names)) <= LONGEST
