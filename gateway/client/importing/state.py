"""How far the import of a file is, on disk: the line after each acknowledged batch is durable before the next is told.

The file has a JSON object a line: first what is imported and how, then after each batch where the next begins. A last
line that a power cut left half is not believed.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import Self

import msgspec

from gateway.client.errors import BadArgument
from gateway.client.importing.entries import Carry

SUFFIX = ".weir-import"


class _Begun(msgspec.Struct, frozen=True):
    run: str
    identity: str
    options: str
    began: int
    modified: int
    sizes: list[int]
    done: int = 0
    raw: int | None = None
    bump: int = 0
    lines: int = 0
    rejected: int = 0


class _Step(msgspec.Struct, frozen=True):
    done: int
    raw: int | None
    bump: int
    lines: int
    rejected: int


class Importing:
    """The state of one file's import.

    Attributes:
        run: the namespace of its batch ids.
        began: when it was begun, ns; lines without any time get it.
        modified: the file's own time then, ns.
        done: where the first batch that is not acknowledged begins.
        carry: for that batch.
        lines: acknowledged, those of earlier runs included.
        rejected: of these not stored.
    """

    def __init__(self, path: Path | None, begun: _Begun) -> None:
        self._path = path
        self._file = -1
        self._begun = begun
        self.run = uuid.UUID(begun.run)
        self.began, self.modified = begun.began, begun.modified
        self.done, self.carry = begun.done, Carry(begun.raw, begun.bump)
        self.lines, self.rejected = begun.lines, begun.rejected

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def sizes(self) -> list[int]:
        """Ends of the parts of a growing file, bytes: each run has taken it as it was then, and no batch spans two."""
        return self._begun.sizes

    def acknowledged(self, end: int, carry: Carry, lines: int, rejected: int) -> None:
        """A batch is stored: `end` is where it ends, `lines` and `rejected` what was in it. Durable on return."""
        self.done, self.carry = end, carry
        self.lines += lines
        self.rejected += rejected
        if self._file >= 0:
            step = _Step(end, carry.raw, carry.bump, self.lines, self.rejected)
            os.write(self._file, msgspec.json.encode(step) + b"\n")
            os.fsync(self._file)

    def write(self) -> None:
        """Puts the state as it is now on disk, in one go."""
        if self._path is None:
            return
        begun = msgspec.structs.replace(
            self._begun,
            done=self.done,
            raw=self.carry.raw,
            bump=self.carry.bump,
            lines=self.lines,
            rejected=self.rejected,
        )
        fresh = self._path.with_name(self._path.name + ".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            os.write(file, msgspec.json.encode(begun) + b"\n")
            os.fsync(file)
            fresh.rename(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            os.close(file)
            raise
        self._file = file


def state_path(source: Path, folder: Path | None) -> Path:
    """Where the state of a file's import is: beside the file, or in a folder for states of any files."""
    if folder is None:
        return source.with_name(source.name + SUFFIX)
    whole = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder / f"{source.name}-{whole}{SUFFIX}"


def open_state(
    path: Path | None, *, identity: str, options: str, size: int, modified: int, now: int, restart: bool
) -> Importing:
    """The state of an import, begun or gone on with.

    Args:
        path: of its file; None keeps it in memory.
        identity: what tells the source from another.
        options: a digest of the flags on which batches depend.
        size: bytes of the source now, 0 if they are not known; it is imported up to there.
        modified: the source's own time, ns.
        now: ns.
        restart: forget what is there.

    Raises:
        BadArgument: it is there and of other flags, or no state at all.
        OSError: it cannot be read or written.
    """
    found = None if path is None or restart else _read(path)
    if found is not None and found.identity == identity and (size >= found.done or not found.sizes[-1]):
        if found.options != options:
            raise BadArgument(
                f"{path} is of an import with other flags: use those, or begin anew with --restart, "
                "or keep this one's state apart with --state DIR"
            )
        # What was begun is ended as it was cut then; what came since begins after it.
        ends = [end for end in found.sizes if end > found.done]
        found = msgspec.structs.replace(found, sizes=[*ends, size] if size > found.sizes[-1] else ends or [size])
    else:
        found = _Begun(str(uuid.uuid4()), identity, options, now, modified or now, [size])
    state = Importing(path, found)
    state.write()
    return state


def _read(path: Path) -> _Begun | None:
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    if not lines:
        return None
    try:
        begun = msgspec.json.decode(lines[0], type=_Begun)
        if len(lines) == 1:
            return begun
        step = msgspec.json.decode(lines[-1], type=_Step)
    except msgspec.MsgspecError as error:
        raise BadArgument(f"{path} is no state of an import: {error}") from error
    return msgspec.structs.replace(
        begun, done=step.done, raw=step.raw, bump=step.bump, lines=step.lines, rejected=step.rejected
    )
