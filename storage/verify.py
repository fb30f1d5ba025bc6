"""Checking a data directory: every record of the log and every page of every block against its checksum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from storage.catalog import Catalog, file_checksum, listed_blocks, remove_index
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
        problems: one sentence each, naming file and place; a torn tail of the log is none, nor is a block
            that index.db does not list: what a crash leaves is put right by the next start.
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
        StorageError: there is no data directory, or its files cannot be opened.
        OSError: a file cannot be read.
    """
    if not (data_dir / "origin").exists():
        raise StorageError(f"{data_dir} is not a data directory of Weir: it has no file `origin`")
    lock = DirectoryLock(data_dir)
    try:
        result = VerifyResult()
        _verify_log(data_dir, result, report)
        listed = _listed(data_dir, result, rebuild=rebuild)
        if rebuild:
            remove_index(data_dir)
            Catalog(data_dir).close()
        _verify_blocks(data_dir, listed, result, report)
        _verify_control(data_dir, result)
        return result
    finally:
        lock.release()


def _verify_log(data_dir: Path, result: VerifyResult, report: Callable[[str], None]) -> None:
    origin = read_origin(data_dir)
    paths = sorted((data_dir / "wal").glob("*.wal"))
    for path in paths:
        report(f"WAL segment {path.name}")
        result.segments += 1
        try:
            _verify_segment(path, origin, result, last=path == paths[-1])
        except CorruptSegment as error:
            result.problems.append(str(error))


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


def _verify_blocks(data_dir: Path, listed: dict[str, int], result: VerifyResult, report: Callable[[str], None]) -> None:
    found = set()
    for path in sorted((data_dir / "blocks").glob("*/*/*.parquet")):
        name = str(path.relative_to(data_dir))
        report(f"block {name}")
        result.blocks += 1
        found.add(name)
        try:
            result.rows += _verify_block(path, name, listed.get(name))
        except CorruptBlock as error:
            result.problems.append(str(error))
        except (pa.ArrowException, OSError, ValueError) as error:
            result.problems.append(f"block {name}: {error}")
    for name in sorted(listed.keys() - found):
        result.problems.append(f"block {name} is in index.db but its file is gone: its rows are lost")


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
