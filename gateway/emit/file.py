"""The sink `file`: each line of a batch is in the files exactly once, whenever the process or the machine ends.

A batch counts as archived when its lines and the journal's line about them are synced.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from gateway.emit.journal import Journal, Settled
from gateway.emit.packing import Packer, left_over
from gateway.emit.rows import as_json, with_tenant
from gateway.emit.target import Target, move_aside, take_up
from gateway.logs import event
from gateway.relay.sink import Archived, Failed, Outcome, Outgoing

_log = logging.getLogger("weir.emit")

ROTATES_AGAIN = 60.0
"""Seconds after which a file that could not be moved aside is tried again."""

MAX_OPEN = 64
"""Files kept open, for as many tenants."""

MAX_NAME = 150
"""Characters of a tenant's quoted name in a path: with what is put behind it a file's name has 255 bytes at most."""

_PREFIX = 60
"""Characters that stay of a longer one, before its SHA-256."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are written.

    Attributes:
        name: of the emitter.
        path: with `{tenant}` and `{name}`.
        journal: file that the emitter keeps for itself.
        rotate_size: bytes from which on a file is moved aside; 0: never for its size.
        rotate_every: ns; a file of an earlier period is moved aside; 0: never for its age.
        gzip: whether files moved aside are compressed.
        show_tenant: whether lines say whose they are, as the path does not.
    """

    name: str
    path: str
    journal: Path
    rotate_size: int = 100 << 20
    rotate_every: int = 0
    gzip: bool = True
    show_tenant: bool = False


class FileSink:
    """Files of one emitter."""

    kind = "file"

    def __init__(self, options: FileOptions) -> None:
        self.destination = options.path
        self.options = options
        self._thread = ThreadPoolExecutor(1, f"emit-{options.name}")
        self._journal: Journal | None = None
        self._packer: Packer | None = None
        self._targets: OrderedDict[Path, Target] = OrderedDict()
        self._tidied: set[Path] = set()
        self._rotates_after = 0.0

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Writes a batch. What the disk refuses is tried again."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(self._send, outgoing))

    async def close(self) -> None:
        """Waits for a write that is under way: nothing may write to the files behind this."""
        await asyncio.to_thread(self._close)

    def _send(self, outgoing: Outgoing) -> Outcome:
        try:
            return self._write(outgoing)
        except OSError as error:
            self._let_go()  # what is open may not be what is settled
            where = error.filename or self.destination
            return Failed(f"{where}: {error.strerror or error}")

    def _write(self, outgoing: Outgoing) -> Outcome:
        journal = self._opened()
        if journal.has(outgoing.uuid.hex):
            return Archived(deduplicated=True)
        target = self._target(self._path(outgoing.tenant), journal)
        shown = with_tenant(outgoing.batch, outgoing.tenant) if self.options.show_tenant else outgoing.batch
        data = as_json(shown)
        target.write(data)
        length = target.length + len(data)
        journal.settle(Settled(str(target.path), length, target.since, outgoing.uuid.hex))
        target.length = length
        if self.options.rotate_size and length >= self.options.rotate_size:
            self._rotate(target, journal)
        return Archived()

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.options.journal)
        if self._packer is None:
            self._packer = Packer(self.options.name)
        return self._journal

    def _path(self, tenant: str) -> Path:
        # A tenant's name may be any text: of "../x" a file name is made.
        safe = quote(tenant, safe="").replace(".", "%2E") if tenant.strip(".") == "" else quote(tenant, safe="")
        if len(safe) > MAX_NAME:
            safe = f"{safe[:_PREFIX]}-{sha256(tenant.encode()).hexdigest()}"
        return Path(self.options.path.replace("{tenant}", safe).replace("{name}", self.options.name)).absolute()

    def _target(self, path: Path, journal: Journal) -> Target:
        if path not in self._tidied:
            self._tidied.add(path)
            self._pack(left_over(path))
        target = self._targets.get(path)
        if target is not None and not target.is_there():
            self._forget(target)
            target = None
        if target is not None and self._is_of_the_past(target) and self._rotate(target, journal):
            target = None
        if target is None:
            target = self._taken_up(path, journal)
        self._targets.move_to_end(path)
        return target

    def _taken_up(self, path: Path, journal: Journal) -> Target:
        target = self._targets[path] = take_up(path, journal)
        if target.length and self._is_of_the_past(target) and self._rotate(target, journal):
            target = self._targets[path] = take_up(path, journal)
        while len(self._targets) > MAX_OPEN:
            self._forget(next(iter(self._targets.values())))
        return target

    def _is_of_the_past(self, target: Target) -> bool:
        every = self.options.rotate_every
        return bool(every and target.length) and time.time_ns() // every > target.since // every

    def _rotate(self, target: Target, journal: Journal) -> bool:
        """Moves a file aside; if it cannot be renamed, it is written on, and a later batch tries again."""
        now = time.monotonic()
        if now < self._rotates_after:
            return False
        try:
            aside = move_aside(target, journal, time.time_ns())
        except OSError as error:
            if target.is_there():  # it was not renamed, and is open
                self._rotates_after = now + ROTATES_AGAIN
                event(
                    _log,
                    logging.WARNING,
                    "a file cannot be moved aside; it is written on",
                    file=str(target.path),
                    error=error.strerror,
                )
                return False
            self._targets.pop(target.path, None)  # renamed and closed
            raise
        del self._targets[target.path]
        self._pack([aside])
        return True

    def _pack(self, paths: list[Path]) -> None:
        if self.options.gzip and self._packer is not None:
            self._packer.pack(paths)

    def _forget(self, target: Target) -> None:
        del self._targets[target.path]
        target.close()

    def _let_go(self) -> None:
        for target in list(self._targets.values()):
            self._forget(target)

    def _close(self) -> None:
        self._thread.shutdown()
        self._let_go()
        if self._journal is not None:
            self._journal.close()
        if self._packer is not None:
            self._packer.close()
