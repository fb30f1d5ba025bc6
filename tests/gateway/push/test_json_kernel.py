"""The walk of a JSON push reads a body as msgspec and the exact decoder do, or leaves it to them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.push import json_walk, loki_json
from gateway.push.encodings import Payload
from gateway.push.errors import PushError
from gateway.push.json_exact import decode_exact
from gateway.push.json_walk import walked
from gateway.push.kernels.json import NOT_SURE, walk
from gateway.push.label_text import labels_from_pairs
from storage.batch import MAX_COLUMNS, Batch
from tests.examples import many
from tests.gateway.push.decoding import rows

# -- bodies of the plain kind, written in any of the ways of JSON

_CHARACTERS = st.characters(exclude_categories=["Cs"])
_TEXTS = st.one_of(
    st.text(_CHARACTERS, max_size=40),
    st.text('"\\/\b\f\n\r\t\x00\x1f\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff a', max_size=60),
    st.integers(0, 40).map(lambda size: "x" * size),
)
# Of labels the exact decoder undoes escapes twice, as Loki does, and msgspec once: texts for which that is the same.
_NAMES = st.sampled_from(["app", "pod", "a_b", "job"])
_LABELS = st.dictionaries(_NAMES, _TEXTS.filter(lambda text: "\\" not in text and "\ufffd" not in text), max_size=3)
_TIMES = st.one_of(st.integers(0, (1 << 63) - 1).map(str), st.sampled_from(["0", "000", "9223372036854775807"]))
_METADATA = st.dictionaries(_TEXTS, _TEXTS, max_size=4)
_ENTRIES = st.one_of(st.tuples(_TIMES, _TEXTS), st.tuples(_TIMES, _TEXTS, _METADATA))
_SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r\n  "])


@st.composite
def _string(draw: st.DrawFn, text: str) -> str:
    """A string in one of its spellings."""
    if draw(st.booleans()):
        return json.dumps(text, ensure_ascii=draw(st.booleans()))
    out = []
    for char in text:
        code = ord(char)
        if code < 0x10000 and draw(st.integers(0, 4)) == 0:
            out.append(f"\\u{code:04x}" if draw(st.booleans()) else f"\\u{code:04X}")
        elif char == "/" and draw(st.booleans()):
            out.append("\\/")
        else:
            out.append(json.dumps(char, ensure_ascii=False)[1:-1])
    return f'"{"".join(out)}"'


@st.composite
def _pushes(draw: st.DrawFn) -> bytes:
    def spaced(token: str) -> str:
        return f"{draw(_SPACE)}{token}{draw(_SPACE)}"

    def joined(opening: str, items: list[str], closing: str) -> str:
        return spaced(opening) + spaced(",").join(items) + spaced(closing)

    def pairs(found: dict[str, str]) -> str:
        return joined("{", [f"{draw(_string(k))}{spaced(':')}{draw(_string(v))}" for k, v in found.items()], "}")

    streams = []
    for _ in range(draw(st.integers(1, 4))):
        entries = []
        for when, line, *metadata in draw(st.lists(_ENTRIES, max_size=5)):
            items = [f'"{when}"', draw(_string(line)), *(pairs(found) for found in metadata)]
            entries.append(joined("[", items, "]"))
        parts = [
            f'"stream"{spaced(":")}{pairs(draw(_LABELS))}',
            f'"values"{spaced(":")}{joined("[", entries, "]")}',
        ]
        streams.append(joined("{", parts if draw(st.booleans()) else parts[::-1], "}"))
    return joined("{", [f'"streams"{spaced(":")}{joined("[", streams, "]")}'], "}").encode()


def _said(batch: Batch) -> Any:
    return list(batch.streams), batch.stream.tolist(), rows(batch)


def _outcome(read: Any, body: bytes) -> Any:
    try:
        return _said(read(body))
    except PushError as refused:
        return type(refused), str(refused)


def _by_walk(body: bytes) -> Batch:
    batch = walked(body, labels_from_pairs)
    assert batch is not None
    return batch


def _by_msgspec(body: bytes) -> Batch:
    return loki_json._decode_fast(body, labels_from_pairs)


def _by_exact(body: bytes) -> Batch:
    return decode_exact(Payload(body), legacy=False)


@settings(max_examples=400)
@given(_pushes())
def test_plain_bodies_are_read_by_the_kernel(body: bytes) -> None:
    assert _outcome(_by_walk, body) == _outcome(_by_msgspec, body) == _outcome(_by_exact, body)


# -- bodies that may be anything

_PARTS = st.sampled_from(
    [
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\ud83d\\ude00",
        b"\\x",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"1",
        b"-",
        b"null",
        b'"x"',
        b'"x":"y"',
        b"\xff",
        b"\xc3\xa9",
        b"\x00",
        b"\n",
        b"/**/",
        b"\xef\xbb\xbf",
    ]
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(_pushes()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 4)):
            case 0:
                body[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
            case 1:
                del body[at : at + draw(st.integers(1, 12))]
            case 2:
                body[at:at] = draw(_PARTS)
            case 3:
                del body[at:]
            case _:
                body[at:at] = body[: draw(st.integers(0, 200))]
    return bytes(body)


def _equal_where_sure(body: bytes) -> None:
    try:
        batch = walked(body, labels_from_pairs)
    except PushError as refused:
        found: Any = type(refused), str(refused)
    else:
        if batch is None:
            return
        found = _said(batch)
    assert found == _outcome(_by_msgspec, body)


@settings(max_examples=many(800))
@given(_damaged())
@example(b'{"streams":[{"stream":{},"values":[["1","\\ud800"]]}]}')
@example(b'{"streams":[{"stream":{},"values":[["1","\xff"]]}]}')
@example(b'{"streams":[{"stream":{"a":"1","a":"2"},"values":[["1","",{"k":"1","k":"2"}]]}]}')
def test_equal_on_damaged_bodies(body: bytes) -> None:
    _equal_where_sure(body)


@settings(max_examples=500)
@given(st.lists(st.one_of(_PARTS, st.sampled_from([b"streams", b"values", b"stream"])), max_size=40).map(b"".join))
def test_equal_on_any_tokens(body: bytes) -> None:
    _equal_where_sure(body)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_equal_on_any_bytes(body: bytes) -> None:
    _equal_where_sure(body)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"streams":null}',
        '{"streams":[]}',
        '{"streams":[],"streams":[]}',
        '{"Streams":[{"stream":{},"values":[]}]}',
        '{"streams":[{"stream":{}}]}',
        '{"streams":[{"values":[]}]}',
        '{"streams":[{"stream":null,"values":[]}]}',
        '{"streams":[{"stream":{},"values":null}]}',
        '{"streams":[{"stream":{},"stream":{}}]}',
        '{"streams":[{"stream":{},"values":[],"values":[]}]}',
        '{"streams":[{"stream":{},"values":[["1"]]}]}',
        '{"streams":[{"stream":{},"values":[[1,"line"]]}]}',
        '{"streams":[{"stream":{},"values":[["-1","line"]]}]}',
        '{"streams":[{"stream":{},"values":[["","line"]]}]}',
        '{"streams":[{"stream":{},"values":[["9223372036854775808","line"]]}]}',
        '{"streams":[{"stream":{},"values":[["00000000000000000001","line"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","line",null]]}]}',
        '{"streams":[{"stream":{},"values":[["1","line",{"k":1}]]}]}',
        '{"streams":[{"stream":{},"values":[["1","line",{},"more"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","li\nne"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","\\udc00\\ud800"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","\\ud800\\u0041"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","\\u12g4"]]}]}',
        '{"streams":[{"stream":{},"values":[["1","line"],]}]}',
        '{"streams":[{"stream":{},"values":[["1","line"]]}]} {}',
        '{"streams":[{"stream":{},"values":[["1","line"]]}]',
    ],
)
def test_what_is_left_to_msgspec(body: str) -> None:
    assert walked(body.encode(), labels_from_pairs) is None


def _big(entries: list[list[Any]], streams: int = 1) -> bytes:
    made = [{"stream": {"app": f"a{number}"}, "values": entries} for number in range(streams)]
    return json.dumps({"streams": made}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "body",
    [
        _big([[str(number), ""] for number in range(3000)]),
        _big([[str(number), "x" * 300] for number in range(300)]),
        _big([["1", "x"]], streams=json_walk._STREAMS + 1),
        _big([["1", "", {f"k{number}": "" for number in range(2000)}]]),
        _big([[str(row), "x", {f"k{row}": "v", "all": "w"}] for row in range(3 * MAX_COLUMNS)]),
        _big([["1", 'caf\u00e9 \U0001f600 \\ " \n' * 400]]),
    ],
    ids=["short lines", "long lines", "streams", "pairs", "keys", "escapes"],
)
def test_bodies_larger_than_the_first_room(body: bytes) -> None:
    assert _said(_by_walk(body)) == _said(_by_msgspec(body)) == _said(_by_exact(body))


def test_large_bodies_are_walked_and_small_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(body: bytes, _: Any) -> None:
        asked.append(len(body))

    monkeypatch.setattr(loki_json, "walked", noted)
    small, large = _big([["1", "x"]]), _big([["1", "x" * loki_json.WALKED_BYTES]])
    for body in (small, large):
        assert _said(loki_json.decode_json(Payload(body), legacy=False)) == _said(_by_exact(body))
    assert asked == [len(large)]


def test_a_body_cut_anywhere_is_not_sure() -> None:
    body = _big([["1", "a line \\ \u00e9", {"k": "v"}], ["2", "x"]], streams=2)
    nothing = np.empty((0, 3), np.int64), np.empty(0, np.int64), np.empty(1, np.int64)
    for end in range(len(body)):
        raw = np.frombuffer(body[:end], np.uint8)
        assert walk(raw, *nothing, np.empty(end + 8, np.uint8), np.empty((7, 0), np.int64))[0] == NOT_SURE
