"""`| json` by columns finds what the scalar stage sets."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logql.columns.fields import FAILED, READ, UNSURE, Fields
from logql.columns.json_fields import JsonFields
from logql.stages.hints import ALL, Hints
from logql.stages.json_stage import JsonParser
from logql.stages.row import Row
from storage.batch import Texts
from tests.logql.columns.json_texts import anything, bench_lines, buffer, dataset_lines, good, values_of

PARSER = JsonFields()
NEVER = 1 << 40
"""Of `needed`: more labels than there are."""


def found(lines: Texts, rows: Sequence[int], names: Sequence[str], needed: int, *, everything: bool) -> Fields:
    counts = np.full(len(rows), min(needed, len(names) + 1), np.int64)
    return PARSER.fields(lines, np.array(rows, np.int64), names, counts, everything=everything)


def scalar(line: bytes, names: Sequence[str], *, everything: bool, taken: Sequence[str] = ()) -> Row:
    row = Row(0, line, tuple((name, "s") for name in sorted(taken)), ())
    assert JsonParser(ALL if everything else Hints(required=frozenset(names))).apply(row)
    return row


def assert_same(line: bytes, names: Sequence[str], fields: Fields, number: int, *, everything: bool) -> None:
    """One row is what the scalar stage says of the line, unless it is left to it for one of the known reasons."""
    state = fields.states[number]
    if state == UNSURE:
        assert b"\\" in line or line.count(b"{") > 64
        return
    row = scalar(line, names, everything=everything)
    assert values_of(PARSER, fields, number) == [row.parsed.get(name) for name in names]
    assert state == (FAILED if row.error else READ)
    assert row.error in ("", PARSER.error)


def check(
    lines: Sequence[bytes],
    names: Sequence[str],
    rows: Sequence[int] | None = None,
    around: tuple[bytes, bytes] = (b"", b""),
) -> None:
    """All rows, with the two kinds of hints."""
    column = buffer(lines, *around)
    rows = range(len(lines)) if rows is None else rows
    for everything in (False, True):
        fields = found(column, rows, names, NEVER if everything else len(names), everything=everything)
        for number, row in enumerate(rows):
            assert_same(lines[row], names, fields, number, everything=everything)


NAMES = [
    "a",
    "b",
    "a_b",
    "_1",
    "_1_a",
    "b_c",
    "level",
    "a_b_c",
    "_",
    "_a",
    "a__b",
    "a_long_name_of_more_than_32_bytes_",
]
wanted = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)


@given(
    lines=st.lists(anything, min_size=1, max_size=6),
    names=wanted,
    around=st.tuples(st.binary(max_size=3), st.sampled_from([b"", b'"', b'"}' * 20])),
    data=st.data(),
)
def test_rows_have_what_the_scalar_stage_finds(
    lines: list[bytes], names: list[str], around: tuple[bytes, bytes], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=8))
    check(lines, names, rows, around)


@given(line=anything, names=st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True).filter(all))
def test_names_that_no_key_makes_are_not_found(line: bytes, names: list[str]) -> None:
    check([line], names)


@given(line=good, names=wanted)
def test_good_lines_are_read_without_the_scalar_stage(line: bytes, names: list[str]) -> None:
    for everything in (False, True):
        fields = found(buffer([line]), [0], names, NEVER, everything=everything)
        assert fields.states.tolist() == [READ]


@given(line=anything, names=wanted)
def test_a_taken_name_is_not_waited_for(line: bytes, names: list[str]) -> None:
    """`needed` is k + 1 for a row that came with a label of one of the names, and that name is the caller's."""
    fields = found(buffer([line]), [0], names, len(names) + 1, everything=False)
    row = scalar(line, names, everything=False, taken=names[:1])
    if fields.states[0] != UNSURE:
        assert values_of(PARSER, fields, 0)[1:] == [row.parsed.get(name) for name in names[1:]]
        assert fields.states[0] == (FAILED if row.error else READ)


