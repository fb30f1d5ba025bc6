"""Logs of the tests: sections, a log on disk, and the steps of a system call that a test makes fail or wait."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.figures import Counters
from storage.record import Request, Section, decode
from storage.rows import renumber
from storage.segment import Damage, Kind, Record, scan_segment
from storage.streams import StreamTable
from storage.wal import SyncMode, Wal
from tests.storage.entries import Entry, batch_of

ORIGIN = bytes(range(16))


def section_of(table: StreamTable, entries: Iterable[Entry], tenant: str = "t") -> Section:
    batch = batch_of(entries)
    numbers = np.array([table.intern(labels) for labels in batch.streams], np.int32)
    batch = renumber(batch, table, numbers)
    return Section(tenant, (), (Request(len(batch)),), batch)


def open_log(
    folder: Path,
    sync: SyncMode = SyncMode.COMMIT,
    *,
    next_segment: int = 1,
    next_seq: int = 1,
    counters: Counters | None = None,
    **more: Any,
) -> Wal:
    folder.mkdir(exist_ok=True)
    return Wal(
        folder,
        ORIGIN,
        next_segment=next_segment,
        next_seq=next_seq,
        counters=counters or Counters(),
        sync=sync,
        **more,
    )


def found_in(path: Path) -> list[Record | Damage]:
    return list(scan_segment(path, ORIGIN)[1])


def records_of(folder: Path) -> list[Record]:
    found = [item for path in sorted(folder.glob("*.wal")) for item in found_in(path)]
    assert not any(isinstance(item, Damage) for item in found)
    return [item for item in found if isinstance(item, Record)]


def lines_of(folder: Path) -> list[bytes]:
    return [
        line
        for record in records_of(folder)
        if record.kind is not Kind.GAP
        for section in decode(record.body)
        for line in section.batch.lines.tolist()
    ]


class Faults:
    """Calls of `os.<name>` that a test makes fail."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, error: int = errno.EIO) -> None:
        self.left = 0
        self.calls = 0
        self._real: Callable[..., Any] = getattr(os, name)
        self._error = error
        patch.setattr(f"storage.wal.os.{name}", self._call)

    def _call(self, *args: Any) -> Any:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self._error, os.strerror(self._error))
        return self._real(*args)


class SlowSync:
    """An fdatasync that takes `seconds`, as a spinning disk's does."""

    def __init__(self, patch: pytest.MonkeyPatch, seconds: float) -> None:
        self.calls = 0
        self._real = os.fdatasync
        self._seconds = seconds
        patch.setattr("storage.wal.os.fdatasync", self._call)

    def _call(self, fd: int) -> None:
        self.calls += 1
        time.sleep(self._seconds)
        self._real(fd)
