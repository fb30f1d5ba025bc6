"""`| json a="b.c"` by columns finds what the scalar stage sets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.columns.fields import FAILED, READ, UNSURE
from logql.columns.json_path_fields import JsonPathFields
from logql.stages.hints import ALL
from logql.stages.json_expressions import JsonExpressions
from logql.stages.jsonkeys import Path
from logql.stages.row import Row
from tests.logql.columns.json_texts import anything, bench_lines, buffer, dataset_lines, values_of

Expressions = Sequence[tuple[str, Path]]


def check(
    lines: Sequence[bytes], expressions: Expressions, asked: Sequence[str], rows: Sequence[int], before: bytes = b""
) -> int:
    """That each row has what the scalar stage sets; how many are left to it."""
    labels, paths = tuple(label for label, _ in expressions), tuple(path for _, path in expressions)
    parser, stage = JsonPathFields(labels, paths), JsonExpressions(labels, paths, ALL)
    needed = np.full(len(rows), len(asked) + 1, np.int64)
    fields = parser.fields(buffer(lines, before), np.array(rows, np.int64), asked, needed, everything=True)
    for number, place in enumerate(rows):
        if fields.states[number] == UNSURE:
            assert b"\\" in lines[place] or (
                b"[" in lines[place] and any(b"[" in part for path in paths for part in path)
            )
            continue
        row = Row(0, lines[place], (), ())
        assert stage.apply(row)
        assert values_of(parser, fields, number) == [row.parsed.get(name) for name in asked]
        assert fields.states[number] == (FAILED if row.error else READ)
        assert row.error in ("", parser.error)
    return int(np.count_nonzero(fields.states == UNSURE))


parts = st.sampled_from([b"a", b"b", b"c", b"1", b"", b"a.b", b"level", "\u00e9".encode(), b"[0]", b"[1]", b"a" * 40])
names = st.sampled_from("xyz")
expressions = st.lists(st.tuples(names, st.lists(parts, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=4)


@given(
    lines=st.lists(anything, min_size=1, max_size=5),
    expressions=expressions,
    asked=st.lists(names, min_size=1, max_size=3, unique=True),
    before=st.binary(max_size=3),
    data=st.data(),
)
def test_rows_have_what_the_scalar_stage_finds(
    lines: list[bytes], expressions: Expressions, asked: list[str], before: bytes, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=6))
    check(lines, expressions, asked, rows, before)


LINES = [
    b"",
    b"x",
    b' {"a":1}',
    b'{"a":1',
    b'{"a":}',
    b'{"a":null,"b":{"c":"\\n"}}',
    b'{"b":{"c":[1,"\\u0041"]}}',
    b'{"b":{"a":1},"c":2}',
    b'{"b":{"x":{"c":1}},"b":{"c":2}}',
    b'{"x":[{"a":1}],"a":2}',
    b'{"x":[{"a":1},"a":2}',
    b'"a":1',
    b'}}{{{"a":1}',
    b']{{"a":1}',
    b'[{"a":1}]',
    b'{"a" :\t{"a":{"b":1}},"b" :{"c":tru}}',
    b'{"b":"a","a":"b":1}',
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_walked_as_the_scalar_stage_walks_it(line: bytes) -> None:
    assert check([line], [("x", (b"a",)), ("y", (b"b", b"c"))], ["x", "y", "z"], [0]) == 0


def test_elements_and_keys_with_escapes_are_left_to_the_scalar_stage() -> None:
    lines = [b'{"a":[1,2]}', b'{"\\u0061":1}', b'{"b":[1],"a":1}']
    assert check(lines, [("x", (b"a", b"[1]"))], ["x"], range(3)) == 2


def test_a_line_whose_labels_are_all_set_is_not_read() -> None:
    parser = JsonPathFields(("x",), ((b"a",),))
    fields = parser.fields(buffer([b"broken"]), np.array([0]), ["x"], np.array([0]), everything=False)
    assert fields.states.tolist() == [READ]
    assert values_of(parser, fields, 0) == [None]


PATHS: list[Path] = [
    (b"level",),
    (b"request", b"method"),
    (b"client", b"ip"),
    (b"user", b"name"),
    (b"msg",),
    (b"nosuch", b"x"),
]


@pytest.mark.parametrize("of", [dataset_lines, bench_lines])
def test_lines_of_services(of: Callable[[], list[bytes]]) -> None:
    lines = of()
    rows = sorted(random.Random(7).sample(range(len(lines)), len(lines) // 2))
    chosen = [(f"x{number}", path) for number, path in enumerate(PATHS)]
    for some in ([chosen[0]], chosen[1:3], chosen):
        assert 1000 * check(lines, some, [label for label, _ in some], rows, b'{"') < len(lines)
