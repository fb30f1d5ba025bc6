"""Checking a data directory or a backup: every record of the log and every page of every block against its checksum."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from storage.catalog import Catalog, listed_blocks, remove_index
from storage.control import Control, check_there
from storage.copying import Report, Tally, sum_file
from storage.errors import CorruptBlock, CorruptCatalog, CorruptSegment, StorageError
from storage.footer import decode_data_crc, decode_footer
from storage.lock import DirectoryLock, read_origin
from storage.manifest import Manifest, is_backup, read_manifest
from storage.outbox.archive import SUFFIX, read_frame, read_index
from storage.record import decode
from storage.segment import Damage, Kind, record_in, scan_segment

_PIECE = 1 << 20


@dataclass(slots=True)
class VerifyResult:
    """What was looked at and what is wrong.

    Attributes:
        made: when the backup was made; empty for a data directory.
        problems: one sentence each, naming file and place; a torn tail of the log is none, nor is a block
            that index.db does not list: what a crash leaves is put right by the next start.
    """

    made: str = ""
    segments: int = 0
    archives: int = 0
    records: int = 0
    blocks: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def verify(data_dir: Path, *, rebuild: bool, report: Report) -> VerifyResult:
    """Reads everything once.

    Args:
        data_dir: a data directory that no server is using, or a backup, which is only read.
        rebuild: make index.db anew from the blocks' footers.
        report: told how far it is.

    Raises:
        DirectoryLocked: a server is using it.
        StorageError: it is neither, or its files cannot be opened.
        OSError: a file cannot be read.
    """
    if is_backup(data_dir):
        if rebuild:
            raise StorageError(f"{data_dir} is a backup, which is not changed; rebuild what is restored from it")
        return _verify_backup(data_dir, read_manifest(data_dir), report)
    if not (data_dir / "origin").exists():
        raise StorageError(f"{data_dir} is not a data directory of Weir: it has no file `origin`")
    lock = DirectoryLock(data_dir)
    try:
        result = VerifyResult()
        tally = Tally(report, _size(data_dir))
        _verify_log(data_dir, result, tally)
        listed = _listed(data_dir, result, rebuild=rebuild)
        if rebuild:
            remove_index(data_dir)
            Catalog(data_dir).close()
        found = _verify_blocks(data_dir, listed, "that index.db lists", result, tally)
        for name in sorted(listed.keys() - found):
            aside = (data_dir / "quarantine" / name).exists()
            lost = "was set aside in quarantine/ as damaged" if aside else "is gone: its rows are lost"
            result.problems.append(f"block {name} is in index.db but its file {lost}")
        _verify_control(data_dir, result)
        return result
    finally:
        lock.release()


def _verify_backup(folder: Path, manifest: Manifest, report: Report) -> VerifyResult:
    """Sets every file against the list, and looks into log, blocks and SQLite files besides."""
    result = VerifyResult(made=manifest.made)
    blocks = {name: file.crc for name, file in manifest.files.items() if name.startswith("blocks/")}
    others = {name: file for name, file in manifest.files.items() if name not in blocks}
    tally = Tally(report, _size(folder) + sum(file.size for file in others.values()))
    changed = set()
    for name, should in others.items():
        tally.begin(name)
        if (folder / name).exists() and sum_file(folder / name, tally) != should:
            changed.add(name)
            result.problems.append(f"{name} is damaged: it is not the file that was backed up")
    result.problems += [f"{name} is missing" for name in manifest.files if not (folder / name).exists()]
    if (folder / "origin").exists() and "origin" not in changed:
        _verify_log(folder, result, tally)
    _verify_blocks(folder, blocks, "that was backed up", result, tally)
    for name in sorted({"control.db", "index.db"} & others.keys() - changed):
        _verify_database(folder / name, result)
    return result


def _size(folder: Path) -> int:
    """Bytes of log, archive and blocks."""
    log = [*folder.glob("wal/*.wal"), *_archive(folder)]
    return sum(path.stat().st_size for path in [*log, *folder.glob("blocks/*/*/*.parquet")])


def _archive(folder: Path) -> list[Path]:
    """The files of segments that left the log and are owed to others."""
    return sorted(path for path in folder.glob("archive/*/*/*/*") if path.name.endswith((SUFFIX, ".wal")))


def _verify_log(data_dir: Path, result: VerifyResult, tally: Tally) -> None:
    origin = read_origin(data_dir)
    paths = sorted((data_dir / "wal").glob("*.wal"))
    for path in paths:
        tally.begin(f"wal/{path.name}")
        result.segments += 1
        try:
            _verify_segment(path, origin, result, last=path == paths[-1])
        except CorruptSegment as error:
            result.problems.append(str(error))
        tally.advance(path.stat().st_size)
    for path in _archive(data_dir):
        tally.begin(str(path.relative_to(data_dir)))
        result.archives += 1
        try:
            if path.name.endswith(SUFFIX):
                _verify_archive(path, result)
            else:
                _verify_segment(path, origin, result, last=False)
        except CorruptSegment as error:
            result.problems.append(str(error))
        tally.advance(path.stat().st_size)


def _verify_archive(path: Path, result: VerifyResult) -> None:
    """Reads all records of an archive file. Raises CorruptSegment."""
    index = read_index(path)
    with path.open("rb") as file:
        for frame in index.frames:
            raw = read_frame(file.fileno(), frame, path.name)
            at, end = index.marks.at(frame.start), index.marks.at(frame.start + len(raw))
            for number in range(at, end):
                mark = index.marks[number]
                record = record_in(raw, index.header.salt, mark.offset - frame.start, frame.start)
                if record is None or record.seq != mark.seq:
                    raise CorruptSegment(f"archive {path.name}: record {mark.seq} is not where the index says")
                result.records += 1
                result.rows += sum(len(section.batch) for section in decode(record.body))


def _verify_segment(path: Path, origin: bytes, result: VerifyResult, *, last: bool) -> None:
    header, found = scan_segment(path, origin)
    if header is None and path.stat().st_size:
        result.problems.append(f"WAL segment {path.name}: the header at byte 0 is damaged; its records can be read")
    for item in found:
        if isinstance(item, Damage):
            told = (item.torn and last) or (item.start == 0 and header is None)
            if not told:
                result.problems.append(f"WAL segment {path.name}: bytes {item.start} to {item.end} are no record")
            continue
        result.records += 1
        if item.kind is Kind.GAP:
            continue
        try:
            for section in decode(item.body):
                result.rows += len(section.batch)
        except CorruptSegment as error:
            result.problems.append(f"WAL segment {path.name}, byte {item.offset}: {error}")


def _listed(data_dir: Path, result: VerifyResult, *, rebuild: bool) -> dict[str, int]:
    """Path -> CRC32C of the blocks that index.db lists."""
    try:
        return listed_blocks(data_dir)
    except CorruptCatalog as error:
        if rebuild:
            return {}
        result.problems.append(f"{error}; the next start, or `weir verify --rebuild`, makes it anew from the blocks")
        return {}


def _verify_blocks(data_dir: Path, crcs: Mapping[str, int], which: str, result: VerifyResult, tally: Tally) -> set[str]:
    """Reads all blocks that there are; returns their paths. `which` says whose CRC32Cs are given."""
    found = set()
    for path in sorted((data_dir / "blocks").glob("*/*/*.parquet")):
        name = str(path.relative_to(data_dir))
        tally.begin(name)
        result.blocks += 1
        found.add(name)
        try:
            result.rows += _verify_block(path, name, crcs.get(name), which)
        except CorruptBlock as error:
            result.problems.append(str(error))
        except (pa.ArrowException, OSError, ValueError) as error:
            result.problems.append(f"block {name}: {error}")
        tally.advance(path.stat().st_size)
    return found


def _verify_block(path: Path, name: str, crc: int | None, which: str) -> int:
    """Rows of a block all of whose bytes are as they were written. Raises CorruptBlock, what pyarrow raises."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        footer = decode_footer(file.metadata.metadata, name)
        size, data_crc = decode_data_crc(file.metadata.metadata)
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)
        if file.metadata.num_rows != footer.rows:
            raise CorruptBlock(f"block {name}: {file.metadata.num_rows} rows, but its footer says {footer.rows}")
    before, whole = _checksums(path, size)
    if before != data_crc:
        raise CorruptBlock(f"block {name}: the bytes before the footer are not those that were written")
    if crc is not None and whole != crc:
        raise CorruptBlock(f"block {name}: the file is not the one {which}")
    return footer.rows


def _checksums(path: Path, size: int) -> tuple[int, int]:
    """CRC32C of the first `size` bytes of a file, and of all."""
    crc = 0
    with path.open("rb") as file:
        while size and (piece := file.read(min(_PIECE, size))):
            crc = google_crc32c.extend(crc, piece)
            size -= len(piece)
        whole = crc
        while piece := file.read(_PIECE):
            whole = google_crc32c.extend(whole, piece)
    return crc, whole


def _verify_control(data_dir: Path, result: VerifyResult) -> None:
    try:
        check_there(data_dir)
        if (data_dir / "control.db").exists():
            Control(data_dir).close()
    except CorruptCatalog as error:
        result.problems.append(str(error))


def _verify_database(path: Path, result: VerifyResult) -> None:
    """Reads a SQLite file that nobody writes to, without making another file beside it."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)) as db:
            (problem,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        problem = str(error)
    if problem != "ok":
        result.problems.append(f"{path.name} is damaged: {problem}")
