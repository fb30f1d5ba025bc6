"""Keys in the handshake of Fluent Forward: the user is a key's id, the password the key."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trustme

from config import Settings
from gateway.auth import KeyRing
from gateway.forward.listener import open_sockets
from storage import KeyRecord
from tests.gateway.auth.some_keys import make_record
from tests.gateway.forward.door import Door, Sender, open_door
from tests.gateway.forward.test_handshake import greeted, ping
from tests.gateway.tls.authority import client_context, write_ca, write_client, write_server

AUTH: dict[str, Any] = {"auth": {"enabled": True}, "shared_key": "s3cret"}


def use(door: Door, *records: KeyRecord) -> None:
    door.gateway.gate.use(KeyRing(records))


async def knock(door: Door, user: str, password: str, **more: Any) -> tuple[Sender, Any]:
    """A sender that has said PING, and the answer."""
    sender = await door.connect()
    hello = await greeted(sender)
    assert hello[1]["auth"]
    sender.write(ping(hello, user=user.encode(), password=password.encode(), **more))
    return sender, await sender.receive()


def test_a_sender_with_a_key_gets_in_and_its_entries_go_to_the_tenant_of_the_key() -> None:
    key, record = make_record(("push",), "shop")
    any_tenant, other = make_record(("push",))

    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door, record, other)
            for each, text in ((record, key), (other, any_tenant)):
                sender, pong = await knock(door, each.id, text)
                assert pong[:3] == ["PONG", True, ""]
                sender.send("app", [[1, {"log": f"by {each.id}"}]], {"chunk": each.id})
                assert await sender.receive() == {"ack": each.id}
                sender.writer.close()
            assert [tenant for tenant, _ in door.store.batches] == ["shop", "fake"]
            assert not door.figures.closed

    asyncio.run(main())


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("{id}", "weir_{id}_other", "no good key"),
        ("{id}", "", "no good key"),
        ("bob", "{key}", "no good key"),
        ("{reader}", "{read}", "may not push|no good key"),
        ("{gone}", "{old}", "no good key"),
    ],
)
def test_one_without_a_good_key_does_not(user: str, password: str, why: str) -> None:
    key, record = make_record(("push",))
    read, reader = make_record(("query",))
    old, gone = make_record(("push",), revoked=1)
    names = {"id": record.id, "key": key, "reader": reader.id, "read": read, "gone": gone.id, "old": old}

    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door, record, reader, gone)
            sender, pong = await knock(door, user.format(**names), password.format(**names))
            assert pong[:2] == ["PONG", False]
            assert any(part in pong[2] for part in why.split("|"))
            assert await sender.gone()
            assert door.gateway.gate.failures == {("forward", "key"): 1}
            assert door.figures.closed == {"handshake": 1}
            assert not door.store.batches

    asyncio.run(main())


def test_the_shared_key_is_wanted_all_the_same_and_lets_in_by_itself() -> None:
    key, record = make_record(("push",))

    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door, record)
            stranger, pong = await knock(door, record.id, key, key=b"wrong")
            assert pong[:3] == ["PONG", False, "shared_key mismatch"]
            assert await stranger.gone()
            assert door.gateway.gate.failures == {("forward", "shared_key"): 1}
            sender, pong = await knock(door, "", "")
            assert pong[:3] == ["PONG", True, ""]
            sender.writer.close()

    asyncio.run(main())


def test_users_of_the_settings_go_on_beside_keys() -> None:
    key, record = make_record(("push",))

    async def main() -> None:
        async with open_door(**AUTH, users="bob:pw") as door:
            use(door, record)
            for user, password, good in (
                ("bob", "pw", True),
                (record.id, key, True),
                ("bob", key, False),
                ("", "", False),
            ):
                sender, pong = await knock(door, user, password)
                assert pong[1] is good
                sender.writer.close()

    asyncio.run(main())


def test_a_connection_ends_when_its_key_does() -> None:
    key, record = make_record(("push",), "shop")

    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door, record)
            sender, _ = await knock(door, record.id, key)
            sender.send("app", [[1, {"log": "before"}]], {"chunk": "1"})
            assert await sender.receive() == {"ack": "1"}
            use(door, replace(record, revoked=time.time_ns()))
            sender.send("app", [[1, {"log": "after"}]], {"chunk": "2"})
            assert await sender.gone()
            assert door.store.lines == [b"before"]
            assert door.figures.closed == {"handshake": 1}

    asyncio.run(main())


def test_a_wrong_key_that_comes_again_and_again_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door)
            for _ in range(10):
                sender, pong = await knock(door, "nobody", "x")
                assert pong[1] is False
                assert await sender.gone()
            assert door.gateway.gate.failures == {("forward", "key"): 10}

    asyncio.run(main())
    assert len([one for one in caplog.records if "connection closed" in one.getMessage()]) == 1


def test_a_sender_that_names_no_user_at_all_is_one_without() -> None:
    async def main() -> None:
        async with open_door(**AUTH) as door:
            use(door)
            sender = await door.connect()
            hello = await greeted(sender)
            digest = hashlib.sha512(b"salt" + b"edge" + hello[1]["nonce"] + b"s3cret").hexdigest()
            sender.write(msgpack.packb(["PING", "edge", "salt", digest, None, "00"], use_bin_type=False))
            assert (await sender.receive())[:3] == ["PONG", True, ""]
            sender.writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("forward", [{}, {"users": "bob:pw"}, {"listen": "0.0.0.0:0"}])
def test_with_auth_on_and_nothing_to_prove_there_is_no_door_and_the_log_says_so(
    forward: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"listen": "127.0.0.1:0", **forward}
    assert open_sockets(Settings.model_validate({"auth": {"enabled": True}, "forward": settings})) is None
    (said,) = [one.getMessage() for one in caplog.records]
    assert "Fluent Forward is off" in said
    assert "forward.shared_key" in said
    assert "tls.client_ca" in said


@pytest.mark.parametrize("group", ["tls", "forward"])
def test_a_client_certificate_lets_a_sender_in_without_a_handshake(group: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    given = {"cert": write_server(authority, tmp_path / "s.pem"), "client_ca": write_ca(authority, tmp_path / "ca.pem")}
    own = {"tls": given} if group == "tls" else {f"tls_{name}": value for name, value in given.items()}

    async def main() -> None:
        async with open_door(auth={"enabled": True}, **own) as door:
            context = client_context(authority, write_client(authority, tmp_path / "c.pem"))
            sender = Sender(*await asyncio.open_connection("127.0.0.1", door.port, ssl=context))
            sender.send("app", [[1, {"log": "x"}]], {"chunk": "1"})
            assert await sender.receive() == {"ack": "1"}
            sender.writer.close()

    asyncio.run(main())


def test_forward_stays_plain_where_the_common_tls_is_not_for_it(tmp_path: Path) -> None:
    cert = write_server(trustme.CA(), tmp_path / "s.pem")
    for forward, is_tls in ((True, True), (False, False)):
        settings = Settings.model_validate(
            {"tls": {"cert": cert, "forward": forward}, "forward": {"listen": "127.0.0.1:0"}}
        )
        with open_sockets(settings) as sockets:  # type: ignore[union-attr]
            assert (sockets.tls is not None) is is_tls
