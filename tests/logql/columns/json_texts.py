"""Lines for tests of parsers of JSON: good, odd and broken ones, and those of services."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bench.lines import all_lines
from logql.columns.fields import NOT_SET, FieldParser, Fields
from storage.batch import Texts
from tests.logql.dataset import DATASET, json_lines


def buffer(lines: Sequence[bytes], before: bytes = b"", behind: bytes = b"") -> Texts:
    """Lines that stand inside a buffer."""
    offsets = np.cumsum([len(before), *map(len, lines)], dtype=np.int64)
    return Texts(np.frombuffer(before + b"".join(lines) + behind, np.uint8), offsets)


def values_of(parser: FieldParser, fields: Fields, row: int) -> list[str | None]:
    """The values of a row, None where a label is not set."""
    at: list[tuple[int, int, int]] = list(
        zip(fields.starts[:, row].tolist(), fields.stops[:, row].tolist(), fields.kinds[:, row].tolist(), strict=True)
    )
    return [
        None if kind == NOT_SET else parser.text(fields.data[start:stop].tobytes(), kind) for start, stop, kind in at
    ]


KEYS = [
    *(
        "a",
        "b",
        "c",
        "1",
        "1a",
        "a.b",
        "a_b",
        "a b",
        "a-b",
        " a ",
        "a\t",
        "",
        " ",
        "level",
        "b.c",
        ".",
        ".a",
        "é",
        "aé",
    ),
    *(
        "\xa0a\x85",
        "\u2003",
        "\u3000b",
        "\u1680",
        "\u2028a\u2029",
        "\u202f\u205f",
        "\u200b",
        "😀",
        "a\U0010ffff",
        "\x1ca",
    ),
    *("a_long_name_of_more_than_32_bytes.", "a" * 40),
]
raw_keys = st.sampled_from([key.encode() for key in KEYS]) | st.sampled_from(
    [
        b"\xff",
        b"a\xc0\x80b",
        b"\xe2\x80",
        b"a\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xe0\x9f\xbf",
        b"\\u0061",
        b"\\n",
        b"a\\x",
        b'a\\"b',
        b"\xc2\x85a",
        b"a\xe2\x80\x80",
        b"\xe1\x9a\x81",
    ]
)
strings = st.sampled_from(
    [
        b"",
        b"x",
        b"info",
        b"\\n",
        b"\\u00e9",
        b"\\ud83d\\ude00",
        b"\\ud800",
        b"\\x",
        b'\\"',
        b"\\\\",
        b"\xff",
        b"{",
        b"}][",
        "�".encode(),
        "é".encode(),
        b"x" * 31,
        b"x" * 32,
        b"x" * 33,
        b"x" * 70 + b"\\\\",
        b"x" * 31 + b'\\"y',
    ]
)
words = st.sampled_from(
    [
        b"1",
        b"-0.10e+5",
        b"0",
        b"true",
        b"false",
        b"null",
        b"1e999",
        b"-",
        b"1x",
        b'1"2',
        b"7{",
        b"truex",
        b"nul",
        b"\x00",
        b"",
        b"123456789012345678901234567890123456789",
        b"True",
        b"t",
        b"[1",
        b"9\xff",
    ]
)
good_words = st.sampled_from([b"1", b"-0.10e+5", b"0", b"true", b"false", b"null", b"12345678901234567890"])
spaces = st.sampled_from([b"", b"", b"", b" ", b"\n\t\r ", b"\x0b"])
good_spaces = st.sampled_from([b"", b"", b"", b" ", b"\n\t\r "])


def documents(keys: st.SearchStrategy[bytes], word: st.SearchStrategy[bytes], space: st.SearchStrategy[bytes]) -> Any:
    """Texts of JSON objects."""
    quoted = strings.map(lambda text: b'"%b"' % text)

    def objects(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        member = st.tuples(space, keys, space, space, inner, space).map(lambda parts: b'%b"%b"%b:%b%b%b' % parts)
        return st.lists(member, max_size=5).map(lambda members: b"{%b}" % b",".join(members))

    def arrays(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        return st.lists(inner, max_size=3).map(lambda elements: b"[%b]" % b",".join(elements))

    deep = st.recursive(quoted | word, lambda inner: objects(inner) | arrays(inner), max_leaves=8)
    return st.tuples(space, objects(deep), space).map(b"".join)


@st.composite
def broken(draw: st.DrawFn, document: st.SearchStrategy[bytes]) -> bytes:
    """A document with one place changed."""
    line = draw(document)
    at = draw(st.integers(0, len(line)))
    how = draw(st.sampled_from(["cut", "cut the front", "flip", "insert", "drop"]))
    byte = draw(st.sampled_from([bytes([byte]) for byte in b'"\\{}[]:, \n\x00\xffa1-']))
    return {
        "cut": line[:at],
        "cut the front": line[at:],
        "flip": line[:at] + byte + line[at + 1 :],
        "insert": line[:at] + byte + line[at:],
        "drop": line[:at] + line[at + 1 :],
    }[how]


good = documents(st.sampled_from([key.encode() for key in KEYS]), good_words, good_spaces)
odd = documents(raw_keys, words, spaces)
pieces = st.lists(
    st.sampled_from(
        [b'{"', b'"}', b'":', b'"a":', b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"1", b"\xff", b" ", b"null"]
    ),
    max_size=14,
).map(b"".join)
anything = (
    good
    | odd
    | broken(good)
    | broken(odd)
    | pieces
    | st.binary(max_size=80)
    | st.binary(max_size=40).map(b'{"'.__add__)
)


@cache
def dataset_lines() -> list[bytes]:
    """The lines that were pushed to a real Loki."""
    pushes = [push["body"] for push in json_lines(DATASET)]
    lines = [entry[1] for push in pushes for stream in push.get("streams", []) for entry in stream["values"]]
    assert len(lines) > 1000
    return list(dict.fromkeys(line.encode() for line in lines))


def bench_lines() -> list[bytes]:
    return [line for lines in all_lines(300).values() for line in lines]
