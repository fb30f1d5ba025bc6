from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from logql.columns.fields import FAILED, READ, UNSURE
from logql.columns.unpack_fields import UnpackFields
from storage.batch import texts
from tests.logql.columns.extraction import bench_lines, by_columns, recorded_lines, scalar, scalar_line

NAMES = ["a", "b", "_1", "a_b", "_entry", "pod"]

words = st.sampled_from(["_entry", "a", "b", "1", "a b", "a.b", "a_b", " a ", "", "é", "pod", "\\u0061", "_entry_"])
pieces = st.sampled_from(
    [
        "x",
        " ",
        "é",
        "1",
        "\\n",
        "\\\\",
        '\\"',
        "\\/",
        "\\u003c",
        "\\u00e9",
        "\\u20ac",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\x",
    ]
)
values = st.lists(pieces, max_size=5).map(lambda parts: f'"{"".join(parts)}"')
others = st.sampled_from(["1", "{}", "[1]", "null", '"', "", '{"a":"1"}'])
members = st.builds(
    lambda key, colon, value: f'"{key}"{colon}{value}',
    words | st.just("_entry"),
    st.sampled_from([":", ":", ": ", " :\t"]),
    values | values | values | others,
)
objects = st.builds(
    lambda parts, comma, end: "{" + comma.join(parts) + end,
    st.lists(members, max_size=5),
    st.sampled_from([",", ",", ", ", " ,\n"]),
    st.sampled_from(["}", "}", "}", " }", ",}", "} more", ""]),
).map(str.encode)
packed = st.dictionaries(
    st.sampled_from(["_entry", "a", "b", "pod"]), st.text(max_size=8) | st.just("error in file"), max_size=4
).map(lambda made: json.dumps(made).encode())
some_lines = st.lists(packed | objects | st.binary(max_size=20), max_size=6)


@settings(deadline=None, max_examples=1000)
@given(
    lines=some_lines,
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
    needed=st.integers(0, 7),
    everything=st.booleans(),
    skipped=st.integers(0, 2),
)
def test_labels_and_lines_are_those_of_the_scalar_stage(
    lines: list[bytes], names: list[str], needed: int, everything: bool, skipped: int
) -> None:
    columns = UnpackFields()
    found = by_columns(columns, lines, names, needed, everything=everything, skipped=skipped)
    column = texts([b"\xff"] * skipped + lines + [b"{"]).slice(skipped, skipped + len(lines))
    left = columns.unpacked(
        column, np.arange(len(lines)), names, np.full(len(lines), needed), everything=everything
    ).lines.tolist()
    for line, answer, line_left in zip(lines, found, left, strict=True):
        if answer is not None:
            assert answer == scalar("| unpack", line, names, needed, everything=everything)
            assert line_left == scalar_line("| unpack", line, names, needed, everything=everything)


def packed_lines(lines: list[bytes]) -> list[bytes]:
    """Lines as Promtail packs them."""
    texts_of_lines = [line.decode("utf-8", "replace") for line in lines]
    made = [{"pod": f"web-{number % 7}", "_entry": text, "a": ""} for number, text in enumerate(texts_of_lines)]
    return [json.dumps(each, ensure_ascii=False).encode() for each in made]


def test_packed_lines_are_sure() -> None:
    lines = packed_lines([*recorded_lines(), *bench_lines("json"), *bench_lines("nginx")])
    rows = np.arange(len(lines))[::-1].copy()
    columns = UnpackFields()
    found = columns.unpacked(texts(lines), rows, ["pod", "a", "none"], np.full(len(rows), 4), everything=True)
    assert set(found.fields.states.tolist()) == {READ}
    assert found.lines.tolist() == [json.loads(line)["_entry"].encode() for line in reversed(lines)]
    answers = by_columns(columns, lines, ["pod", "a"], 3, everything=True)
    assert answers == [scalar("| unpack", line, ["pod", "a"], 3, everything=True) for line in lines]


def test_what_no_packer_writes_is_unsure_or_failed() -> None:
    lines = [b"text", b"", b'{"a":1,"_entry":"x"}', b'{"_entry":"\\ud800"}', b'{"_entry":"x"', b'{"a":"1"}']
    found = UnpackFields().fields(texts(lines), np.arange(6), ["a"], np.full(6, 1), everything=False)
    assert found.states.tolist() == [FAILED, READ, UNSURE, UNSURE, UNSURE, READ]
    assert found.kinds[0].tolist()[5] == 0
