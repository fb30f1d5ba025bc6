"""Restore: a backup becomes a data directory again.

Everything is copied to `restore.tmp/` inside of the data directory and checked on the way; only then the files get
their places, `origin` last. A start refuses a directory that has `restore.tmp` and no `origin` (storage/lock.py), so
half a restore is never taken for a whole one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from storage.copying import Report, Tally, copy_file
from storage.errors import StorageError
from storage.lock import RESTORING, DirectoryLock
from storage.manifest import Manifest
from storage.segment import sync_directory

_NOTHING = frozenset({"lock", "lost+found", RESTORING})
"""What may be in a directory that counts as empty."""
_NAMED = 5
"""Files that an error text names at most."""


def restore(source: Path, manifest: Manifest, data_dir: Path, *, allow_damage: bool, report: Report) -> list[str]:
    """Puts a backup in place; returns what is damaged in it, one sentence a file (nothing without `allow_damage`).

    Args:
        source: the backup; only read, and not shared: all files are copies.
        manifest: what it consists of.
        data_dir: a directory that is empty or not there.
        allow_damage: take files as they are, and do without those that are missing.
        report: told how far it is.

    Raises:
        DirectoryLocked: a server is using `data_dir`.
        StorageError: it is not empty; or the backup is damaged: then `data_dir` stays empty.
        OSError: a file cannot be read or written.
    """
    if data_dir.exists() and not (data_dir / "lock").exists() and not _is_cut_short(data_dir):
        _refuse_used(data_dir)  # before a lock file is made in someone else's folder
    lock = DirectoryLock(data_dir)
    try:
        if _is_cut_short(data_dir):
            _clear(data_dir, manifest)
        _refuse_used(data_dir)
        staging = data_dir / RESTORING
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir()
        try:
            problems = _copy_all(source, staging, manifest, report)
            if problems and not allow_damage:
                raise StorageError(_refusal(source, problems))
        except BaseException:
            shutil.rmtree(staging)
            raise
        # The order is that of names but for origin.
        for path in sorted(staging.iterdir(), key=lambda path: (path.name == "origin", path.name)):
            path.rename(data_dir / path.name)
        sync_directory(data_dir)
        staging.rmdir()
    finally:
        lock.release()
    return problems


def _is_cut_short(data_dir: Path) -> bool:
    """Whether a restore to this directory, which was empty then, did not come to its end."""
    return (data_dir / RESTORING).exists() and not (data_dir / "origin").exists()


def _clear(data_dir: Path, manifest: Manifest) -> None:
    """Removes what such a restore had put in place already. Raises OSError."""
    for name in {name.partition("/")[0] for name in manifest.files} | {"wal", "blocks"}:
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _refuse_used(data_dir: Path) -> None:
    """Raises StorageError for a directory with anything in it, and says what."""
    found = sorted(path.name + "/" * path.is_dir() for path in data_dir.iterdir() if not _is_nothing(path))
    if found:
        shown = ", ".join(found[:_NAMED]) + ", ..." * (len(found) > _NAMED)
        raise StorageError(f"{data_dir} is not empty, it holds {shown}; a backup is restored to an empty folder only")


def _is_nothing(path: Path) -> bool:
    # A server that would not start may have left folders.
    return path.name in _NOTHING or (path.name in {"wal", "blocks"} and path.is_dir() and not any(path.iterdir()))


def _copy_all(source: Path, staging: Path, manifest: Manifest, report: Report) -> list[str]:
    """Copies every file; what is wrong with which."""
    problems = []
    tally = Tally(report, manifest.size)
    for folder in ("wal", "blocks"):
        (staging / folder).mkdir()
    for name, should in manifest.files.items():
        tally.begin(name)
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = (source / name).open("rb")
        except FileNotFoundError:
            problems.append(f"{name} is missing")
            continue
        with file:
            found = copy_file(file, target, tally)
        if found != should:
            problems.append(f"{name} is damaged: it is not the file that was backed up")
    for made in [staging, *(path for path in staging.rglob("*") if path.is_dir())]:
        sync_directory(made)
    return problems


def _refusal(source: Path, problems: list[str]) -> str:
    shown = "; ".join(problems[:_NAMED]) + "; ..." * (len(problems) > _NAMED)
    return f"the backup {source} is damaged ({len(problems)} files): {shown}. Nothing was restored"
