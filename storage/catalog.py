"""index.db: which blocks and streams there are. Remade from the blocks' footers whenever it is lost."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import msgspec
import numpy as np

from storage.batch import I64, Labels
from storage.blockread import read_footer, stream_bounds
from storage.blockwrite import Written
from storage.errors import CorruptBlock, CorruptCatalog, StorageError
from storage.footer import Footer, OriginRange
from storage.setaside import SetAside
from storage.unwritable import refusal

log = logging.getLogger("weir.storage")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    tenant TEXT NOT NULL, id BLOB NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    path TEXT PRIMARY KEY, tenant TEXT NOT NULL, day INTEGER NOT NULL, generation INTEGER NOT NULL,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL, origins TEXT NOT NULL,
    stream_ids BLOB NOT NULL, stream_min BLOB NOT NULL, stream_max BLOB NOT NULL,
    sources TEXT NOT NULL, deletes TEXT NOT NULL
) WITHOUT ROWID;
"""
VERSION = 2
_NO_IDS = np.zeros(0, np.uint64)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR)
"""Error codes that say something about the file. Others pass (no room, no rights), and nothing is remade for them."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockRow:
    """A block as index.db has it.

    Attributes:
        path: relative to the data directory.
        tenant: whose.
        day, generation, rows, origins, sources, deletes: as in the footer.
        size: bytes of the file.
        crc: its CRC32C.
        stream_ids: uint64[k].
        stream_min, stream_max: int64[k], ns.
    """

    path: str
    tenant: str
    day: int
    generation: int
    rows: int
    size: int
    crc: int
    origins: tuple[OriginRange, ...]
    stream_ids: np.ndarray
    stream_min: I64
    stream_max: I64
    sources: tuple[str, ...] = ()
    deletes: frozenset[str] = frozenset()


def _missing(ids: np.ndarray, known: np.ndarray) -> I64:
    """int64[m]: which of some ids are not among the known ones, in order of the ids."""
    order: I64 = np.argsort(ids)
    if not len(known):
        return order
    places = np.minimum(np.searchsorted(known, ids[order]), len(known) - 1)
    new: I64 = order[known[places] != ids[order]]
    return new


def _stream_rows(footer: Footer, which: I64) -> list[tuple[str, bytes, str]]:
    """Rows of the table `streams`, given the places of streams in the footer."""
    ids, streams = footer.stream_ids, tuple(footer.streams)
    return [
        (footer.tenant, ids[at].to_bytes(8, "big"), msgspec.json.encode(streams[at]).decode()) for at in which.tolist()
    ]


def block_row(path: str, block: Written) -> BlockRow:
    """The catalog's row for a block at a path relative to the data directory."""
    footer = block.footer
    low, high = stream_bounds(footer)
    return BlockRow(
        path=path,
        tenant=footer.tenant,
        day=footer.day,
        generation=footer.generation,
        rows=footer.rows,
        size=block.size,
        crc=block.crc,
        origins=footer.origins,
        stream_ids=np.array(footer.stream_ids, np.uint64),
        stream_min=low,
        stream_max=high,
        sources=footer.sources,
        deletes=frozenset(footer.deletes),
    )


