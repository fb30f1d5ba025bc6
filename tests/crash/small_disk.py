"""Disks that can be full: a small tmpfs in a mount namespace of its own, and a limit on the size of files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.server import ServerProcess

ROOT = Path(__file__).parents[2]


class Unavailable(Exception):  # noqa: N818 - a state of this machine, not a mistake
    """This machine does not let us make such a disk; the text says why."""


class Disk(Protocol):
    """A disk for one server."""

    @property
    def folder(self) -> Path:
        """Where the server sees it."""

    @property
    def pid(self) -> int | None:
        """A process in whose namespaces it is; None: it is there for everybody."""

    def fill(self, server: ServerProcess, leave: int) -> None:
        """Leaves room for about `leave` bytes."""

    def make_room(self, server: ServerProcess) -> None:
        """Takes away what filled it."""

    def close(self) -> None:
        """Takes the disk away."""


class SmallTmpfs:
    """A tmpfs of `size` bytes that lives as long as this object, whatever becomes of the servers on it."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir()
        self.folder = folder
        # Root that may mount needs no user namespace, and there are machines that give none.
        why = []
        for own_users in (True, False):
            try:
                self._holder = _mounted(folder, size, own_users=own_users)
                break
            except Unavailable as reason:
                why.append(str(reason))
        else:
            raise Unavailable(" and ".join(why))
        self._user = ["--user"] if own_users else []
        self.inside = Path(f"/proc/{self._holder.pid}/root{folder}")
        """The folder from outside: as `folder`, that is what lies below the mount."""

    @property
    def pid(self) -> int:
        """A process in whose namespaces it is."""
        return self._holder.pid

    @property
    def wrapper(self) -> Sequence[str]:
        """The command under which another command sees it."""
        target = str(self._holder.pid)
        return ["nsenter", "--target", target, *self._user, "--mount", "--wd", "--preserve-credentials", "--"]

    def free(self) -> int:
        found = os.statvfs(self.inside)
        return found.f_bavail * found.f_frsize

    def fill(self, _server: ServerProcess, leave: int) -> None:
        size = self.free() - leave
        name = self.inside / f"filler-{len(list(self.inside.glob('filler-*')))}"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            if size > 0:
                os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)

    def make_room(self, _server: ServerProcess) -> None:
        for filler in self.inside.glob("filler-*"):
            filler.unlink()

    def close(self) -> None:
        self._holder.communicate()


def _mounted(folder: Path, size: int, *, own_users: bool) -> subprocess.Popen[bytes]:
    """A process in whose mount namespace, and user namespace if asked for, the tmpfs is, until its input ends."""
    script = f'mount -t tmpfs -o size={size} tmpfs "$1" && echo mounted && exec cat'
    users = ["--user", "--map-root-user"] if own_users else []
    command = ["unshare", *users, "--mount", "sh", "-c", script, "sh", str(folder)]
    try:
        # The folder is the repository, because that is where servers are to start.
        holder = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise Unavailable("there is no unshare command") from error
    assert holder.stdout is not None
    if holder.stdout.readline() != b"mounted\n":
        _, said = holder.communicate()
        raise Unavailable(f"no {'user and ' * own_users}mount namespace: {said.decode().strip()}")
    return holder


class FileSizeLimit:
    """A folder where, while it is "full", no file of the server can grow past a few bytes (RLIMIT_FSIZE)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.pid = None

    def fill(self, server: ServerProcess, leave: int) -> None:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (leave, hard))

    def make_room(self, server: ServerProcess) -> None:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def close(self) -> None:
        """The test's folder is removed by pytest."""
