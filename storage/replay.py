"""Replay: what the WAL holds and no block does comes back into memory.

Damage never stops it: a torn tail is cut, bytes in the middle that are no record are set aside in `quarantine/` with
segment and offset in the name, and the records after them load.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np

from storage.batch import Batch, Labels, Mask
from storage.batchids import BatchIds
from storage.errors import CorruptSegment
from storage.figures import ReplayFigures
from storage.memtable import add_run, make_run
from storage.record import Section, decode, with_streams
from storage.rows import take_rows
from storage.segment import Damage, Kind, Record, scan_segment
from storage.state import State, Tenant, View
from storage.streams import DAY

log = logging.getLogger("weir.storage")


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a start is."""

    segments_done: int
    segments: int
    entries: int


@dataclass(frozen=True, slots=True)
class Log:
    """Where the log goes on.

    Attributes:
        next_segment: number for the next segment.
        next_seq: number for the next record.
        gaps: record numbers that were given up after a failed sync.
    """

    next_segment: int
    next_seq: int
    gaps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A section as found: the records it stands for and its batch on the tenant's table."""

    first_seq: int
    last_seq: int
    carried: bool
    batch: Batch


def replay(
    directory: Path,
    origin: bytes,
    state: State,
    ids: BatchIds,
    figures: ReplayFigures,
    progress: Callable[[ReplayProgress], None] | None = None,
) -> Log:
    """Loads all segments of `directory` into `state`, whose tenants have their blocks already. Raises OSError."""
    began = time.perf_counter()
    pieces: dict[str, list[_Piece]] = {}
    paths = sorted(directory.glob("*.wal"))
    next_segment, next_seq = 1, 1
    gaps: list[tuple[int, int]] = []
    for tenant in state.tenants.values():
        for block in tenant.view.blocks:
            next_seq = max([next_seq, *(item.last + 1 for item in block.origins)])
    for done, path in enumerate(paths, 1):
        next_segment = max(next_segment, int(path.stem) + 1)
        names: dict[str, dict[int, Labels]] = {}
        for record in _records(path, origin, figures):
            if isinstance(record, int):
                next_seq = max(next_seq, record)
                continue
            next_seq = max(next_seq, record.seq + 1)
            if record.kind is Kind.GAP:
                first, last = msgpack.unpackb(record.body)
                gaps.append((first, last))
                next_seq = max(next_seq, last + 1)
                continue
            figures.records += 1
            try:
                for section in decode(record.body):
                    _note_ids(ids, section, int(path.stem))
                    piece = _piece(state, section, record, names.setdefault(section.tenant, {}))
                    if len(piece.batch):
                        pieces.setdefault(section.tenant, []).append(piece)
            except CorruptSegment as error:
                figures.bad_records += 1
                figures.set_aside_bytes += _set_aside(path, record.offset, record.end)
                where = f"WAL segment {path.name}, byte {record.offset}"
                log.error("%s: %s; set aside in quarantine/", where, error)  # noqa: TRY400 - the text says all
        figures.segments += 1
        if progress is not None:
            progress(ReplayProgress(done, len(paths), figures.entries))
    for name, found in pieces.items():
        _load(state.tenant(name), found, figures)
    figures.seconds = time.perf_counter() - began
    return Log(next_segment, next_seq, tuple(gaps))


def _records(path: Path, origin: bytes, figures: ReplayFigures) -> Iterator[Record | int]:
    """The segment's first record number, then its records; damage is counted, cut off or set aside."""
    header, found = scan_segment(path, origin)
    if header is not None:
        yield header.first_seq
    for item in found:
        if not isinstance(item, Damage):
            yield item
        elif item.torn:
            figures.torn_tails += 1
            log.warning(
                "WAL segment %s: torn tail cut at byte %d (%d bytes)", path.name, item.start, item.end - item.start
            )
            os.truncate(path, item.start)
        else:
            figures.bad_records += 1
            figures.set_aside_bytes += _set_aside(path, item.start, item.end)
            log.error(
                "WAL segment %s: bytes %d to %d are no record; set aside in quarantine/, later records are loaded",
                path.name,
                item.start,
                item.end,
            )


def _set_aside(path: Path, start: int, end: int) -> int:
    """Copies bytes of a segment to quarantine/ beside the WAL folder; returns how many."""
    folder = path.parent.parent / "quarantine"
    folder.mkdir(exist_ok=True)
    with path.open("rb") as file:
        file.seek(start)
        folder.joinpath(f"{path.stem}-{start}.bin").write_bytes(file.read(end - start))
    return end - start


def _piece(state: State, section: Section, record: Record, names: dict[int, Labels]) -> _Piece:
    table = state.tenant(section.tenant).table
    names.update(section.new_streams)
    used = np.unique(section.batch.stream).tolist()
    if missing := [number for number in used if number not in names]:
        raise CorruptSegment(f"the labels of {len(missing)} streams of {section.tenant!r} were in damaged records")
    numbers = np.zeros(used[-1] + 1 if used else 0, np.int32)
    for number in used:
        numbers[number] = table.intern(names[number])
    batch = with_streams(section, table, numbers)
    if section.covers:
        return _Piece(section.covers[0][0], section.covers[-1][1], carried=True, batch=batch)
    return _Piece(record.seq, record.seq, carried=False, batch=batch)


def _note_ids(ids: BatchIds, section: Section, segment: int) -> None:
    for request in section.requests:
        if request.batch_id is not None and request.digest is not None:
            ids.add(section.tenant, request.batch_id, request.digest, segment)


def _load(tenant: Tenant, pieces: list[_Piece], figures: ReplayFigures) -> None:
    """Puts a tenant's pieces into memory in order of arrival, without what is in blocks or in a carried piece."""
    carried = [(piece.first_seq, piece.last_seq) for piece in pieces if piece.carried]
    runs = tenant.view.runs
    for piece in sorted(pieces, key=lambda piece: (piece.last_seq, not piece.carried)):
        inside = [span for span in carried if span[0] <= piece.first_seq and piece.last_seq <= span[1]]
        if inside and not (piece.carried and _is_widest(piece, inside, pieces)):
            figures.skipped_entries += len(piece.batch)
            continue
        keep = _not_in_blocks(tenant, piece)
        batch = piece.batch if keep.all() else take_rows(piece.batch, np.flatnonzero(keep))
        figures.skipped_entries += len(piece.batch) - len(batch)
        if not len(batch):
            continue
        figures.entries += len(batch)
        figures.bytes += batch.lines.nbytes
        runs = add_run(runs, make_run(batch, piece.first_seq, piece.last_seq))
        tenant.widen(batch.stream, batch.ts)
        tenant.table.touch(batch.stream, batch.ts)
    tenant.set_view(View(tenant.view.blocks, (), runs))


def _is_widest(piece: _Piece, inside: list[tuple[int, int]], pieces: list[_Piece]) -> bool:
    """Whether a carried piece is the one to load: nothing carried later holds its rows too."""
    widest = max(inside, key=lambda span: span[1] - span[0])
    if widest != (piece.first_seq, piece.last_seq):
        return False
    same = [other for other in pieces if other.carried and (other.first_seq, other.last_seq) == widest]
    return same[-1] is piece


def _not_in_blocks(tenant: Tenant, piece: _Piece) -> Mask:
    """bool[n]: rows that no block holds."""
    keep: Mask = np.ones(len(piece.batch), np.bool_)
    days = piece.batch.ts // DAY
    for block in tenant.view.blocks:
        if any(item.first <= piece.first_seq and piece.last_seq <= item.last for item in block.origins):
            keep &= days != block.day
    return keep