class Catalog:
    """index.db. Used by storage's own threads only, never by the event loop."""

    def __init__(self, data_dir: Path, aside: SetAside | None = None) -> None:
        """Opens or makes it; brings it in line with the files that are there.

        Blocks whose footer cannot be read are set aside, or without `aside` passed over.

        Raises StorageError, OSError.
        """
        self._data_dir = data_dir
        self._aside = aside
        self._lock = threading.Lock()
        self._listed: dict[str, np.ndarray] = {}
        """Of each tenant ids whose streams were put into the file since it was opened: uint64, ascending."""
        self._db = self._open()
        try:
            self._follow_files()
        except sqlite3.Error as error:
            self._db.close()
            raise StorageError(f"index.db cannot be written: {error}") from error

    def _open(self) -> sqlite3.Connection:
        path = self._data_dir / "index.db"
        try:
            return open_database(path, _SCHEMA, VERSION)
        except CorruptCatalog as error:
            log.warning("%s; it is remade from the blocks", error)
            remove_index(self._data_dir)
            return open_database(path, _SCHEMA, VERSION)

    def _follow_files(self) -> None:
        """Brings the catalog in line with the files that are there.

        Blocks that a crash kept from the catalog are added, those whose file is gone forgotten; temporary files go, and
        so do blocks that others replace.
        """
        root = self._data_dir / "blocks"
        for temporary in root.glob("*/*/*.tmp"):
            temporary.unlink()
        present = {str(path.relative_to(self._data_dir)): path for path in root.glob("*/*/*.parquet")}
        known = {row[0]: json.loads(row[1]) for row in self._db.execute("SELECT path, sources FROM blocks")}
        found = self._new_footers({name: present[name] for name in sorted(present.keys() - known.keys())})
        replaced = {source for name, sources in known.items() if name in present for source in sources}
        replaced |= {source for footer in found.values() for source in footer.sources}
        gone = sorted(name for name, path in present.items() if path.stem in replaced)
        new = {name: footer for name, footer in found.items() if name not in gone}
        self.add([(name, Written(footer, *file_checksum(present[name]))) for name, footer in new.items()], gone)
        for name in gone:
            present.pop(name).unlink()
            log.info("block %s is removed: another holds its rows", name)
        missing = sorted(known.keys() - present.keys() - set(gone))
        for name in missing:
            if (self._data_dir / "quarantine" / name).exists():
                continue
            log.error("block %s is in index.db but its file is gone: its rows are lost", name)
        self.add([], missing)
        self._prune(root)

    def _prune(self, root: Path) -> None:
        """Forgets streams that no block has any more, and folders of days without blocks: of both there come years."""
        known: dict[str, list[bytes]] = {}
        for tenant, number in self._db.execute("SELECT tenant, id FROM streams ORDER BY tenant, id"):
            known.setdefault(tenant, []).append(number)
        ids = {tenant: np.frombuffer(b"".join(found), ">u8").astype(np.uint64) for tenant, found in known.items()}
        used = {tenant: np.zeros(len(found) + 1, np.bool_) for tenant, found in ids.items()}
        last: tuple[str, bytes] | None = None
        for tenant, some in self._db.execute("SELECT tenant, stream_ids FROM blocks ORDER BY path"):
            if (tenant, some) != last and tenant in ids:  # neighbours often have the same streams
                used[tenant][np.searchsorted(ids[tenant], np.frombuffer(some, "<u8"))] = True
            last = (tenant, some)
        with self._lock, self._db:
            for tenant, numbers in known.items():
                gone = [(tenant, numbers[at]) for at in np.flatnonzero(~used[tenant][:-1]).tolist()]
                self._db.executemany("DELETE FROM streams WHERE tenant = ? AND id = ?", gone)
            self._listed.clear()
        for folder in root.glob("*/*"):
            with contextlib.suppress(OSError):  # it is not empty, or no folder
                folder.rmdir()

    def _new_footers(self, paths: dict[str, Path]) -> dict[str, Footer]:
        """The footers of those that have a good one."""
        found = {}
        for name, path in paths.items():
            try:
                found[name] = read_footer(path)
            except CorruptBlock as error:
                if self._aside is not None:
                    self._aside.take_unread(path, str(error))
                else:
                    log.error("%s; it is passed over", error)  # noqa: TRY400 - the message names file and fault
        return found

    def add(self, blocks: Iterable[tuple[str, Written]], gone: Iterable[str] = ()) -> list[BlockRow]:
        """Adds blocks, given as (path relative to the data directory, block), in one transaction.

        `gone`: paths of blocks that are forgotten in the same transaction.

        Raises StorageUnavailable if index.db cannot be written.
        """
        try:
            return self._add(blocks, gone)
        except sqlite3.Error as error:
            raise refusal(error, "index.db") from error

    def _add(self, blocks: Iterable[tuple[str, Written]], gone: Iterable[str]) -> list[BlockRow]:
        rows = []
        with self._lock:
            listed = self._listed.copy()
            with self._db:
                self._db.executemany("DELETE FROM blocks WHERE path = ?", [(path,) for path in gone])
                for path, block in blocks:
                    row, footer = block_row(path, block), block.footer
                    rows.append(row)
                    known = listed.get(footer.tenant, _NO_IDS)
                    new = _missing(row.stream_ids, known)
                    if len(new):
                        self._db.executemany(
                            "INSERT OR IGNORE INTO streams VALUES (?, ?, ?)", _stream_rows(footer, new)
                        )
                        listed[footer.tenant] = np.union1d(known, row.stream_ids[new])
                    self._insert(row)
            self._listed = listed
        return rows

    def _insert(self, row: BlockRow) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.path,
                row.tenant,
                row.day,
                row.generation,
                row.rows,
                row.size,
                row.crc,
                json.dumps([(item.origin, item.first, item.last) for item in row.origins]),
                row.stream_ids.astype("<u8").tobytes(),
                row.stream_min.astype("<i8").tobytes(),
                row.stream_max.astype("<i8").tobytes(),
                json.dumps(row.sources),
                json.dumps(sorted(row.deletes)),
            ),
        )

    def streams(self) -> Iterator[tuple[str, int, Labels]]:
        """(tenant, id, labels) of every stream that a block has."""
        for tenant, number, labels in self._db.execute("SELECT tenant, id, labels FROM streams"):
            yield tenant, int.from_bytes(number, "big"), tuple((name, value) for name, value in json.loads(labels))

    def blocks(self) -> Iterator[BlockRow]:
        """Every block, in order of arrival."""
        for row in self._db.execute("SELECT * FROM blocks ORDER BY generation, path"):
            path, tenant, day, generation, rows, size, crc, origins, ids, low, high, sources, deletes = row
            yield BlockRow(
                path=path,
                tenant=tenant,
                day=day,
                generation=generation,
                rows=rows,
                size=size,
                crc=crc,
                origins=tuple(OriginRange(*item) for item in json.loads(origins)),
                stream_ids=np.frombuffer(ids, "<u8"),
                stream_min=np.frombuffer(low, "<i8"),
                stream_max=np.frombuffer(high, "<i8"),
                sources=tuple(json.loads(sources)),
                deletes=frozenset(json.loads(deletes)),
            )

    def crc_of(self, path: str) -> int | None:
        """The CRC32C of the file of a listed block. Raises StorageError."""
        try:
            with self._lock:
                found = self._db.execute("SELECT crc FROM blocks WHERE path = ?", (path,)).fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"index.db cannot be read: {error}") from error
        return None if found is None else int(found[0])

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def listed_blocks(data_dir: Path) -> dict[str, int]:
    """Path -> CRC32C of the blocks in index.db as it stands. Raises CorruptCatalog, StorageError."""
    db = open_database(data_dir / "index.db", _SCHEMA, VERSION)
    try:
        return dict(db.execute("SELECT path, crc FROM blocks"))
    except sqlite3.DatabaseError as error:
        raise CorruptCatalog(f"{data_dir / 'index.db'} cannot be read: {error}") from error
    finally:
        db.close()


