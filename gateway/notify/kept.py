"""What was told to whom, over a restart: without it nobody would say that the disk which was full is not any more.

One small file, `alerts.json`, written in place within the room that it was given when there was room: a full disk takes
it. It is remade when it cannot be read; then what was raised before is told once more, or its end is not told.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.notify.alert import Alert

NAME = "alerts.json"
_ROOM = 16 << 10
"""Bytes that the file has at least, filled up with spaces."""


@dataclass(frozen=True, slots=True)
class State:
    """What is kept.

    Attributes:
        active: what is wrong.
        told: by notifier, what it was told of and not yet of its end.
    """

    active: tuple[Alert, ...] = ()
    told: dict[str, tuple[Alert, ...]] = field(default_factory=dict)


class Kept:
    """The file of a data directory. Blocking."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME
        self._lock = threading.Lock()

    def load(self) -> State:
        """What was written last; nothing if it cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return State()

    def save(self, state: Callable[[], State]) -> None:
        """Writes down what `state` says once nobody else writes: the last state wins. Raises OSError."""
        with self._lock:
            self._write(msgspec.json.encode(state()))

    def _write(self, body: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            room = max(_ROOM, os.fstat(fd).st_size)
            padded = body.ljust(room)
            done = 0
            while done < len(padded):
                done += os.pwrite(fd, padded[done:], done)
            os.fsync(fd)
        finally:
            os.close(fd)
