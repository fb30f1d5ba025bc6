"""What is taken as ordinary, h11 reads alike; what is not ordinary is not taken."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http1.head import may_become_ordinary, read_head

PUSH = (
    b"POST /loki/api/v1/push?a=b HTTP/1.1\r\n"
    b"Host: weir:3100\r\nContent-Type:application/json \r\nContent-Length: 12\r\n\r\n"
)


def as_h11(head: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]], int] | None:
    """The same request as h11 reads it; None if it is none, or not all of it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(head)
    try:
        request = server.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request) or request.http_version != b"1.1":
        return None
    length = next((int(value) for name, value in request.headers if name == b"content-length"), 0)
    return request.method.decode(), request.target, list(request.headers), length


def test_a_push_is_ordinary() -> None:
    head = read_head(PUSH)
    assert head is not None
    assert (head.method, head.target, head.length) == ("POST", b"/loki/api/v1/push?a=b", 12)
    assert head.headers == [
        (b"host", b"weir:3100"),
        (b"content-type", b"application/json"),
        (b"content-length", b"12"),
    ]


NAMES = st.sampled_from(
    [b"Host", b"host", b"Content-Length", b"Connection", b"X-Scope-OrgID", b"Te", b"A b", b"", b"A:"]
)
VALUES = st.one_of(
    st.sampled_from([b"weir", b"12", b"+1", b"1_0", b" 7\t", b"keep-alive", b"close"]), st.binary(max_size=6)
)
FIELDS = st.lists(
    st.tuples(NAMES, st.sampled_from([b":", b": ", b" : ", b""]), VALUES, st.sampled_from([b"\r\n", b"\n"]))
)
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b#c HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"PUT / HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n",
    ]
)
HEADS = st.one_of(
    st.builds(lambda line, fields: line + b"".join(map(b"".join, fields)) + b"\r\n", LINES, FIELDS),
    st.builds(
        lambda at, cut, put: PUSH[:at] + put + PUSH[at + cut :],
        st.integers(0, len(PUSH)),
        st.integers(0, 3),
        st.binary(max_size=4),
    ),
    st.binary(max_size=200),
)


@given(HEADS)
@example(PUSH)
@example(b"GET / HTTP/1.1\r\nHost: a\r\n b: folded\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost:\t\r\nA: \x0b\r\n\r\n")
def test_what_is_taken_h11_reads_alike(head: bytes) -> None:
    found = read_head(head)
    if found is not None:
        assert (found.method, found.target, found.headers, found.length) == as_h11(head)


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Connection: close",
        b"Connection: keep-alive, Upgrade",
        b"Host: another",
        b"Content-Length: 3",
        b"X: \xff",
        b"X: a\x00b",
        b"X : a",
        b" folded",
        b"no colon",
    ],
)
def test_what_needs_more_than_reading_is_not_ordinary(line: bytes) -> None:
    assert read_head(PUSH.replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n")) is not None
    assert read_head(PUSH.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n")) is None


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (b"HTTP/1.0", b"HTTP/1.1"),
        (b"PUT", b"POST"),
        (b"http://weir/", b"/"),
        (b"", b"Host: weir:3100\r\n"),
        (b": -12", b": 12"),
        (b": " + b"9" * 16, b": 12"),
        (b"\n", b"\r\n"),
    ],
)
def test_another_request_line_or_length_is_not_ordinary(new: bytes, old: bytes) -> None:
    assert read_head(PUSH.replace(old, new, 1)) is None


def test_every_beginning_of_an_ordinary_head_may_become_one() -> None:
    assert all(may_become_ordinary(PUSH[:at]) for at in range(len(PUSH)))


@pytest.mark.parametrize(
    "begun", [b"\x16\x03\x01", b"\r\n", b"PRI * HTTP/2", b"get /", b"GET /ready HTTP/1.1\nHost: a\n\n"]
)
def test_what_can_become_none_is_known_at_once(begun: bytes) -> None:
    assert not may_become_ordinary(begun)
