"""What broken and hostile clients send over real sockets. After each test the server is as well as before."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import snappy

from tests.gateway.bad_input.raw import NOTHING, RawConnection, ask, push_head, push_request
from tests.gateway.bad_input.victim import IN_FLIGHT, MAX_BODY, MB, SETTINGS, Victim, push_body
from tests.gateway.push.decoding import body_of, cases
from tests.gateway.world import World
from tests.server import ServerProcess, running_server, wait_until

GB = 1 << 30
GZIP = ("Content-Encoding", "gzip")
PROTOBUF = ("Content-Type", "application/x-protobuf")
CHUNKED = ("Transfer-Encoding", "chunked")
GET_READY = b"GET /ready HTTP/1.1\r\nHost: weir\r\n\r\n"


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    arguments = [word for setting in SETTINGS for word in ("--set", setting)]
    with running_server(tmp_path_factory.mktemp("bad-input") / "data", *arguments) as server:
        yield Victim(server)


@pytest.fixture
def victim(one_server: Victim) -> Iterator[Victim]:
    one_server.begin()
    yield one_server
    one_server.must_be_well()


# -- bodies


def test_every_push_that_loki_refuses_is_refused_with_its_status_and_text(victim: Victim) -> None:
    refused = [case for case in cases("decode.jsonl") if case["status"] >= 400]
    assert len(refused) > 50
    wrong = []
    for case in refused:
        head = [f"POST {case['path']} HTTP/1.1", "Host: weir", f"Content-Length: {len(body_of(case))}"]
        if case["content_type"] is not None:
            head.append(f"Content-Type: {case['content_type']}")
        if case["content_encoding"]:
            head.append(f"Content-Encoding: {case['content_encoding']}")
        answer = ask(victim.url, "\r\n".join([*head, "", ""]).encode() + body_of(case))
        if (answer.status, answer.text) != (case["status"], case["text"]):
            wrong.append((case["id"], answer.status, answer.text, case["status"], case["text"]))
    assert not wrong


STREAM = b'{"streams":[{"stream":{"bad":"1"},"values":[[%s]]}]}'

ODD_BODIES = {
    "a million opening brackets": b'{"streams":' + b"[" * 1_000_000,
    "half a million nested objects": b'{"a":' * 500_000,
    "nesting where nobody looks": b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a time of a million digits": STREAM % (b'"' + b"9" * 1_000_000 + b'","x"'),
    "a time that is minus a lot": STREAM % b'"-99999999999999999999999","x"',
    "a time with an exponent": STREAM % b'"1e18","x"',
    "a label value of a million digits": b'{"streams":[{"stream":{"bad":%s},"values":[]}]}' % (b"9" * 1_000_000),
    "a number no float can hold": b'{"x":1e999999999,"streams":[]}',
    "a label name that is no UTF-8": b'{"streams":[{"stream":{"b\xffad":"x"},"values":[["1","a"]]}]}',
    "a label name with NUL": b'{"streams":[{"stream":{"bad\\u0000":"x"},"values":[["1","a"]]}]}',
    "a label name that is an emoji": '{"streams":[{"stream":{"\U0001f600":"x"},"values":[["1","a"]]}]}'.encode(),
    "an unpaired surrogate as a name": b'{"streams":[{"stream":{"\\ud800":"x"},"values":[["1","a"]]}]}',
    "20,000 labels": json.dumps(
        {"streams": [{"stream": {f"bad{i}": "x" for i in range(20_000)}, "values": [["1795255200000000000", "x"]]}]}
    ).encode(),
    "a label name of 2 MB": b'{"streams":[{"stream":{"%s":"x"},"values":[["1","a"]]}]}' % (b"b" * 2_000_000),
    "a line of 10 MB": STREAM % (b'"1","' + b"x" * 10_000_000 + b'"'),
    "UTF-16": '{"streams":[]}'.encode("utf-16"),
    "10 MB of NUL": bytes(10_000_000),
    "10 MB of spaces": b" " * 10_000_000,
    "one quote": b'"',
    "a key that never ends": b'{"' + b"k" * 5_000_000,
    "an escape that never ends": b'{"streams":[{"stream":{"bad":"\\u00',
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_an_odd_json_body_is_a_clear_400_or_422(victim: Victim, name: str) -> None:
    answer = victim.push(ODD_BODIES[name])
    assert answer.status in {400, 422}
    assert answer.text
    assert victim.peak < 8 * len(ODD_BODIES[name]) + 32 * MB


def test_lines_that_are_no_utf8_are_kept_and_shown_as_go_shows_them(victim: Victim) -> None:
    now = time.time_ns()
    body = b'{"streams":[{"stream":{"odd":"yes"},"values":[["%d","a\xff\xfeb"]]}]}' % now
    assert victim.push(body).status == 204
    assert victim.lines('{odd="yes"}') == ["a\ufffd\ufffdb"]


def test_random_bytes_are_refused_under_every_type_and_encoding(victim: Victim) -> None:
    noise = zlib.compress(b"noise" * 7) + bytes(range(256)) * 4
    for cut in range(0, len(noise), 97):
        for media in ("application/json", "application/x-protobuf", "text/plain", ""):
            for encoding in ("", "gzip", "deflate", "snappy", "br"):
                headers = [("Content-Type", media), ("Content-Encoding", encoding)]
                answer = victim.push(noise[cut:], *[(name, value) for name, value in headers if value])
                assert answer.status == 400, (cut, media, encoding)
                assert answer.text


# -- sizes that lie


def test_an_announced_gigabyte_is_refused_unread(victim: Victim) -> None:
    answer = ask(victim.url, push_head(GB))
    assert (answer.status, answer.text) == (413, _too_large(GB))
    assert victim.peak < 8 * MB


def test_an_announced_gigabyte_that_comes_is_refused_and_not_kept(victim: Victim) -> None:
    with RawConnection(victim.url) as connection:
        connection.send(push_head(GB), *[b" " * MB] * 1024)
        assert connection.answer().text == _too_large(GB)
    assert victim.peak < 16 * MB


def test_a_gigabyte_that_was_not_announced_is_refused_at_the_limit(victim: Victim) -> None:
    with RawConnection(victim.url) as connection:
        connection.send(push_head(None, [CHUNKED]), *[b"100000\r\n" + b" " * MB + b"\r\n"] * 1024)
        answer = connection.answer()
    assert answer.status == 413
    assert answer.text.startswith("request body too large: message size too large than max (")
    assert victim.peak < MAX_BODY + 32 * MB


def _too_large(size: int) -> str:
    return f"request body too large: message size too large than max ({size} vs {MAX_BODY})"


@functools.cache
def _bomb(begin: bytes, size: int) -> bytes:
    """`begin` and then spaces up to `size` bytes, gzipped a thousand to one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packer.compress(begin), *(packer.compress(b" " * MB) for _ in range(size // MB)), packer.flush()]
    return b"".join(pieces)


def test_a_gzip_bomb_is_refused_at_what_may_be_in_flight(victim: Victim) -> None:
    bomb = _bomb(b'{"streams":[{"stream":{"bad":"1"},"values":[["1","', GB)
    assert len(bomb) < 2 * MB
    for _ in range(3):
        answer = victim.push(bomb, GZIP)
        assert answer.status == 413
        assert answer.text.endswith(f"than max ({IN_FLIGHT + 1} vs {IN_FLIGHT})")
    assert victim.peak < 2.5 * IN_FLIGHT


@pytest.mark.parametrize("claim", [0, 1, (1 << 32) - 1])
def test_a_gzip_bomb_that_lies_about_its_size_is_refused_likewise(victim: Victim, claim: int) -> None:
    bomb = _bomb(b"", 256 * MB)[:-4] + claim.to_bytes(4, "little")
    assert victim.push(bomb, GZIP).status == 413
    assert victim.peak < 2.5 * IN_FLIGHT


def test_a_bomb_of_many_small_gzip_members_is_refused_likewise(victim: Victim) -> None:
    assert victim.push(gzip.compress(b" " * MB) * 1000, GZIP).status == 413
    assert victim.peak < 2.5 * IN_FLIGHT


def test_the_same_bombs_again_take_no_more_memory(victim: Victim) -> None:
    bombs = [_bomb(b"", 80 * MB), gzip.compress(b" " * MB) * 80, _bomb(b"{", 60 * MB), _bomb(b'"', 30 * MB)]

    def attack() -> None:
        for bomb in bombs:
            assert victim.push(bomb, GZIP).status in {400, 413}

    for _ in range(3):
        attack()
    victim.begin()
    for _ in range(5):
        attack()
    # Five rounds unpack over a GB.
    assert victim.grown < IN_FLIGHT


def test_a_bomb_keeps_nobody_waiting(victim: Victim) -> None:
    bomb = push_request(_bomb(b"", 256 * MB), [GZIP])
    with RawConnection(victim.url) as attacker:
        attacker.send(bomb)
        began = time.monotonic()
        victim.must_work()
        # Half of server.push_wait, after which those who wait for room would be refused.
        assert time.monotonic() - began < 5
        assert attacker.answer().status == 413


@pytest.mark.parametrize("size", [2000, 1 << 20, IN_FLIGHT, IN_FLIGHT + 1, (1 << 32) - 1])
def test_a_snappy_body_that_lies_about_its_size_is_refused_as_loki_does(victim: Victim, size: int) -> None:
    varint = bytes([size >> shift & 0x7F | 0x80 for shift in range(0, 28, 7)] + [size >> 28])
    answer = victim.push(varint + snappy.compress(b"x" * 1000)[2:], PROTOBUF)
    if size > IN_FLIGHT:
        assert answer.status == 413
        assert answer.text.endswith(f"({size} vs {IN_FLIGHT})")
    else:
        assert (answer.status, answer.text) == (400, "snappy: corrupt input")
    assert victim.peak < 8 * MB


def test_a_snappy_bomb_is_refused_by_what_it_says_it_holds(victim: Victim) -> None:
    answer = victim.push(snappy.compress(bytes(100 * MB)), PROTOBUF)
    assert answer.status == 413
    assert victim.peak < 32 * MB


# -- connections


def test_bodies_that_break_off_leave_nothing(victim: Victim) -> None:
    body = push_body("bad", *["line"] * 10_000)
    for number in range(20):
        connection = RawConnection(victim.url).send(push_head(len(body)), body[: len(body) // 2])
        if number % 2:
            connection.reset()
        else:
            connection.close()
    assert wait_until(lambda: victim.metric("weir_ingest_bytes_in_flight") == 0)


def test_a_chunked_body_without_its_last_chunk_is_not_stored(victim: Victim) -> None:
    body = push_body("bad", "line")
    with RawConnection(victim.url) as connection:
        connection.send(push_head(None, [CHUNKED]), b"%x\r\n%s\r\n" % (len(body), body))


@pytest.mark.parametrize(
    "after",
    [b"zz\r\n", b"-1\r\nx\r\n", b"f" * 30 + b"\r\n", b"3\r\nabcdef\r\n", b"0x3\r\nabc\r\n", b"3;" + b"e" * 1_000_000],
)
def test_a_chunk_of_no_size_ends_the_request(victim: Victim, after: bytes) -> None:
    body = push_body("bad", "line")
    with RawConnection(victim.url) as connection:
        connection.send(push_head(None, [CHUNKED]), b"%x\r\n%s\r\n" % (len(body), body), after)
        assert 400 <= connection.answer().status < 500
        assert connection.is_closed()


def test_announced_bodies_that_do_not_come_keep_nobody_out(victim: Victim) -> None:
    stalled = [RawConnection(victim.url).send(push_head(MAX_BODY)) for _ in range(20)]
    began = time.monotonic()
    victim.must_work()
    # Twenty times 16 MB of 64: if they counted, this would wait for server.push_wait, 10 s.
    assert time.monotonic() - began < 5
    for connection in stalled:
        connection.close()


def test_500_connections_at_once_are_all_served_and_all_forgotten(victim: Victim) -> None:
    # Three times: 1,500 would be over server.max_connections if one were left behind.
    for round_ in range(3):
        connections = [RawConnection(victim.url, 60) for _ in range(500)]
        for number, connection in enumerate(connections):
            connection.send(push_request(push_body("many", f"{round_} {number}")))
        assert {connection.answer().status for connection in connections} == {204}
        for connection in connections:
            connection.close()
    assert wait_until(lambda: victim.metric("loki_tcp_connections") <= 1)
    assert sorted(victim.lines('{many="yes"}')) == sorted(f"{r} {n}" for r in range(3) for n in range(500))


def test_a_client_that_never_reads_is_not_written_for(victim: Victim) -> None:
    with RawConnection(victim.url, 2) as connection:
        try:
            for _ in range(200):
                connection.send(b"GET /metrics HTTP/1.1\r\nHost: weir\r\n\r\n" * 1000)
        except TimeoutError:
            pass
        else:
            pytest.fail("the server took 200,000 requests without an answer being read")
        victim.must_work()
        assert victim.peak < 16 * MB


# -- heads


def test_a_head_that_comes_byte_by_byte_is_a_head(victim: Victim) -> None:
    request = push_request(push_body("slow", "line"))
    assert ask(victim.url, *[request[at : at + 1] for at in range(len(request))]).status == 204
    assert victim.lines('{slow="yes"}') == ["line"]


def test_a_header_of_100_kb_is_taken_and_one_of_10_mb_is_not(victim: Victim) -> None:
    assert victim.push(push_body("good", "x"), ("X-Big", "a" * 100_000)).status == 204
    assert victim.push(push_body("bad", "x"), ("X-Big", "a" * 10_000_000)).status == 431
    assert victim.peak < 32 * MB


def test_a_query_of_100_kb_in_pieces_of_1_kb_is_answered(victim: Victim) -> None:
    url = f"/loki/api/v1/query_range?query=%7Ba%3D%22{'b' * 100_000}%22%7D"
    request = f"GET {url} HTTP/1.1\r\nHost: weir\r\n\r\n".encode()
    answer = ask(victim.url, *[request[at : at + 1024] for at in range(0, len(request), 1024)])
    assert answer.status == 200
    assert json.loads(answer.body)["data"]["result"] == []


def test_pipelined_requests_are_answered_in_order(victim: Victim) -> None:
    good, refused = push_request(push_body("piped", "line")), push_request(b"{")
    expected = []
    with RawConnection(victim.url) as connection:
        connection.send(b"".join([good, GET_READY, refused, b"GET /nowhere HTTP/1.1\r\nHost: weir\r\n\r\n"] * 25))
        expected = [204, 200, 400, 404] * 25
        assert [connection.answer().status for _ in expected] == expected
        assert connection.send(b"no HTTP at all\r\n\r\n").answer().status == 400
        assert connection.is_closed()


def test_http_1_0_is_spoken_and_ended(victim: Victim) -> None:
    with RawConnection(victim.url) as connection:
        assert connection.send(push_request(push_body("old", "line"), version="1.0")).answer().status == 204
        assert connection.is_closed()
    assert victim.lines('{old="yes"}') == ["line"]


def test_an_absolute_uri_is_its_path(victim: Victim) -> None:
    request = push_request(push_body("proxied", "line")).replace(b"POST /", b"POST http://some.proxy:3128/", 1)
    assert ask(victim.url, request).status == 204
    assert victim.lines('{proxied="yes"}') == ["line"]
    assert ask(victim.url, GET_READY.replace(b"/ready", b"HTTPS://weir/ready")).text == "ready"
    assert ask(victim.url, GET_READY.replace(b"/ready", b"http://weir")).status == 404


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /ready\r\n\r\n",
        b"GET /ready HTTP/1.1\r\n\r\n",
        b"GET /re\x00ady HTTP/1.1\r\nHost: weir\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: weir\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: weir\r\nno colon\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: weir\r\nA\x00: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        push_head(-5),
        push_head(10**30),
        push_head(None, [("Content-Length", "5, 6")]) + b"123456",
        push_head(None, [("Transfer-Encoding", "gzip")]) + b"abc",
    ],
    ids=lambda request: repr(request[:40]),
)
def test_what_is_no_http_gets_a_4xx_or_501_and_is_closed(victim: Victim, request_: bytes) -> None:
    with RawConnection(victim.url) as connection:
        assert connection.send(request_).answer().status in {400, 431, 501}
        assert connection.is_closed()


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        b"GET /ready HTTP/1.1\r\nHost: weir\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + bytes(100),
        b"GET /loki/api/v1/push HTTP/1.1\r\nHost: weir\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" + bytes(100),
    ],
    ids=["HTTP/2 preface", "h2c", "websocket"],
)
def test_protocols_nobody_offered_do_no_harm(victim: Victim, request_: bytes) -> None:
    with RawConnection(victim.url) as connection:
        connection.send(request_)


