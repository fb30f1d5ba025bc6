"""Who gets in: digests as senders make them, refusals, and the wire of HELO and PONG."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import msgpack
import pytest

from gateway.forward.handshake import Doorkeeper, Greeting, Refused, own_hostname
from tests.gateway.forward.door import Sender, open_door

CAPTURES = Path(__file__).parent / "captures"
KEEPER = Doorkeeper(b"s3cret", {b"bob": b"pw"}, b"weir.here")


def sha512(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


def ping(
    hello: Any, key: bytes = b"s3cret", user: bytes = b"bob", password: bytes = b"pw", name: bytes = b"edge", **_: Any
) -> bytes:
    """A PING as the protocol has it."""
    nonce, auth = hello[1]["nonce"], hello[1]["auth"]
    salt = b"\x00\xff salt"
    digest = sha512(auth, user, password) if auth else ""
    packed: bytes = msgpack.packb(
        ["PING", name, salt, sha512(salt, name, nonce, key), user if auth else "", digest], use_bin_type=False
    )
    return packed


async def greeted(sender: Sender) -> Any:
    hello = await sender.receive()
    assert hello[0] == "HELO"
    assert hello[1]["keepalive"] is True
    return hello


@pytest.mark.parametrize(
    ("name", "key", "users"),
    [
        ("forward/17-shared_key", b"s3cret", {}),
        ("forward/18-shared_key-user", b"s3cret", {b"bob": b"pw"}),
        ("forward/19-empty_shared_key-user", b"", {b"bob": b"pw"}),
        ("fluentd/09-shared_key.c0", b"s3cret", {}),
        ("fluentd/10-shared_key-user-heartbeat.c3", b"s3cret", {b"bob": b"pw"}),
        ("clients/npm-06-security", b"s3cret", {b"bob": b"pw"}),
        ("clients/npm-org-security", b"s3cret", {b"bob": b"pw"}),
    ],
)
def test_pings_of_real_senders_are_answered_as_their_recorder_did(
    name: str, key: bytes, users: dict[bytes, bytes]
) -> None:
    server = msgpack.Unpacker(raw=True)
    server.feed((CAPTURES / f"{name}.server-sent.bin").read_bytes())
    hello, pong = server.unpack(), server.unpack()
    client = msgpack.Unpacker(raw=True, strict_map_key=False)
    client.feed((CAPTURES / f"{name}.bin").read_bytes())
    sent = (CAPTURES / f"{name}.bin").read_bytes()
    client.unpack()
    greeting = Greeting(Doorkeeper(key, users, b"rec"), hello[1][b"nonce"], hello[1][b"auth"] or b"")
    assert msgpack.unpackb(greeting.check(sent[: client.tell()]), raw=True) == pong
    for other in (Doorkeeper(b"other", users, b"rec"), Doorkeeper(key, {b"bob": b"no"}, b"rec")):
        with pytest.raises(Refused):
            Greeting(other, greeting.nonce, greeting.auth_salt).check(sent[: client.tell()])


def test_a_nonce_is_never_used_twice() -> None:
    greetings = [KEEPER.greet() for _ in range(100)]
    assert len({each.nonce for each in greetings}) == len({each.auth_salt for each in greetings}) == 100
    assert all(len(each.nonce) == len(each.auth_salt) == 16 for each in greetings)
    assert Doorkeeper(b"k", {}, b"h").greet().auth_salt == b""


def test_a_server_never_has_its_clients_name() -> None:
    greeting = KEEPER.greet()
    hello = msgpack.unpackb(greeting.hello(), raw=True)
    wanted = ["HELO", {key.decode(): value for key, value in hello[1].items()}]
    pong = msgpack.unpackb(greeting.check(ping(wanted, name=b"weir.here")))
    assert pong[:4] == ["PONG", True, "", "weir.here.weir"]
    assert own_hostname() not in (b"localhost", b"")


@pytest.mark.parametrize(
    "wire",
    [
        msgpack.packb(["PONG", "a", "b", "c", "d", "e"]),
        msgpack.packb(["PING", "a", "b", "c", "d"]),
        msgpack.packb(["PING", "a", "b", 5, "d", "e"]),
        msgpack.packb(["PING", "a", "b", "\udcff".encode("utf-8", "surrogatepass"), "d", "e"]),
        b"\x91\xc7\x0c\xff\xff\xff\xff\xff" + bytes(8),
        b"\x91\x81\x80\x01",
    ],
)
def test_what_is_no_ping_is_refused(wire: bytes) -> None:
    with pytest.raises(Refused) as refused:
        KEEPER.greet().check(wire)
    assert msgpack.unpackb(refused.value.pong)[:2] == ["PONG", False]


def test_a_sender_that_knows_key_and_password_gets_in_and_its_first_data_may_come_with_the_ping() -> None:
    async def main() -> None:
        async with open_door(shared_key="s3cret", users="bob:pw") as door:
            sender = await door.connect()
            hello = await greeted(sender)
            sender.write(ping(hello) + msgpack.packb(["app", [[1, {"log": "x"}]], {"chunk": "c"}]))
            assert (await sender.receive())[:3] == ["PONG", True, ""]
            assert await sender.receive() == {"ack": "c"}
            sender.writer.close()
        assert door.store.lines == [b"x"]
        assert not door.figures.closed

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"key": b"other"}, "shared_key mismatch"),
        ({"password": b"other"}, "username/password mismatch"),
        ({"user": b"eve"}, "username/password mismatch"),
    ],
)
def test_others_are_told_why_and_nothing_of_theirs_is_stored(wrong: dict[str, bytes], why: str) -> None:
    async def main() -> None:
        async with open_door(shared_key="s3cret", users=["bob:pw"]) as door:
            sender = await door.connect()
            hello = await greeted(sender)
            sender.write(ping(hello, **wrong) + msgpack.packb(["app", [[1, {"log": "x"}]]]))
            assert await sender.receive() == ["PONG", False, why, "", ""]
            assert await sender.gone()
            assert door.figures.closed == {"handshake": 1}
            assert door.store.lines == []

    asyncio.run(main())


def test_hello_and_pong_and_each_ack_come_in_one_piece() -> None:
    async def main() -> None:
        async with open_door(shared_key="s3cret") as door:
            sender = await door.connect()
            hello = msgpack.unpackb(await sender.reader.read(1 << 16), raw=False)
            sender.write(ping(hello))
            assert msgpack.unpackb(await sender.reader.read(1 << 16))[0] == "PONG"
            for number in range(20):
                sender.send("app", [[1, {"log": "x"}]], {"chunk": str(number)})
                assert msgpack.unpackb(await sender.reader.read(1 << 16)) == {"ack": str(number)}
            sender.writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("words", [b"", b"\x96\xa4PING"])
def test_the_handshake_has_a_deadline(words: bytes) -> None:
    async def main() -> None:
        async with open_door(shared_key="s3cret", handshake_timeout="150ms") as door:
            sender = await door.connect()
            await greeted(sender)
            sender.write(words)
            assert await sender.gone()
            assert door.figures.closed == {"handshake_timeout": 1}

    asyncio.run(main())


def test_one_that_connects_and_leaves_is_a_heartbeat() -> None:
    async def main() -> None:
        async with open_door(shared_key="s3cret") as door:
            assert msgpack.unpackb(await door.replay(b""), raw=True)[0] == b"HELO"
            assert not door.figures.closed

    asyncio.run(main())
