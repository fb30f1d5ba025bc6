"""Checking a data directory: every record of the log and every page of every block against its checksum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from storage.catalog import Catalog, file_checksum
from storage.control import Control
from storage.errors import CorruptBlock, CorruptCatalog, CorruptSegment, StorageError
from storage.footer import decode_data_crc, decode_footer
from storage.lock import DirectoryLock, read_origin
from storage.record import decode
from storage.segment import Damage, Kind, scan_segment


@dataclass(slots=True)
class VerifyResult:
    """What was looked at and what is wrong.

    Attributes:
        problems: one sentence each, naming file and place; a torn tail of the log is none (the next start cuts it).
    """

    segments: int = 0
    records: int = 0
    blocks: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def verify(data_dir: Path, *, rebuild: bool, report: Callable[[str], None]) -> VerifyResult:
    """Reads everything once.

    Args:
        data_dir: a data directory that no server is using.
        rebuild: make index.db anew from the blocks' footers.
        report: told what is looked at, a line a file.

    Raises:
        DirectoryLocked: a server is using it.
        StorageError: there is no data directory.
    """
    if not (data_dir / "origin").exists():
        raise StorageError(f"{data_dir} is not a data directory of Weir: it has no file `origin`")
    lock = DirectoryLock(data_dir)
    try:
        result = VerifyResult()
        _verify_log(data_dir, result, report)
        if rebuild:
            for suffix in ("", "-wal", "-shm"):
                data_dir.joinpath(f"index.db{suffix}").unlink(missing_ok=True)
        catalog = Catalog(data_dir)
        try:
            _verify_blocks(data_dir, catalog, result, report)
        finally:
            catalog.close()
        _verify_control(data_dir, result)
        return result
    finally:
        lock.release()


def _verify_log(data_dir: Path, result: VerifyResult, report: Callable[[str], None]) -> None:
    origin = read_origin(data_dir)
    for path in sorted((data_dir / "wal").glob("*.wal")):
        report(f"WAL segment {path.name}")
        result.segments += 1
        try:
            header, found = scan_segment(path, origin)
        except CorruptSegment as error:
            result.problems.append(str(error))
            continue
        if header is None and path.stat().st_size:
            result.problems.append(f"WAL segment {path.name}: the header at byte 0 is damaged; its records can be read")
        for item in found:
            if isinstance(item, Damage):
                if not item.torn:
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


def _verify_blocks(data_dir: Path, catalog: Catalog, result: VerifyResult, report: Callable[[str], None]) -> None:
    listed = {row.path: row.crc for row in catalog.blocks()}
    for path in sorted((data_dir / "blocks").glob("*/*/*.parquet")):
        name = str(path.relative_to(data_dir))
        report(f"block {name}")
        result.blocks += 1
        try:
            result.rows += _verify_block(path, name, listed.get(name))
        except CorruptBlock as error:
            result.problems.append(str(error))
        except (pa.ArrowException, OSError, ValueError) as error:
            result.problems.append(f"block {name}: {error}")
    if len(listed) != result.blocks:
        result.problems.append(f"index.db lists {len(listed)} blocks, {result.blocks} files are there")


def _verify_block(path: Path, name: str, crc: int | None) -> int:
    """Rows of a block all of whose bytes are as they were written. Raises CorruptBlock, what pyarrow raises."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        footer = decode_footer(file.metadata.metadata, name)
        size, data_crc = decode_data_crc(file.metadata.metadata)
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)
        if file.metadata.num_rows != footer.rows:
            raise CorruptBlock(f"block {name}: {file.metadata.num_rows} rows, but its footer says {footer.rows}")
    with path.open("rb") as raw:
        if google_crc32c.value(raw.read(size)) != data_crc:
            raise CorruptBlock(f"block {name}: the bytes before the footer are not those that were written")
    if crc is not None and file_checksum(path)[1] != crc:
        raise CorruptBlock(f"block {name}: the file is not the one that index.db lists")
    return footer.rows


def _verify_control(data_dir: Path, result: VerifyResult) -> None:
    try:
        Control(data_dir).close()
    except CorruptCatalog as error:
        result.problems.append(str(error))
