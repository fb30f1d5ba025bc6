"""50 connections that do everything wrong to a port of this machine, over and over, until standard input ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable

import msgpack

CONNECTIONS = 50
PAUSE = 0.05
"""Seconds between two attacks of one connection."""

_seed = random.Random(7)
_PACKED = b"\x92\xa3app\xc6"
ATTACKS: list[Callable[[], bytes]] = [
    lambda: _seed.randbytes(200),
    lambda: b"\x92\xa1t\xdb\xff\xff\xff\xff",  # a string of 4 GB
    lambda: b"\x91" * 5000,  # arrays in arrays
    lambda: _PACKED + (8 << 20).to_bytes(4, "big") + bytes(200_000),  # a large message that stops
    lambda: b"\x93\xa1t\x01",  # a small one that stops
    lambda: msgpack.packb(["t", b"\x1f\x8b" + _seed.randbytes(3000), {"chunk": "x"}]),
    lambda: b"GET / HTTP/1.1\r\n\r\n",
    lambda: b"",
]


async def attack(port: int, number: int) -> None:
    """One attack, by the number of its connection: of its kind, and left open, half-closed or reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer), contextlib.suppress(OSError):
        writer.write(ATTACKS[number % len(ATTACKS)]())
        if number % 3 == 0:
            writer.write_eof()
        if number % 3 == 1:
            await writer.drain()
            writer.transport.abort()
        else:
            await reader.read()


async def attack_on(port: int, number: int) -> None:
    """Attacks until cancelled."""
    while True:
        with contextlib.suppress(OSError):
            await attack(port, number)
        await asyncio.sleep(PAUSE)


async def main(port: int) -> None:
    """Attacks until standard input ends."""
    tasks = [asyncio.create_task(attack_on(port, number)) for number in range(CONNECTIONS)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
