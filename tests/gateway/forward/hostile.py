"""50 connections that do everything wrong to a port of this machine, over and over.

As a program it attacks in turns: each line on standard input starts it or stops it, and its end ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Callable

import msgpack

CONNECTIONS = 50
PAUSE = 0.25
"""Seconds between two attacks of one connection: 200 attacks a second are as many as they make together."""
_MEEK = 5
"""Niceness of the program: in earnest the attackers' work is done by other machines."""

_seed = random.Random(7)
_PACKED = b"\x92\xa3app\xc6"
_SLOW = b"\x93\xa1t\xc5\xff\xff"
"""A message of 64 KB that comes byte by byte, as far as it comes."""
ATTACKS: list[Callable[[], bytes]] = [
    lambda: _seed.randbytes(200),
    lambda: b"\x92\xa1t\xdb\xff\xff\xff\xff",  # a string of 4 GB
    lambda: b"\x91" * 5000,  # arrays in arrays
    lambda: _PACKED + (8 << 20).to_bytes(4, "big") + bytes(200_000),  # a large message that stops
    lambda: _SLOW,
    lambda: msgpack.packb(["t", b"\x1f\x8b" + _seed.randbytes(3000), {"chunk": "x"}]),
    lambda: b"GET / HTTP/1.1\r\n\r\n",
    lambda: b"",
]


async def attack(port: int, number: int) -> None:
    """One attack, by the number of its connection: of its kind, and left open, half-closed or reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer), contextlib.suppress(OSError):
        wire = ATTACKS[number % len(ATTACKS)]()
        writer.write(wire)
        for _ in range(50 if wire == _SLOW else 0):
            await asyncio.sleep(0.02)
            writer.write(b"x")
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


async def attack_with_all(port: int, until: asyncio.Future[object]) -> None:
    """Attacks on all connections until the future is done."""
    tasks = [asyncio.create_task(attack_on(port, number)) for number in range(CONNECTIONS)]
    await asyncio.wait([until])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(port: int) -> None:
    """Begins idle; each line starts or stops the attacks."""
    os.nice(_MEEK)
    while await asyncio.to_thread(sys.stdin.readline):
        await attack_with_all(port, asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
