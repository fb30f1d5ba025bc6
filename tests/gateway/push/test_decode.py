"""Whole bodies, as recorded from Loki: what is taken, what is refused and with which text."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.push.decode import decode_push
from gateway.push.errors import NoStreams, PushError, PushTooLarge
from storage.batch import Batch
from tests.gateway.push.decoding import JSON, LIMITS, PROTOBUF, STATUS, body_of, cases, rows

CASES = cases("decode.jsonl")


def _decode(case: dict[str, Any]) -> Batch:
    legacy = "/loki/api/v1" not in case["path"]
    return decode_push(body_of(case), case["content_type"], case["content_encoding"], legacy, LIMITS)


@pytest.mark.parametrize("case", [case for case in CASES if case["status"] == 204], ids=lambda case: case["id"])
def test_what_loki_takes_is_taken(case: dict[str, Any]) -> None:
    batch = _decode(case)
    if "lines" in case:
        assert {(str(ts), line.decode()) for _, ts, line, _ in rows(batch)} == {tuple(line) for line in case["lines"]}


@pytest.mark.parametrize("case", [case for case in CASES if case["status"] != 204], ids=lambda case: case["id"])
def test_what_loki_refuses_is_refused_in_its_words(case: dict[str, Any]) -> None:
    with pytest.raises(PushError) as refused:
        _decode(case)
    assert STATUS[type(refused.value)] == case["status"]
    told = str(refused.value).encode("utf-8", "surrogateescape")
    assert told.decode("utf-8", "replace") == case["text"]  # as the recorder read it


def test_streams_without_entries_stay_in_the_table() -> None:
    body = b'{"streams":[{"stream":{"a":"1"}},{"stream":{"b":"2"},"values":[["5","x"]]}]}'
    batch = decode_push(body, JSON, "", False, LIMITS)
    assert batch.streams == [(("a", "1"),), (("b", "2"),)]
    assert rows(batch) == [((("b", "2"),), 5, b"x", {})]


def test_a_body_over_the_cap_is_not_looked_at() -> None:
    limits = LIMITS.model_copy(update={"max_recv_msg_size": 10})
    for content_type in (JSON, PROTOBUF):
        with pytest.raises(PushTooLarge) as refused:
            decode_push(b"not JSON at all", content_type, "", False, limits)
        assert str(refused.value) == "request body too large: message size too large than max (15 vs 10)"


def test_an_empty_protobuf_message_has_no_streams() -> None:
    with pytest.raises(NoStreams):
        decode_push(b"\0", PROTOBUF, "", False, LIMITS)