def stopping(names: Sequence[str], needed: int) -> Hints:
    """Hints of a stage that stops at the `needed`-th wanted label."""

    class Stopping(Hints):
        def done(self, row: Row) -> bool:
            return sum(map(row.was_set, self.required)) >= needed

    return Stopping(required=frozenset(names))


@given(line=anything, names=wanted, needed=st.integers(0, 3))
def test_a_line_is_left_when_enough_labels_are_set(line: bytes, names: list[str], needed: int) -> None:
    fields = found(buffer([line]), [0], names, needed, everything=False)
    if needed <= len(names) and fields.states[0] != UNSURE:
        row = Row(0, line, (), ())
        JsonParser(stopping(names, needed)).apply(row)
        assert values_of(PARSER, fields, 0) == [row.parsed.get(name) for name in names]
        assert fields.states[0] == (FAILED if row.error else READ)


LINES: list[tuple[bytes, int, list[str | None]]] = [
    (b"", FAILED, [None, None]),
    (b"plain text", FAILED, [None, None]),
    (b"[1]", FAILED, [None, None]),
    (b"{}x", READ, [None, None]),
    (b'{"a":1,"b":"x\\ny"} rest', READ, ["1", None]),
    (b'{"a":{"b":1.50,"b":2}}', READ, [None, "1.50"]),
    (b'{"a.b":"\xff","a":tru}', FAILED, [None, " "]),
    (b'{"a":"","b":{"a":1', FAILED, ["", None]),
    (b'{"a":1,"a":2,"a_b":true,broken', READ, ["1", "true"]),
    (b'{"z":{"y":},"a":1}', READ, ["1", None]),
    (b'{"a":"\\x"}', READ, ["", None]),
    (b'{"\\u0061":1}', UNSURE, [None, None]),
    (b'{"a":' * 64 + b"{}" + b"}" * 64, READ, [None, None]),
    (b'{"a":' * 66 + b"1" + b"}" * 66, READ, [None, None]),
]


@pytest.mark.parametrize(("line", "state", "texts"), LINES)
def test_a_line_is_read_as_far_as_it_is_wanted(line: bytes, state: int, texts: list[str | None]) -> None:
    fields = found(buffer([line]), [0], ["a", "a_b"], 2, everything=False)
    assert (fields.states[0], values_of(PARSER, fields, 0)) == (state, texts)


def test_very_deep_objects_are_left_to_the_scalar_stage() -> None:
    lines = [b'{"a":' * depth + b"1" + b"}" * depth for depth in (65, 66, 20_000)]
    fields = found(buffer(lines), range(3), ["a"], NEVER, everything=True)
    assert fields.states.tolist() == [READ, UNSURE, UNSURE]


def test_everything_reads_what_is_not_wanted_too() -> None:
    line = b'{"z":{"y":},"a":1}'
    assert found(buffer([line]), [0], ["a"], NEVER, everything=True).states.tolist() == [FAILED]
    check([line], ["a"])


@pytest.mark.parametrize("of", [dataset_lines, bench_lines])
def test_lines_of_services(of: Callable[[], list[bytes]]) -> None:
    lines = of()
    names = sorted({name for line in lines for name in scalar(line, (), everything=True).parsed})
    assert len(names) > 10
    chosen = random.Random(7)
    for count in (1, 2, 5, len(names)):
        check(
            lines, chosen.sample(names, count), sorted(chosen.sample(range(len(lines)), len(lines) // 2)), (b'{"', b"")
        )
    unsure = found(buffer(lines), range(len(lines)), names, NEVER, everything=True).states == UNSURE
    assert 1000 * np.count_nonzero(unsure) < len(lines)


@given(text=st.text(), number=st.integers())
@example(text="\ud800", number=0)
def test_values_are_those_of_pythons_writer(text: str, number: int) -> None:
    line = json.dumps({"a": text, "b": number}).encode()
    row = scalar(line, ["a", "b"], everything=False)
    fields = found(buffer([line]), [0], ["a", "b"], 2, everything=False)
    assert values_of(PARSER, fields, 0) == [row.get("a"), str(number)]
