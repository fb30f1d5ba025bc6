"""Seeded log lines: JSON, logfmt and nginx, a third each, as a web shop's services might write them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TypeAlias

APPS = ("json", "logfmt", "nginx")
"""The label `app` of the three kinds, in the order in which `triples` yields them."""

LEVELS = ["info"] * 80 + ["debug"] * 10 + ["warn"] * 7 + ["error"] * 3
SERVICES = ["checkout", "cart", "auth", "search", "payment", "shipping"]
PATHS = [
    f"/api/v1/{thing}/{verb}"
    for thing in ("users", "orders", "items", "carts", "sessions")
    for verb in ("list", "get", "create", "update", "delete")
]
MESSAGES = [
    "request completed",
    "cache miss",
    "user logged in",
    "connection refused by upstream",
    "timeout waiting for database",
    "retrying operation",
    "payment authorised",
    "token expired",
    "index refreshed",
    "queue drained",
]
STATUSES = [200] * 85 + [201] * 4 + [301] * 2 + [400] * 3 + [404] * 3 + [500] * 2 + [503]

Lines: TypeAlias = Mapping[str, list[bytes]]
"""Lines by app; line i of each app is about the same request."""


def all_lines(count: int, seed: int = 42) -> Lines:
    """`count` lines of each app."""
    made: dict[str, list[bytes]] = {app: [] for app in APPS}
    appends = [made[app].append for app in APPS]
    for triple in triples(count, seed):
        for append, line in zip(appends, triple, strict=True):
            append(line.encode())
    return made


def first_of(lines: Lines, count: int) -> Lines:
    """The first `count` lines of each app."""
    return {app: kind[:count] for app, kind in lines.items()}


def triples(count: int, seed: int = 42) -> Iterator[tuple[str, str, str]]:
    """`count` triples (JSON line, logfmt line, nginx line) about the same request each."""
    rng = random.Random(seed)
    for i in range(count):
        level, status, path = rng.choice(LEVELS), rng.choice(STATUSES), rng.choice(PATHS)
        message, seconds, trace = rng.choice(MESSAGES), rng.random() * 1.5, f"{rng.getrandbits(128):032x}"
        ip = f"{rng.randrange(10, 200)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        size, when = rng.randrange(50_000), f"12:{i // 60 % 60:02d}:{i % 60:02d}"
        yield (
            (
                f'{{"ts":"2025-10-09T{when}.{i % 1000:03d}Z","level":"{level}","service":"{rng.choice(SERVICES)}",'
                f'"method":"GET","path":"{path}","status":{status},"duration_ms":{seconds * 1000:.3f},"bytes":{size},'
                f'"client":{{"ip":"{ip}","user_id":"u{rng.randrange(100_000)}"}},"trace_id":"{trace}",'
                f'"msg":"{message}"}}'
            ),
            (
                f"ts=2025-10-09T{when}.{i % 1000:03d}Z caller=handler.go:{i % 400} level={level} method=GET "
                f"path={path} status={status} "
                f'duration={seconds * 1000:.3f}ms bytes={size} ip={ip} trace_id={trace} msg="{message}"'
            ),
            (
                f'{ip} - - [09/Oct/2025:{when} +0000] "GET {path} HTTP/1.1" {status} {size} "-" '
                f'"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" {seconds:.3f}'
            ),
        )
