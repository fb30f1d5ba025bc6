"""How far each file is, on disk: positions.json, written as a whole and put in its place by a rename.

Batches that are on their way say where their files are behind them (spool.py); a position here is behind the last
batch that is acknowledged and was counted in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.client.errors import BadArgument
from gateway.collect.prints import Print

NAME = "positions.json"


class Position(msgspec.Struct, frozen=True):
    """A file and how far it is.

    Attributes:
        key: its number here.
        path: the name under which it was found, which its lines have as a label.
        device: of its inode.
        inode: of it.
        print: the position, and the content before it.
        source: the pattern that it was found by.
        form: what it is: text, docker, cri; "" while that is not known.
        packed: it is gzip.
        is_done: nothing more of it is read.
        said: by stream, the last time (ns) that one of its records said, and how many before it in a row did.
        touched: ns since the epoch, when it was last there or read.
    """

    key: int
    path: str
    device: int
    inode: int
    print: Print = Print()
    source: str = ""
    form: str = ""
    packed: bool = False
    is_done: bool = False
    said: Mapping[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    touched: int = 0


class Positions(msgspec.Struct, frozen=True):
    """All of them.

    Attributes:
        upto: the number of the last batch that is counted in; 0: none.
        files: by key, ascending.
    """

    upto: int = 0
    files: Sequence[Position] = ()


def read_positions(folder: Path) -> Positions:
    """The positions in a folder; none where there is no file yet.

    Raises:
        BadArgument: the file is none of positions.
        OSError: it cannot be read.
    """
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return Positions()
    try:
        return msgspec.json.decode(data, type=Positions)
    except msgspec.MsgspecError as error:
        raise BadArgument(f"{folder / NAME} is no file of positions: {error}") from error


def write_positions(folder: Path, positions: Positions) -> None:
    """Puts positions in place of those that are there; durable on return. Raises OSError."""
    data = msgspec.json.format(msgspec.json.encode(positions), indent=1)
    fresh = folder / f"{NAME}.new"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    fresh.rename(folder / NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Makes names in a folder durable. Raises OSError."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
