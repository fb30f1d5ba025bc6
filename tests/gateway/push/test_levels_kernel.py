"""The kernel gives every line the level that the scalar rule gives it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from config.limits import LEVEL_FIELDS
from gateway.push.kernels.levels import line_levels
from gateway.push.levels import LEVELS, line_level
from storage.batch import texts
from tests.gateway.push.pushes import records

RECORDED = [record["line"].encode() for record in records("levels/recorded.jsonl")]

# Pieces that make lines which are nearly JSON or logfmt, with everything the rule looks at.
PIECES = st.sampled_from(
    [
        *(name.encode() for name in LEVEL_FIELDS),
        *b'{ } [ ] " : , = \\ \\" \\\\ \\u0069 \\ud83d \\udca9 \\x - 5 true null false nul'.split(),
        *b"trace trc debug dbg info inf information warn wrn warning error err critical fatal INFO Error".split(),
        *(b" ", b"\t", b"\n", b"\v", b"\x00", b"\xc2\xa0", b"\xc3\xa9", b"\xef\xbf\xbd", b"\xff", b"\xe2\x80\x80"),
        *(b'{"level":"', b'"level":"info"', b'"a":{', b'"}', b"level=", b'msg="', b'"x":[', b"}}"),
    ],
)
NEARLY = st.lists(PIECES, max_size=24).map(b"".join)
OBJECTS = NEARLY.map(lambda inside: b'{"a":1,' + inside + b"}")
LINES = st.lists(st.one_of(st.binary(max_size=60), NEARLY, OBJECTS), min_size=1, max_size=40)
FIELDS = st.one_of(
    st.just(LEVEL_FIELDS),
    st.lists(
        st.sampled_from(["level", "Prio", "log.level", "prio\u00e9", "x", "LVL"]), min_size=1, max_size=4, unique=True
    ),
)


def kernel_levels(lines: Sequence[bytes], fields: Sequence[str] = LEVEL_FIELDS, max_depth: int = 2) -> list[bytes]:
    column = texts(lines)
    names = texts(name.encode() for name in fields)
    codes = np.full(len(lines), 99, np.int8)
    rows = np.arange(len(lines), dtype=np.int64)
    line_levels(column.data, column.offsets, rows, names.data, names.offsets, max_depth, codes)
    return [LEVELS[code] for code in codes]


def scalar_levels(lines: Sequence[bytes], fields: Sequence[str] = LEVEL_FIELDS, max_depth: int = 2) -> list[bytes]:
    return [line_level(line, fields, max_depth) for line in lines]


EDGES = [
    b"\xef\xbf\xbd=1 level=trc",
    b"\xee\xbf\xbd=1 level=trc",
    b"\xe0\x9f\xbf=1 level=trc",
    b"\xed\xa0\x80=1 level=trc",
    b"\xf0\x8f\xbf\xbf=1 level=trc",
    b"\xf4\x90\x80\x80=1 level=trc",
    b"\xf4\x8f\xbf\xbf=1 level=trc",
    b"\xc3=1 level=trc",
    b'x="\\n\x01" level=trc',
    b'x="\x01" level=trc',
    b'x="\\ud83d\\udca9\\ud83d" level=trc',
    b'x="\\ud83d\\u00" level=trc',
    b'{"\\u006c\\u0065vel":"trc"}',
    b'{"\\ud83d\\udca9":1,"level":"trc"}',
    b'{"\\ud83d":1,"level":"trc"}',
    b'{"a\x01\\n":1,"level":"trc"}',
    b'\xe3\x80\x80\xe2\x80\xaf{"level":"trc"}\x85\xa0',
    b'{"level":"\x00trc"}',
    b'x="\x00" level="\x00trace"',
    b"{",
    b"}",
    b"=",
    b"",
]


def test_equal_where_bytes_are_at_the_edge_of_a_rule() -> None:
    assert kernel_levels(EDGES) == scalar_levels(EDGES)
    assert set(kernel_levels(EDGES)) == {b"trace", b"unknown"}


def test_equal_on_recorded_lines() -> None:
    for depth in (0, 1, 2, 3):
        assert kernel_levels(RECORDED, max_depth=depth) == scalar_levels(RECORDED, max_depth=depth)


def test_words_that_differ_in_a_bit_are_no_levels() -> None:
    words = b"trace debug info information warn warning error critical fatal".split()
    near = [
        word[:at] + bytes([word[at] ^ 1 << bit]) + word[at + 1 :]
        for word in words
        for at in range(len(word))
        for bit in range(4)
    ]
    lines = [line for word in near for line in (word, b'{"level":"' + word + b'"}', b"level=" + word)]
    assert kernel_levels(lines) == scalar_levels(lines)
    assert set(kernel_levels(near)) == {b"unknown"}


@settings(max_examples=300, deadline=None)
@given(LINES, FIELDS, st.integers(-1, 4))
def test_equal_on_arbitrary_lines(lines: list[bytes], fields: Sequence[str], depth: int) -> None:
    assert kernel_levels(lines, fields, depth) == scalar_levels(lines, fields, depth)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(RECORDED), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_equal_on_recorded_lines_with_bytes_changed(lines: list[bytes], random: object) -> None:
    changed = [_changed(line, random) for line in lines]
    assert kernel_levels(changed) == scalar_levels(changed)


def _changed(line: bytes, random: object) -> bytes:
    choose = getattr(random, "randrange")  # noqa: B009 - hypothesis' Random, typed as object by its strategy
    out = bytearray(line)
    for _ in range(choose(4)):
        at = choose(len(out) + 1)
        match choose(3):
            case 0:
                del out[at : at + 1 + choose(8)]
            case 1:
                out[at:at] = bytes([choose(256)])
            case _:
                out[at:at] = (b'"', b"{", b"}", b"=", b"\\", b"level", b" err ")[choose(7)]
    return bytes(out)


def test_objects_are_entered_64_deep_at_most() -> None:
    lines = [b'{"a":' * depth + b'{"level":"inf"}' + b"}" * depth for depth in (0, 1, 62, 63, 64, 300)]
    assert kernel_levels(lines, max_depth=0) == scalar_levels(lines, max_depth=0)
    assert kernel_levels(lines, max_depth=0) == [b"info"] * 4 + [b"unknown"] * 2


def test_only_the_rows_asked_for_are_read() -> None:
    column = texts([b"error", b"warn", b"info"])
    names = texts([b"level"])
    codes = np.full(2, 99, np.int8)
    line_levels(column.data, column.offsets, np.array([2, 0]), names.data, names.offsets, 2, codes)
    assert [LEVELS[code] for code in codes] == [b"info", b"error"]
