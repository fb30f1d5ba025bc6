"""Whatever comes, a decoder gives a batch or a PushError."""

from __future__ import annotations

import gzip
import json

import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from config.limits import Limits
from gateway.push.decode import decode_push
from gateway.push.errors import PushError
from gateway.push.push_messages import PushRequest
from tests.gateway.push.decoding import JSON, PROTOBUF, body_of, cases, rows

LIMITS = Limits(max_recv_msg_size=1 << 20, max_decompressed_size=1 << 20)

_content_types = st.sampled_from([JSON, PROTOBUF, "text/plain", None, "application/json;;"])
_encodings = st.sampled_from(["", "gzip", "deflate", "snappy", "br"])


def _message() -> bytes:
    request = PushRequest()
    for number in range(3):
        stream = request.streams.add(labels=b'{a="%d"}' % number)
        entry = stream.entries.add(line=b"a line")
        entry.timestamp.seconds = 1_700_000_000
        entry.structured_metadata.add(name=b"k", value=b"v")
    return bytes(request.SerializeToString())


_JSON_SEEDS = [body_of(case) for case in cases("decode.jsonl") if case["content_type"] == JSON][:80]
_LONG = json.dumps(
    {
        "streams": [
            {"stream": {"a": str(n)}, "values": [[str(n), "line \u00e9 \\ \n" * 9, {"k": "v"}]]} for n in range(9)
        ]
    }
).encode()
_SEEDS = [*_JSON_SEEDS, _LONG, _message(), gzip.compress(_LONG), snappy.compress(_message())]


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 3)):
            case 0:
                body[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
            case 1:
                del body[at : at + draw(st.integers(1, 20))]
            case 2:
                body[at:at] = draw(
                    st.sampled_from(
                        [b'"', b"\\", b"\\u", b"{", b"[", b"]", b",", b"-", b"1e9", b"\xff", b"\n", b"null"]
                    )
                )
            case _:
                body[at:at] = body[: draw(st.integers(0, 600))]
    return bytes(body)


def _decode(body: bytes, content_type: str | None, encoding: str, legacy: bool) -> None:
    try:
        batch = decode_push(body, content_type, encoding, legacy, LIMITS)
    except PushError as refused:
        str(refused).encode("utf-8", "surrogateescape")  # can be sent
        return
    assert batch.streams
    assert len(batch.ts) == len(batch.stream) == len(batch.lines)
    rows(batch)


@settings(max_examples=300)
@given(st.binary(max_size=2000), _content_types, _encodings, st.booleans())
def test_any_bytes(body: bytes, content_type: str | None, encoding: str, legacy: bool) -> None:
    _decode(body, content_type, encoding, legacy)


@settings(max_examples=600)
@given(_mutated(), st.sampled_from([JSON, PROTOBUF]), st.sampled_from(["", "gzip"]), st.booleans())
def test_damaged_bodies(body: bytes, content_type: str, encoding: str, legacy: bool) -> None:
    _decode(body, content_type, encoding, legacy)


@settings(max_examples=200)
@given(_mutated())
def test_damaged_messages_inside_whole_wrappings(body: bytes) -> None:
    _decode(snappy.compress(body), PROTOBUF, "", False)
    _decode(gzip.compress(body, 1), JSON, "gzip", False)


def test_a_body_cut_anywhere_is_refused() -> None:
    for end in range(len(_LONG)):
        try:
            decode_push(_LONG[:end], JSON, "", False, LIMITS)
        except PushError:
            continue
        raise AssertionError(end)