# -- time


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data", "--set", "server.keep_alive=3s") as server:
        yield server
        assert "Traceback" not in server.log_text


def test_idle_connections_are_closed_and_busy_ones_are_not(impatient: ServerProcess) -> None:
    with RawConnection(impatient.url) as connection:
        for _ in range(3):
            time.sleep(1.2)  # idle for less than server.keep_alive each time, for longer than it in all
            assert connection.send(push_request(push_body("good", "x"))).answer().status == 204
        assert connection.is_closed()


@pytest.mark.parametrize("begun", [b"", b"POST /loki/api/v1/push HTTP/1.1\r\nHost: we"], ids=["nothing", "half a head"])
def test_a_connection_that_never_finishes_a_head_is_closed(impatient: ServerProcess, begun: bytes) -> None:
    with RawConnection(impatient.url) as connection:
        assert connection.send(begun).answer() == NOTHING


@pytest.mark.soak
def test_a_push_on_a_connection_that_was_idle_for_a_minute_is_taken(victim: Victim) -> None:
    with RawConnection(victim.url) as fresh, RawConnection(victim.url) as used:
        assert used.send(push_request(push_body("good", "x"))).answer().status == 204
        time.sleep(61)
        for connection in (fresh, used):
            assert connection.send(push_request(push_body("good", "x"))).answer().status == 204


def test_a_body_that_stops_coming_is_answered_408(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.middleware.BODY_WAIT", 0.05)
    begun = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Any] = []

    async def receive() -> Any:
        return begun.pop() if begun else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/loki/api/v1/push", "query_string": b"", "headers": headers}
    asyncio.run(world.app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert sent[1]["body"] == b"nothing of the request body came for 0.05 seconds\n"
    assert world.gateway.ingest.used == 0


@pytest.mark.soak
def test_a_body_that_stops_coming_is_given_up(victim: Victim) -> None:
    with RawConnection(victim.url, 60) as connection:
        answer = connection.send(push_head(1000), b"{").answer()
        assert (answer.status, answer.text) == (408, "nothing of the request body came for 30 seconds")
        assert connection.is_closed()
