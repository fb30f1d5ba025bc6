"""Messages of every mode, as senders write them, become tag, options and entries."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from gateway.forward.messages import BadMessage, Message, Mode, ack, parse_message

TIME = msgpack.ExtType(0, b"\x65\x53\xf1\x00\x07\x5b\xcd\x15")
RECORD = {"log": "hello"}


def parsed(*message: Any) -> Message:
    return parse_message(msgpack.packb(message))


def entries(*each: Any) -> bytes:
    return b"".join(msgpack.packb(one) for one in each)


@pytest.mark.parametrize("time", [1700000000, TIME, 1700000000.5, None, -5, 1 << 40])
def test_message_mode_takes_every_form_of_time(time: Any) -> None:
    options: list[list[Any]] = [[], [{}], [None]]
    for option in options:
        assert parsed("app", time, RECORD, *option) == Message(Mode.MESSAGE, b"app", entries([time, RECORD]), {}, None)


def test_message_mode_has_its_metadata_in_the_options() -> None:
    found = parsed("app", TIME, RECORD, {"metadata": {"trace": b"\xff\x01"}, "chunk": "c"})
    assert found.entries == entries([[TIME, {"trace": b"\xff\x01"}], RECORD])
    assert found.chunk == msgpack.packb("c")


def test_message_mode_with_an_array_as_time() -> None:
    assert parsed("app", [TIME, {"k": 1}], RECORD).entries == entries([[TIME, {"k": 1}], RECORD])
    assert parsed("app", [TIME, {"k": 1}], RECORD, {}).mode is Mode.MESSAGE


def test_forward_mode() -> None:
    one, two = [TIME, RECORD], [[TIME, {}], RECORD]
    for option in ([], [{"size": 2}], [None]):
        found = parsed("app", [one, two], *option)
        assert (found.mode, found.entries) == (Mode.FORWARD, entries(one, two))
    assert parsed("app", [], {"chunk": "x"}).entries == b""
    assert parsed("app", [1, 2, 3], {}).mode is Mode.FORWARD


def test_packed_forward_in_str_and_bin_of_every_width() -> None:
    for size in (0, 10, 300, 70_000):
        payload = b"\x92\x01\x80" + b"\xc0" * size
        for form in (payload, payload.decode("latin-1").encode("latin-1")):
            assert parsed("app", form, {"size": 1}).entries == payload
        text = msgpack.Packer(use_bin_type=False).pack(["app", payload, {"chunk": b"c\n"}])
        found = parse_message(text)
        assert (found.mode, found.entries) == (Mode.PACKED, payload)
        assert found.chunk == b"\xa2c\n"


def test_wide_headers_are_taken_where_narrow_ones_would_do() -> None:
    option = b"\xdf\x00\x00\x00\x01" + b"\xdb\x00\x00\x00\x05chunk" + b"\xd9\x01z"
    wire = b"\xdd\x00\x00\x00\x03" + b"\xd9\x03app" + b"\xdd\x00\x00\x00\x01" + entries([1, RECORD]) + option
    found = parse_message(wire)
    assert (found.tag, found.entries, found.chunk) == (b"app", entries([1, RECORD]), b"\xd9\x01z")
    assert ack(b"\xd9\x01z") == b"\x81\xa3ack\xd9\x01z"


def test_options_are_text_and_what_is_none_survives() -> None:
    wire = b"\x93\xa3app\x90\x82\xa6tenant\xa4ac\xffe\xa1n\x05"
    assert parse_message(wire).option == {"tenant": "ac\udcffe", "n": 5}
    assert parsed("app", [], {1: 2, "x": "y"}).option == {"x": "y"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (["app"], "too_short"),
        ([], "too_short"),
        (["app", 1], "too_short"),
        ([5, 1, RECORD], "tag_type"),
        ([["a"], 1, RECORD], "tag_type"),
        (["app", True, RECORD], "unknown_mode"),
        (["app", {}, RECORD], "unknown_mode"),
    ],
)
def test_what_is_no_message_is_told_with_its_chunk(message: list[Any], reason: str) -> None:
    with pytest.raises(BadMessage) as bad:
        parsed(*message)
    assert bad.value.reason == reason


def test_a_message_that_cannot_be_read_still_names_its_chunk() -> None:
    with pytest.raises(BadMessage) as bad:
        parsed(5, 1, RECORD, {"chunk": "c"})
    assert bad.value.chunk == msgpack.packb("c")
    with pytest.raises(BadMessage) as bad:
        parse_message(b"\x93\xa1t\x90\x82\xa5chunk\xa1c\xa1k\xc7\x0c\xff\xff\xff\xff\xff" + bytes(8))
    assert (bad.value.reason, bad.value.chunk) == ("bad_option", b"\xa1c")


def test_signals() -> None:
    assert parsed("app", b"", {"fluent_signal": 1}).signal == 1
    assert parsed("app", b"", {}).signal == 0
    assert parsed("app", b"", {"fluent_signal": "x"}).signal == 0
