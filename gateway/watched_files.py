"""Files that change while the server runs: what stands for their contents, and when nobody writes to them any more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path

SETTLES = 0.2
"""Seconds in which files that have changed must not change again before they are taken."""


def content_of(files: Sequence[Path]) -> bytes:
    """What stands for the files' contents. A file that cannot be read has one of its own. Blocking."""
    digest = hashlib.sha256()
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            content = repr(error).encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


async def settled(files: Sequence[Path], found: bytes, most: int | None = None) -> bytes:
    """What the files hold once nobody writes to them any more: half of them may well be good.

    Args:
        files: which.
        found: their content at the last look.
        most: looks after which they are taken as they are; None: never.
    """
    for _ in count() if most is None else range(most):
        await asyncio.sleep(SETTLES)
        before, found = found, await asyncio.to_thread(content_of, files)
        if found == before:
            break
    return found
