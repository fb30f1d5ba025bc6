"""Files that change while the server runs: what stands for their contents, and when nobody writes to them any more."""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

_NS_PER_SECOND = 1_000_000_000

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


class Watch(ABC):
    """Looks at files now and then, and when it is asked to. For the event loop."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Has the files read now, whether or not they look changed."""
        self._asked.set()

    async def run(self, period: int) -> None:
        """Looks every `period` (ns; 0: only when asked to) until it is cancelled."""
        seconds = period / _NS_PER_SECOND or None
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), seconds)
            asked = self._asked.is_set()
            self._asked.clear()
            await self.look(asked=asked)

    @abstractmethod
    async def look(self, *, asked: bool) -> None:
        """Reads the files again if they have changed, or it is asked for."""
