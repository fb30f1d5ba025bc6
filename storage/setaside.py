"""Blocks that turned out damaged: moved out of the way, named, and remembered until an operator deals with them.

Such a block goes to quarantine/blocks/TENANT/DAY/ with a note beside it, ULID.json, that says what it held; everything
else answers as before, and answers that would have had entries of it say so. Who gets the file readable again moves it
back to blocks/; who gives it up removes it: either is seen at the next start.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storage.segment import sync_directory
from storage.streams import DAY

log = logging.getLogger("weir.storage")

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Missing:
    """What a block that was set aside held, as far as is known.

    Attributes:
        tenant: whose.
        block: its ULID.
        low, high: ns, between which its entries stand, both inclusive.
        rows: entries; -1 if that is not known.
        reason: what is wrong with it.
    """

    tenant: str
    block: str
    low: int
    high: int
    rows: int
    reason: str

    def text(self) -> str:
        """What an answer says of it."""
        count = "its entries" if self.rows < 0 else f"its {self.rows} entries"
        return (
            f"block {self.block} is damaged and was set aside: {count} between {_shown(self.low)} and "
            f"{_shown(self.high)} are missing"
        )


def _shown(time: int) -> str:
    return datetime.fromtimestamp(time // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SetAside:
    """The blocks of a data directory that are set aside."""

    def __init__(self, data_dir: Path) -> None:
        """Reads the notes. Raises OSError."""
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._missing: tuple[Missing, ...] = tuple(self._noted())

    def _noted(self) -> list[Missing]:
        found = []
        for note in sorted((self._data_dir / "quarantine" / "blocks").glob("*/*/*.json")):
            if not note.with_suffix(".parquet").exists():
                note.unlink()  # the block was moved back or given up, or a crash kept it from being moved
                continue
            try:
                missing = msgspec.json.decode(note.read_bytes(), type=Missing)
            except msgspec.MsgspecError as error:
                log.error("%s cannot be read, what its block held is not known: %s", note, error)  # noqa: TRY400 - no fault of ours
                missing = _of_day(note.with_suffix(".parquet"), f"its note cannot be read: {error}")
            found.append(missing)
        return found

    def __len__(self) -> int:
        return len(self._missing)

    def told(self, tenant: str, start: int, end: int) -> tuple[str, ...]:
        """What an answer about start <= ts < end (ns) of a tenant has to say: a sentence a block."""
        return tuple(
            one.text() for one in self._missing if one.tenant == tenant and one.high >= start and one.low < end
        )

    def take(self, path: Path, missing: Missing, forget: Callable[[], None] = lambda: None) -> None:
        """Moves a block's file out of the way, durably; nothing if another thread has.

        Args:
            path: of the file, in blocks/.
            missing: what it held.
            forget: takes it out of the catalog and the view; called when it is moved.
        """
        with self._lock:
            if any(one.block == missing.block for one in self._missing):
                return
            aside = self._data_dir / "quarantine" / path.relative_to(self._data_dir)
            where: Path | str = aside
            try:
                _move(path, aside, missing)
            except OSError as error:  # full, or not to be written: what can be read is answered all the same
                where = f"{path}, where it stays until the next start, as it cannot be moved: {error.strerror}"
            self._missing += (missing,)
            forget()
        log.error(
            "block %s of tenant %s is damaged and was set aside as %s: %s. The rest answers, with a warning",
            missing.block,
            missing.tenant,
            where,
            missing.reason.removesuffix("."),
        )

    def take_unread(self, path: Path, reason: str) -> None:
        """The same for a block of which nothing can be read, not even its footer."""
        self.take(path, _of_day(path, reason))


def _of_day(path: Path, reason: str) -> Missing:
    """What can be said of a block from its path alone: blocks/TENANT/YYYY-MM-DD/ULID.parquet."""
    begin = int(datetime.fromisoformat(path.parent.name).replace(tzinfo=UTC).timestamp()) * _SECOND
    return Missing(path.parent.parent.name, path.stem, begin, begin + DAY - 1, -1, reason)


def _move(path: Path, aside: Path, missing: Missing) -> None:
    """Moves a block's file, if it is there, and leaves a note beside it, durably. Raises OSError."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with aside.with_suffix(".json").open("wb") as file:
        file.write(msgspec.json.encode(missing))
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.rename(aside)
        sync_directory(aside.parent)
        sync_directory(path.parent)
