"""The file that an export is written to, and the note beside it that says how to go on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from gateway.cli.output import Form, OutputFailed, Printer
from gateway.client import BadArgument
from gateway.client.export import Mark, Wanted


class Note(msgspec.Struct, frozen=True):
    """How far a file is.

    Attributes:
        query, start, end, format, forward, together, columns, limit: of the export.
        cursor: where it goes on.
        lines: records in the file.
        size: bytes of it.
        tenant: that was named, "" if none was; None: the note does not say.
    """

    query: str
    start: int
    end: int
    format: str
    forward: bool
    together: bool
    columns: tuple[str, ...]
    limit: int
    cursor: str | None
    lines: int
    size: int
    tenant: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return 0 < self.limit <= self.lines

    def wanted(self) -> Wanted:
        """The export, from where it is."""
        limit = self.limit - self.lines if self.limit else 0
        return Wanted(
            self.query,
            self.start,
            self.end,
            self.format,
            self.forward,
            self.together,
            self.columns,
            limit,
            self.cursor,
        )


class Target(Protocol):
    """Where records go."""

    def write(self, records: bytes, mark: Mark) -> None:
        """Takes records and the mark behind them. Raises OutputFailed."""

    def done(self) -> None:
        """All is written."""


class Screen:
    """Stdout."""

    def __init__(self) -> None:
        self._printer = Printer(Form.RAW, lambda _: None) if sys.stdout.isatty() else None

    def write(self, records: bytes, mark: Mark) -> None:
        """Raises BrokenPipeError: whoever read stdout is gone; OutputFailed."""
        del mark
        if self._printer is not None and records:
            lines = records.decode().removesuffix("\n").split("\n")
            self._printer.texts((line.removesuffix("\r") for line in lines), json=True)
            return
        try:
            sys.stdout.buffer.write(records)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(str(error)) from error

    def done(self) -> None:
        """Nothing is held back."""


class File:
    """A file. Its note is written behind what it speaks of, and goes when all is there."""

    def __init__(self, path: Path, wanted: Wanted, tenant: str, note: Note | None = None) -> None:
        """A new file, or with a note what is to be gone on with: what came behind the note is cut off.

        Raises:
            OutputFailed: it cannot be opened.
        """
        self._wanted = wanted
        self._tenant = tenant
        self._note = note_path(path)
        self._limit = wanted.limit if note is None else note.limit
        try:
            self._file: BinaryIO = path.open("wb" if note is None else "r+b")
            if note is not None:
                self._file.truncate(note.size)
                self._file.seek(note.size)
        except OSError as error:
            raise OutputFailed(f"{path}: {error.strerror}") from error

    def write(self, records: bytes, mark: Mark) -> None:
        """Raises OutputFailed."""
        wanted = self._wanted
        try:
            self._file.write(records)
            self._file.flush()
            note = Note(
                wanted.query,
                wanted.start,
                wanted.end,
                wanted.format,
                wanted.forward,
                wanted.together,
                wanted.columns,
                self._limit,
                mark.cursor or wanted.cursor,
                mark.lines,
                self._file.tell(),
                self._tenant,
            )
            fresh = self._note.with_name(self._note.name + ".new")
            fresh.write_bytes(msgspec.json.encode(note))
            fresh.replace(self._note)
        except OSError as error:
            raise OutputFailed(str(error)) from error

    def done(self) -> None:
        """Raises OutputFailed: the file is not safe on disk."""
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise OutputFailed(str(error)) from error
        self._note.unlink(missing_ok=True)


def note_path(path: Path) -> Path:
    """The note of a file."""
    return path.with_name(path.name + ".resume")


def read_note(path: Path, query: str, tenant: str) -> Note:
    """The note of a file that is to be gone on with.

    Raises:
        BadArgument: there is none, or it is of another query or tenant, or the file is shorter than it says.
    """
    try:
        note = msgspec.json.decode(note_path(path).read_bytes(), type=Note)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise BadArgument(f"there is nothing to resume: {path} or {note_path(path)} is not there") from error
    except (OSError, msgspec.DecodeError) as error:
        raise BadArgument(f"{note_path(path)} cannot be read: {error}") from error
    if note.query != query:
        raise BadArgument(f"{path} is an export of another query: {note.query}")
    if note.tenant is None:  # lines of two tenants in one file are worse than a new export
        raise BadArgument(f"{note_path(path)} does not say of which tenant {path} is: begin anew with another name")
    if note.tenant != tenant:
        of_it = f"of the tenant {note.tenant}" if note.tenant else "without a tenant"
        raise BadArgument(f"{path} is an export {of_it}: give the same --org-id (WEIR_ORG_ID)")
    if size < note.size:
        raise BadArgument(f"{path} has been cut: it has {size} bytes and had {note.size}")
    return note
