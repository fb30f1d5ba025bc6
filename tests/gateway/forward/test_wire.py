"""The reader of the wire: any split of the bytes gives the same messages, and limits hold before anything is kept."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forward.wire import LARGE_BYTES, PATIENCE, BadWire, Inbox, object_ends
from tests.examples import many

MB = 1 << 20

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=40))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=18)
)
messages = st.lists(st.none() | st.lists(values, max_size=5), max_size=12)


def take_all(inbox: Inbox) -> list[bytes]:
    found = []
    while some := inbox.take():
        found += some.tolist()
    return found


@given(messages, st.data())
@settings(max_examples=200, deadline=None)
def test_any_split_of_the_bytes_gives_the_same_messages(sent: list[object], data: st.DataObject) -> None:
    packed = [msgpack.packb(each) for each in sent]
    wire = b"".join(packed)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    inbox = Inbox(MB, 64)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        inbox.feed(wire[start:end])
        found += take_all(inbox)
    assert found == packed
    assert len(inbox) == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_give_the_same_end_however_they_are_cut(wire: bytes, places: list[int]) -> None:
    def read(cuts: list[int]) -> tuple[list[bytes], str]:
        inbox, found = Inbox(1000, 8), list[bytes]()
        try:
            for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
                inbox.feed(wire[start:end])
                found += take_all(inbox)
        except BadWire as bad:
            return found, bad.reason
        return found, "more to come"

    assert read([]) == read(sorted(min(place, len(wire)) for place in places))
    for message in read([])[0]:
        assert message == b"\xc0" or 0x90 <= message[0] <= 0x9F or message[0] in {0xDC, 0xDD}


@given(st.lists(values, max_size=6))
@settings(max_examples=many(200), deadline=None)
def test_objects_end_where_the_library_says(objects: list[object]) -> None:
    packed = [msgpack.packb(each) for each in objects]
    ends = object_ends(b"\x00" + b"".join(packed), 1, len(packed) + 1)
    assert ends.tolist() == [1 + len(b"".join(packed[: n + 1])) for n in range(len(packed))]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "not_a_message"),
        (b"\x81\xa1a\x01", "not_a_message"),
        (b"\x16\x03\x01", "not_a_message"),
        (b'["json", 1, {}]', "not_a_message"),
        (b"\x92\xa1t\xc1", "not_msgpack"),
        (b"\x93" + b"\x91" * 100, "too_deep"),
        (b"\xdd\xff\xff\xff\xff", "too_long"),
        (b"\x92\xdb\xff\xff\xff\xff", "too_long"),
        (b"\x92\xa1t\xdf\xff\xff\xff\xff", "too_long"),
        (b"\x92\xa1t\xc9\xff\xff\xff\xff", "too_long"),
        (b"\x92\xa1t\xdc\xff\xff", "too_long"),
    ],
)
def test_what_a_header_declares_is_refused_at_the_header(wire: bytes, reason: str) -> None:
    inbox = Inbox(60_000, 64)
    inbox.feed(wire)
    with pytest.raises(BadWire) as bad:
        inbox.take()
    assert bad.value.reason == reason


def test_messages_before_a_bad_one_are_given_first() -> None:
    inbox = Inbox(MB, 64)
    good = msgpack.packb(["t", 1, {}])
    inbox.feed(good + good + b"\xc1")
    assert inbox.take().tolist() == [good, good]
    with pytest.raises(BadWire):
        inbox.take()


def test_a_message_as_long_as_allowed_passes_and_one_byte_more_does_not() -> None:
    message = msgpack.packb(["t", b"x" * 100])
    inbox = Inbox(len(message), 64)
    inbox.feed(message)
    assert inbox.take().tolist() == [message]
    inbox = Inbox(len(message) - 1, 64)
    inbox.feed(message)
    with pytest.raises(BadWire):
        inbox.take()


@given(messages, st.data())
@settings(max_examples=many(100), deadline=None)
def test_with_less_than_enough_there_is_nothing_to_take(sent: list[object], data: st.DataObject) -> None:
    wire = b"".join(msgpack.packb(each) for each in sent)
    inbox = Inbox(MB, 64)
    for byte in range(len(wire)):
        enough = inbox.enough
        inbox.feed(wire[byte : byte + 1])
        if len(inbox) < enough:
            assert not inbox.take()
        elif data.draw(st.booleans()):
            take_all(inbox)


def test_a_long_message_is_looked_at_when_it_is_whole_or_has_become_much_longer() -> None:
    inbox = Inbox(MB, 64)
    message = msgpack.packb(["t", bytes(700_000)])
    inbox.feed(message[:10])
    assert not inbox.take()
    assert inbox.enough == 10 + PATIENCE
    inbox.feed(message[10 : 10 + 2 * PATIENCE])
    assert not inbox.take()
    assert inbox.enough == len(message)


@given(st.lists(st.integers(LARGE_BYTES - 40, LARGE_BYTES + 40) | st.integers(0, 50), max_size=5), st.data())
@settings(max_examples=60, deadline=None)
def test_large_messages_are_handed_on_whole_and_stay_as_they_are(sizes: list[int], data: st.DataObject) -> None:
    packed = [msgpack.packb(["t", bytes([number]) * size]) for number, size in enumerate(sizes)]
    wire = b"".join(packed)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    inbox, taken = Inbox(MB, 64), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        inbox.feed(wire[start:end])
        while some := inbox.take():
            taken.append(some)
    assert [message for some in taken for message in some.tolist()] == packed
    assert len(inbox) == 0
