"""Checking a data directory: every record of the log and every page of every block against its checksum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.catalog import Catalog
from storage.control import Control
from storage.errors import CorruptBlock, CorruptCatalog, CorruptSegment, StorageError
from storage.footer import decode_footer
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
        _verify_blocks(data_dir, result, report)
        _verify_catalogs(data_dir, result, rebuild=rebuild)
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


def _verify_blocks(data_dir: Path, result: VerifyResult, report: Callable[[str], None]) -> None:
    for path in sorted((data_dir / "blocks").glob("*/*/*.parquet")):
        name = str(path.relative_to(data_dir))
        report(f"block {name}")
        result.blocks += 1
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                footer = decode_footer(file.metadata.metadata, name)
                for group in range(file.num_row_groups):
                    file.read_row_group(group, use_threads=False)
                if file.metadata.num_rows != footer.rows:
                    result.problems.append(
                        f"block {name}: {file.metadata.num_rows} rows, but its footer says {footer.rows}"
                    )
                result.rows += footer.rows
        except CorruptBlock as error:
            result.problems.append(str(error))
        except (pa.ArrowInvalid, OSError) as error:
            result.problems.append(f"block {name}: {error}")


def _verify_catalogs(data_dir: Path, result: VerifyResult, *, rebuild: bool) -> None:
    if rebuild:
        for suffix in ("", "-wal", "-shm"):
            data_dir.joinpath(f"index.db{suffix}").unlink(missing_ok=True)
    catalog = Catalog(data_dir)
    try:
        listed = sum(1 for _ in catalog.blocks())
    finally:
        catalog.close()
    if listed != result.blocks:
        result.problems.append(f"index.db lists {listed} blocks, {result.blocks} files are there")
    try:
        Control(data_dir).close()
    except CorruptCatalog as error:
        result.problems.append(str(error))
