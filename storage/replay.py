"""Replay: what the WAL holds and no block does comes back into memory.

Damage never stops it: a torn tail is cut, bytes in the middle that are no record are set aside in `quarantine/` with
segment and offset in the name, and the records after them load.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgpack
import numpy as np

from storage.batch import Batch, Labels, Mask
from storage.batchids import BatchIds
from storage.blockread import Block
from storage.errors import CorruptSegment
from storage.figures import ReplayFigures
from storage.memtable import make_run
from storage.outbox.marks import Mark
from storage.record import Request, Section, counts_of, decode_dated, with_streams
from storage.rows import take_rows
from storage.segment import Damage, Kind, Record, scan_segment
from storage.state import State, Tenant
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


class Erased(Protocol):
    """What was deleted and must not come back."""

    @property
    def seq(self) -> dict[str, int]:
        """Hex of an origin -> the greatest number of its records that a delete came after."""

    def erased(self, tenant: Tenant, origin: str, last_seq: int, batch: Batch) -> Mask | None:
        """bool[n]: entries of a batch, of records up to `last_seq`, that were deleted; None: no delete came after."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A section as found.

    Attributes:
        origin: hex, whose record numbers these are.
        first_seq, last_seq: the records it stands for.
        carried: whether it repeats them.
        segment: where it was.
        requests: the pushes in it.
        batch: the rows on the tenant's table; may be empty.
        at: ns, when the record was written.
    """

    origin: str
    first_seq: int
    last_seq: int
    carried: bool
    segment: int
    requests: tuple[Request, ...]
    batch: Batch
    at: int


def replay(
    directory: Path,
    origin: bytes,
    state: State,
    ids: BatchIds,
    figures: ReplayFigures,
    progress: Callable[[ReplayProgress], None] | None = None,
    erased: Erased | None = None,
    note: Callable[[int, Mark], None] | None = None,
) -> Log:
    """Loads all segments of `directory` into `state`, whose tenants have their blocks already; not what is `erased`.

    `note` is told of each entries record, with the number of its segment, those that were given up among them.

    Raises CorruptSegment for a segment of another version, OSError.
    """
    began = time.perf_counter()
    found = _Found()
    paths = sorted(directory.glob("*.wal"))
    next_segment = 1
    for tenant in state.tenants.values():
        for block in tenant.view.blocks:
            found.next_seq = max([found.next_seq, *(i.last + 1 for i in block.origins if i.origin == origin.hex())])
    if erased is not None:  # records may be gone that were not synced; no later one may bear their numbers
        found.next_seq = max(found.next_seq, erased.seq.get(origin.hex(), 0) + 1)
    for done, path in enumerate(paths, 1):
        next_segment = max(next_segment, int(path.stem) + 1)
        _read_segment(path, origin, state, found, figures, note, last=done == len(paths))
        figures.segments += 1
        if progress is not None:
            progress(ReplayProgress(done, len(paths), found.rows))
    for name, pieces in found.pieces.items():
        kept = [piece for piece in pieces if piece.carried or not _given_up(piece, found.gaps)]
        figures.skipped_entries += sum(len(piece.batch) for piece in pieces) - sum(len(p.batch) for p in kept)
        for piece in kept:
            _note_ids(ids, name, piece)
        _load(state.tenant(name), [piece for piece in kept if len(piece.batch)], figures, erased)
    figures.skipped_entries += figures.duplicate_entries
    figures.seconds = time.perf_counter() - began
    return Log(next_segment, found.next_seq, tuple(found.gaps))


@dataclass(slots=True)
class _Found:
    """What the segments hold."""

    next_seq: int = 1
    rows: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    pieces: dict[str, list[_Piece]] = field(default_factory=dict)


def _read_segment(
    path: Path,
    origin: bytes,
    state: State,
    found: _Found,
    figures: ReplayFigures,
    note: Callable[[int, Mark], None] | None,
    *,
    last: bool,
) -> None:
    """Adds what a segment holds; damage is counted, cut off or set aside."""
    header, items = scan_segment(path, origin)
    if header is not None:
        origin = header.origin
        found.next_seq = max(found.next_seq, header.first_seq)
    names: dict[str, dict[int, Labels]] = {}
    for item in items:
        if isinstance(item, Damage):
            _handle_damage(path, item, figures, last=last)
            continue
        found.next_seq = max(found.next_seq, item.seq + 1)
        if item.kind is Kind.GAP:
            first, end = msgpack.unpackb(item.body)
            found.gaps.append((first, end))
            found.next_seq = max(found.next_seq, end + 1)
            continue
        figures.records += 1
        faults = []
        try:
            sections, at = decode_dated(item.body)
            at = at or path.stat().st_mtime_ns
            if note is not None and item.kind is Kind.ENTRIES:
                note(int(path.stem), Mark(item.seq, item.offset, item.end, *counts_of(sections), at))
            for section in sections:
                known = names.setdefault(section.tenant, {})
                known.update(section.new_streams)
                try:
                    piece = _piece(state, section, item, origin.hex(), int(path.stem), known, at)
                except CorruptSegment as error:
                    faults.append(error)
                    continue
                found.pieces.setdefault(section.tenant, []).append(piece)
                found.rows += len(piece.batch)
        except CorruptSegment as error:
            faults.append(error)
        if faults:
            figures.bad_records += 1
            figures.set_aside_bytes += _set_aside(path, item.offset, item.end)
        for fault in faults:
            log.error("WAL segment %s, byte %d: %s; set aside in quarantine/", path.name, item.offset, fault)


def _handle_damage(path: Path, item: Damage, figures: ReplayFigures, *, last: bool) -> None:
    """Only the last segment may end in a torn record: it is what was being written. All others were closed whole."""
    if item.torn and last:
        figures.torn_tails += 1
        log.warning("WAL segment %s: torn tail cut at byte %d (%d bytes)", path.name, item.start, item.end - item.start)
        os.truncate(path, item.start)
        return
    figures.bad_records += 1
    figures.set_aside_bytes += _set_aside(path, item.start, item.end)
    log.error(
        "WAL segment %s: bytes %d to %d are no record; set aside in quarantine/, later records are loaded",
        path.name,
        item.start,
        item.end,
    )


def _given_up(piece: _Piece, gaps: list[tuple[int, int]]) -> bool:
    """Whether its record failed: the sender was told so, but the bytes could not be cut off."""
    return any(first <= piece.first_seq <= last for first, last in gaps)


def _set_aside(path: Path, start: int, end: int) -> int:
    """Copies bytes of a segment to quarantine/ beside the WAL folder; returns how many."""
    folder = path.parent.parent / "quarantine"
    folder.mkdir(exist_ok=True)
    with path.open("rb") as file, folder.joinpath(f"{path.stem}-{start}.bin").open("wb") as copy:
        file.seek(start)
        copy.write(file.read(end - start))
        copy.flush()
        os.fsync(copy.fileno())
    return end - start


def _piece(
    state: State, section: Section, record: Record, origin: str, segment: int, names: dict[int, Labels], at: int
) -> _Piece:
    table = state.tenant(section.tenant).table
    used = np.unique(section.batch.stream).tolist()
    if missing := [number for number in used if number not in names]:
        raise CorruptSegment(f"the labels of {len(missing)} streams of {section.tenant!r} were in damaged records")
    numbers = np.zeros(used[-1] + 1 if used else 0, np.int32)
    for number in used:
        numbers[number] = table.intern(names[number])
    first, last = (section.covers[0][0], section.covers[-1][1]) if section.covers else (record.seq, record.seq)
    batch = with_streams(section, table, numbers)
    return _Piece(origin, first, last, bool(section.covers), segment, section.requests, batch, at)


def _note_ids(ids: BatchIds, tenant: str, piece: _Piece) -> None:
    for request in piece.requests:
        ids.add_found(tenant, request, piece.segment, piece.at)


def _load(tenant: Tenant, pieces: list[_Piece], figures: ReplayFigures, erased: Erased | None) -> None:
    """Puts a tenant's pieces into memory in order of arrival, without what is in blocks or in a carried piece."""
    carried = [(piece.first_seq, piece.last_seq) for piece in pieces if piece.carried]
    lowest = min((piece.first_seq for piece in pieces), default=0)
    blocks = [block for block in tenant.view.blocks if any(item.last >= lowest for item in block.origins)]
    for piece in sorted(pieces, key=lambda piece: (piece.last_seq, not piece.carried)):
        inside = [span for span in carried if span[0] <= piece.first_seq and piece.last_seq <= span[1]]
        if inside and not (piece.carried and _is_widest(piece, inside, pieces)):
            figures.duplicate_entries += len(piece.batch)
            continue
        keep = _not_in_blocks(blocks, piece)
        figures.duplicate_entries += len(keep) - int(np.count_nonzero(keep))
        if erased is not None and keep.any():
            gone = erased.erased(tenant, piece.origin, piece.last_seq, piece.batch)
            if gone is not None:
                figures.skipped_entries += int(np.count_nonzero(keep & gone))
                keep &= ~gone
        batch = piece.batch if keep.all() else take_rows(piece.batch, np.flatnonzero(keep))
        if not len(batch):
            continue
        figures.entries += len(batch)
        figures.bytes += batch.lines.nbytes
        tenant.set_view(tenant.view.with_run(make_run(batch, piece.first_seq, piece.last_seq), len(tenant.table)))
        tenant.table.touch(batch.stream, batch.ts)
    figures.streams += int(np.count_nonzero(tenant.view.bounds.held()))


def _is_widest(piece: _Piece, inside: list[tuple[int, int]], pieces: list[_Piece]) -> bool:
    """Whether a carried piece is the one to load: nothing carried later holds its rows too."""
    widest = max(inside, key=lambda span: span[1] - span[0])
    if widest != (piece.first_seq, piece.last_seq):
        return False
    same = [other for other in pieces if other.carried and (other.first_seq, other.last_seq) == widest]
    return same[-1] is piece


def _not_in_blocks(blocks: Sequence[Block], piece: _Piece) -> Mask:
    """bool[n]: rows that none of the blocks holds."""
    keep: Mask = np.ones(len(piece.batch), np.bool_)
    days = piece.batch.ts // DAY
    for block in blocks:
        if any(
            item.origin == piece.origin and item.first <= piece.first_seq and piece.last_seq <= item.last
            for item in block.origins
        ):
            keep &= days != block.day
    return keep