def remove_index(data_dir: Path) -> None:
    """Takes index.db away, so that the next Catalog makes it anew. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        data_dir.joinpath(f"index.db{suffix}").unlink(missing_ok=True)


def file_checksum(path: Path) -> tuple[int, int]:
    """(bytes, CRC32C) of a file. Raises OSError."""
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            crc = google_crc32c.extend(crc, piece)
    return size, crc


def open_database(
    path: Path,
    schema: str,
    version: int,
    *,
    older: Collection[int] = (),
    synchronous: str = "NORMAL",
    may_be_new: bool = True,
) -> sqlite3.Connection:
    """A SQLite file in WAL mode with the given tables; one of an `older` version has some of them, and gets the rest.

    Raises:
        CorruptCatalog: it is not one, is damaged, is of another version, or has no tables though it is not new.
        StorageError: it cannot be opened now: a full disk, rights, another process.
    """
    try:
        db = sqlite3.connect(path, check_same_thread=False)
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be opened: {error}") from error
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0 and not may_be_new:
            raise CorruptCatalog(f"{path} has lost its contents")
        if found not in (0, version, *older):
            raise CorruptCatalog(f"{path} has version {found}, which this version of Weir does not know")
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise CorruptCatalog(f"{path} is damaged")
        db.executescript(schema)
        if found != version:
            db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    except (sqlite3.DatabaseError, CorruptCatalog) as error:
        with contextlib.suppress(sqlite3.Error):
            db.close()
        if isinstance(error, CorruptCatalog):
            raise
        kind = CorruptCatalog if error.sqlite_errorcode & 0xFF in _DAMAGED else StorageError
        raise kind(f"{path} cannot be opened: {error}") from error
    return db
