"""What real senders wrote, byte for byte: each capture gives the events it is known to hold, and is acknowledged.

captures/ has the bytes of single connections of Fluent Bit 5.1.1, Fluentd 1.19.0, fluent-logger (PyPI 0.11.1 and npm
3.4.1) and @fluent-org/logger 1.0.10 (docker-synth-* are made after Docker's driver), what a recorder answered
(server-sent), and events.json: the events of each as a reader that is not ours printed them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from gateway.forward.handshake import Doorkeeper, Greeting
from tests.gateway.forward.door import Door, PlainMapper, open_door

CAPTURES = Path(__file__).parent / "captures"
EVENTS = json.loads((CAPTURES / "events.json").read_text())
SECRETS = {"shared_key": "s3cret", "users": ["bob:pw"]}


def same(got: Any, expected: Any) -> bool:
    """Whether a value, with text as bytes, is what the listing shows; it cuts long bytes short."""
    if isinstance(expected, dict) and "$time" in expected:
        seconds, nanoseconds = expected["$time"]
        return bool(got == msgpack.ExtType(0, seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big")))
    if isinstance(expected, dict) and "$bytes" in expected:
        return len(got) == expected["$size"] and bool(got.startswith(bytes.fromhex(expected["$bytes"])))
    if isinstance(expected, dict):
        return len(got) == len(expected) and all(
            same(key if isinstance(key, bytes) else str(key).encode(), wanted) and same(value, expected[wanted])
            for (key, value), wanted in zip(got.items(), expected, strict=True)
        )
    if isinstance(expected, list):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, str):
        return bool(got == expected.encode())
    return bool(got == expected) and type(got) is type(expected)


def events(mapper: PlainMapper) -> list[tuple[bytes, Any]]:
    found = []
    for tag, _, entries in mapper.calls:
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        unpacker.feed(entries)
        found += [(tag, entry) for entry in unpacker]
    return found


def sent_by_server(name: str) -> bytes | None:
    path = CAPTURES / f"{name}.server-sent.bin"
    return path.read_bytes() if path.exists() else None


class Rehearsed(Doorkeeper):
    """Greets as the recorder did."""

    def __init__(self, keeper: Doorkeeper, hello: bytes) -> None:
        super().__init__(keeper.shared_key, keeper.users, b"rec")
        options = msgpack.unpackb(hello, raw=True)[1]
        object.__setattr__(self, "greeting", Greeting(self, options[b"nonce"], options[b"auth"] or b""))

    def greet(self) -> Greeting:
        greeting: Greeting = object.__getattribute__(self, "greeting")
        return greeting


def secrets_of(name: str) -> dict[str, Any]:
    if "empty_shared_key" in name:
        return {"users": ["bob:pw"]}
    if "user" in name or name.endswith("-security"):
        return SECRETS
    return {"shared_key": "s3cret"} if "shared_key" in name else {}


@pytest.mark.parametrize("name", EVENTS)
def test_a_capture_gives_its_events_and_is_answered_as_it_was(name: str) -> None:
    answer = sent_by_server(name)
    mapper = PlainMapper()

    async def main() -> tuple[bytes, Door]:
        async with open_door(mapper=mapper, **secrets_of(name)) as door:
            if secrets_of(name):
                assert answer is not None
                hello = msgpack.Unpacker(raw=True)
                hello.feed(answer)
                first = msgpack.packb(hello.unpack())
                keeper = door.listener._doorkeeper
                assert keeper is not None
                door.listener._doorkeeper = Rehearsed(keeper, first)
            return await door.replay((CAPTURES / f"{name}.bin").read_bytes()), door

    got, door = asyncio.run(main())
    found = events(mapper)
    assert len(found) == len(EVENTS[name])
    for (tag, entry), (expected_tag, expected) in zip(found, EVENTS[name], strict=True):
        assert tag == expected_tag.encode()
        assert same(entry, expected)
    # The recorder gave wrong acknowledgements, refused without a word, or said in HELO that it would not keep alive.
    if answer is not None and not any(each in name for each in ("ack-wrong", "shared_key-wrong", "keepalive-false")):
        assert got == answer
    assert door.figures.closed == ({"handshake": 1} if "shared_key-wrong" in name else {})
    assert not door.figures.bad_entries


def test_every_capture_is_listed() -> None:
    names = {f"{path.parent.name}/{path.stem}" for path in CAPTURES.glob("*/*.bin") if "server-sent" not in path.name}
    assert names == set(EVENTS)
