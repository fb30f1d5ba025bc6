"""Backup: a copy of a data directory that is right whatever a server does with it meanwhile.

Nothing is asked of a server and its lock is not needed. What is relied on is what a crash relies on: a record is in
the log before it is acknowledged; a WAL segment goes only when its rows are in blocks or in a later segment and its
batch ids in control.db; a block goes only when another of the same folder has its rows, or when they are to go; and
no file of either kind changes but for the end of the last segment. So the order is:

1. **One moment of wal/ and control.db.** The segments are listed and opened, a read of control.db is begun (from then
   on SQLite shows it as it is now), and the segments are listed again. If one came or went, all of that is done again.
   Now whatever was acknowledged before is in an opened segment or in a block that is in its folder; an opened file can
   be read after its name has gone; and control.db says of these segments what it would say after a crash in this
   moment. Sizes are taken last, so that control.db speaks of no record that is not in them. `archive/` is looked at
   with the log: what relays are owed as of that control.db is in a segment or in a file of it. Its files never change;
   they are linked before, and those that came since are opened with the segments; those that went since are left out.
2. control.db and the segments up to those sizes are **copied**: the server appends to the last segment, and cuts one
   in which a write failed, so a link would not stay as it is. Half a record at the end of the last one is cut by
   replay.
3. **Blocks are linked**, or copied where no link can be made, folder by folder. If a file goes before it is linked,
   compaction has replaced it, and the folder is listed again: until every file of one listing could be had. What
   earlier listings had and that one has not is dropped: of a block that was replaced by one that was replaced in turn,
   no footer in the backup might say so. Thus a folder is as it was in one moment, which may be later than that of the
   log: rows that a later block has and a segment too are skipped by replay, as the block's footer lists their records.
4. **index.db** comes last, and what it says of blocks that are not in the backup is taken out: it may list one that
   came later and replaces one that the backup has.
5. **backup.json**, with size and CRC32C of every file. Without it, it is no backup.

A backup is a data directory, apart from backup.json, and the blocks that it shares with the one it was made from are
never written to.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from storage.control import check_there
from storage.copying import FileSum, Report, Tally, copy_file, sum_file
from storage.errors import StorageError
from storage.manifest import NAME, Manifest, is_backup, write_manifest
from storage.outbox.archive import SUFFIX
from storage.outbox.segments import FOLDER
from storage.segment import sync_directory

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
"""What the kernel says when a file can be read but not linked: another file system, one without links, other rights."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup has.

    Attributes:
        manifest: every file.
        linked: blocks that share their bytes with the data directory; the others are copies.
        problems: one sentence each, of files that are damaged in the data directory already.
    """

    manifest: Manifest
    linked: int
    problems: tuple[str, ...]


def backup(data_dir: Path, target: Path, report: Report) -> BackupResult:
    """Makes a backup of a data directory, whether a server uses it or not. After a failure nothing of it is left.

    Args:
        data_dir: read only.
        target: a folder that is empty or not there.
        report: told how far it is.

    Raises:
        StorageError: `data_dir` is none, `target` is not empty, or a SQLite file cannot be read.
        OSError: a file cannot be read or written.
    """
    if not (data_dir / "origin").exists():
        raise StorageError(f"{data_dir} is not a data directory of Weir: it has no file `origin`")
    if is_backup(data_dir):
        raise StorageError(f"{data_dir} is a backup itself; copy it as a folder")
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise StorageError(f"the backup would be inside of the data directory {data_dir}; choose a folder elsewhere")
    existed = target.exists()
    if existed and any(target.iterdir()):
        kind = "" if is_backup(target) else f" and has no {NAME}: if it is a backup that was cut short, remove it"
        raise StorageError(f"{target} is not empty{kind}; every backup needs a folder of its own")
    target.mkdir(parents=True, exist_ok=True)
    try:
        if not existed:
            shutil.copymode(data_dir, target)
        return _Backup(data_dir, target, report).make()
    except BaseException:
        for path in target.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            target.rmdir()
        raise


@dataclass(frozen=True, slots=True)
class _Moment:
    """The log and control.db of one moment; see the module's docstring.

    Attributes:
        segments: name, open file and size of each.
        control: a connection that sees control.db of that moment; None if there is no such file.
        archive: names of the files of `archive/`, relative to the data directory.
        new: name and open file of those of them that were not taken before.
    """

    segments: tuple[tuple[str, BinaryIO, int], ...]
    control: sqlite3.Connection | None
    archive: frozenset[str]
    new: tuple[tuple[str, BinaryIO], ...]


class _Backup:
    """One backup on its way."""

    def __init__(self, data_dir: Path, target: Path, report: Report) -> None:
        self._data_dir = data_dir
        self._target = target
        self._files: dict[str, FileSum] = {}
        self._linked: set[str] = set()
        self._problems: list[str] = []
        self._tally = Tally(report)

    def make(self) -> BackupResult:
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        taken = {name for name in _archived(self._data_dir) if self._take_archived(name)}
        with _moment(self._data_dir, taken) as moment:
            folders = sorted((self._data_dir / "blocks").glob("*/*"))
            self._tally.total = sum(size for _, _, size in moment.segments)
            self._tally.total += sum(_size(path) for folder in folders for path in folder.glob("*.parquet"))
            if moment.control is not None:
                self._take_database("control.db", moment.control)
            (self._target / "wal").mkdir()
            for name, file, size in moment.segments:
                self._copy(file, f"wal/{name}", size)
            for name, archived in moment.new:
                (self._target / name).parent.mkdir(parents=True, exist_ok=True)
                self._copy(archived, name)
            self._sum_archive(taken, moment.archive)
        (self._target / "blocks").mkdir()
        # A folder that comes later has only rows that came later, or that the segments have as well.
        for folder in folders:
            self._take_folder(folder)
        self._take_index()
        self._take_quarantine()
        with (self._data_dir / "origin").open("rb") as origin:
            self._copy(origin, "origin")
        for folder in [path for path in self._target.rglob("*") if path.is_dir()]:
            sync_directory(folder)
        manifest = Manifest(made, self._files)
        write_manifest(self._target, manifest)
        sync_directory(self._target.parent)
        return BackupResult(manifest, len(self._linked), tuple(self._problems))

    def _copy(self, source: BinaryIO, name: str, size: int | None = None) -> None:
        self._tally.begin(name)
        self._files[name] = copy_file(source, self._target / name, self._tally, size)

    def _take_database(self, name: str, source: sqlite3.Connection) -> None:
        """Copies a SQLite file as a connection sees it; it is one file then, without a WAL. Raises StorageError."""
        self._tally.begin(name)
        path = self._target / name
        try:
            with closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
                if copy.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise StorageError(f"{self._data_dir / name} is damaged")
                copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise StorageError(f"{self._data_dir / name} cannot be read: {error}") from error
        shutil.copymode(self._data_dir / name, path)
        self._sum_database(name)

    def _sum_database(self, name: str) -> None:
        path = self._target / name
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._tally.total += path.stat().st_size
        self._files[name] = sum_file(path, self._tally)

    def _take_folder(self, folder: Path) -> None:
        """Takes the blocks of a tenant's day as they were in one moment.

        A listing of many files is no moment: it may miss a block that comes and its sources that go meanwhile. So two
        in a row have to say the same.
        """
        place = str(folder.relative_to(self._data_dir))
        (self._target / place).mkdir(parents=True)
        taken: set[str] = set()
        before: set[str] | None = None
        listed: set[str] = set()
        whole = False
        while not whole:
            listed = {f"{place}/{path.name}" for path in folder.glob("*.parquet")}
            before, whole = listed, listed == before
            for name in sorted(listed - taken):
                if self._take_block(name):
                    taken.add(name)
                else:
                    whole = False
        for name in taken - listed:
            (self._target / name).unlink()
            del self._files[name]
            self._linked.discard(name)

    def _take_block(self, name: str) -> bool:
        """Links or copies a block; False if it is gone."""
        self._tally.begin(name)
        source, copy = self._data_dir / name, self._target / name
        try:
            os.link(source, copy)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            size = _size(copy)
            self._files[name] = FileSum(size, 0)  # its CRC is in index.db, or found out once that is read
            self._linked.add(name)
            self._tally.advance(size)
            return True
        try:
            file = source.open("rb")
        except FileNotFoundError:
            return False
        with file:
            self._copy(file, name)
        return True

    def _take_archived(self, name: str) -> bool:
        """Takes a file of `archive/`; False if it is gone."""
        (self._target / name).parent.mkdir(parents=True, exist_ok=True)
        return self._take_block(name)

    def _sum_archive(self, taken: set[str], there: frozenset[str]) -> None:
        """Reads the linked files of `archive/` for their checksums; drops those that are owed to nobody any more."""
        for name in sorted(taken):
            if name not in there:
                (self._target / name).unlink()
                del self._files[name]
            elif name in self._linked:
                self._tally.total += self._files[name].size
                self._tally.begin(name)
                self._files[name] = sum_file(self._target / name, self._tally)
            self._linked.discard(name)

    def _take_index(self) -> None:
        """Copies index.db and sets what it knows against the blocks that were taken."""
        known: dict[str, FileSum] = {}
        blocks = {name for name in self._files if name.startswith("blocks/")}
        if (self._data_dir / "index.db").exists():
            try:
                with closing(_open_snapshot(self._data_dir / "index.db")) as source:
                    self._take_database("index.db", source)
                known = _keep_blocks(self._target / "index.db", blocks)
                self._sum_database("index.db")
            except (sqlite3.Error, StorageError) as error:
                self._problems.append(f"{error}; index.db is left out, a start makes it anew from the blocks")
                self._files.pop("index.db", None)
                (self._target / "index.db").unlink(missing_ok=True)
                known = {}
        for name in sorted(blocks):
            should = known.get(name)
            if name not in self._linked:
                right = should is None or should == self._files[name]
            elif should is None:
                self._tally.total += self._files[name].size
                self._tally.begin(name)
                self._files[name] = sum_file(self._target / name, self._tally)
                continue
            else:
                right = should.size == self._files[name].size
            if should is not None:
                self._files[name] = should
            if not right:
                self._problems.append(f"block {name} is damaged: it is not the file that index.db lists")

    def _take_quarantine(self) -> None:
        """Copies what was set aside, as its notes may be written again; not what is in the backup as a block."""
        folder = self._data_dir / "quarantine"
        for path in sorted(folder.rglob("*")):
            block = str(path.relative_to(folder).with_suffix(".parquet"))
            if block in self._files or not path.is_file():
                continue
            name = str(path.relative_to(self._data_dir))
            (self._target / name).parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as file:
                self._copy(file, name)


@contextmanager
def _moment(data_dir: Path, taken: Collection[str]) -> Iterator[_Moment]:
    """Holds on to log, archive and control.db as they are now. Raises StorageError, OSError.

    `taken`: files of the archive that are held on to already.
    """
    wal = data_dir / "wal"
    while True:
        with ExitStack() as held:
            names, archive = _segments(wal), _archived(data_dir)
            new = [name for name in archive if name not in taken]
            try:
                files = [held.enter_context((wal / name).open("rb")) for name in names]
                opened = [held.enter_context((data_dir / name).open("rb")) for name in new]
            except FileNotFoundError:
                continue
            control = None
            check_there(data_dir)
            if (data_dir / "control.db").exists():
                control = held.enter_context(closing(_open_snapshot(data_dir / "control.db")))
            if (_segments(wal), _archived(data_dir)) != (names, archive):
                continue
            sizes = [os.fstat(file.fileno()).st_size for file in files]
            segments = tuple(zip(names, files, sizes, strict=True))
            yield _Moment(segments, control, frozenset(archive), tuple(zip(new, opened, strict=True)))
            return


def _archived(data_dir: Path) -> list[str]:
    """The files of `archive/`, relative to the data directory: whole segments, packed or not."""
    found = (data_dir / FOLDER).glob("*/*/*/*")
    return sorted(str(path.relative_to(data_dir)) for path in found if path.name.endswith((SUFFIX, ".wal")))


def _segments(wal: Path) -> list[str]:
    return sorted(path.name for path in wal.glob("*.wal"))


def _size(path: Path) -> int:
    """Bytes of a file, 0 if it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _open_snapshot(path: Path) -> sqlite3.Connection:
    """A connection that sees a SQLite file, with its WAL, as it is now. Raises StorageError.

    It may write, though it never does: one that may not leaves files behind where no server runs.
    """
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be opened: {error}") from error
    try:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # with its first read a transaction begins to see
    except sqlite3.Error as error:
        db.close()
        raise StorageError(f"{path} cannot be read: {error}") from error
    return db


def _keep_blocks(path: Path, present: set[str]) -> dict[str, FileSum]:
    """Takes other blocks out of a copy of index.db; what it says of those that are left. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path)) as db, db:
        listed = {name: FileSum(size, crc) for name, size, crc in db.execute("SELECT path, size, crc FROM blocks")}
        db.executemany("DELETE FROM blocks WHERE path = ?", [(name,) for name in listed.keys() - present])
    return {name: file for name, file in listed.items() if name in present}
