"""What retention would remove from a data directory, as far as it is in blocks. Reads footers; a server may be running.

Entries that are only in the log are not counted, nor are those that a delete hides: they go anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storage.archived import floor_since
from storage.batch import I32, I64, Mask
from storage.blockread import Block, forget, read_footer, stream_bounds
from storage.control import DeleteRecord, read_deletes
from storage.erased import Compiler, no_language
from storage.errors import BadDelete, CorruptBlock
from storage.expiry import Disk, age_order, disk_of, until
from storage.figures import DropReason
from storage.footer import Footer
from storage.freed import gain
from storage.outbox.progress import read_archived
from storage.pages import open_pages
from storage.reading import Times
from storage.retention import Retention, RetentionOptions, StreamRule, rules_of_streams
from storage.rows import spans
from storage.streams import LabelMatcher, StreamTable
from storage.tombstones import Chooser, Tombstone, hidden, reaching


@dataclass(slots=True)
class RuleShare:
    """What of a tenant's entries has expired by one rule.

    Attributes:
        tenant: whose.
        rule: it; None: the tenant's own period.
        period: ns.
        streams: with expired entries.
        rows: expired entries.
        bytes: of their lines and structured metadata; where some of a stretch of rows have expired, by their number.
        oldest: ns, the oldest of them.
    """

    tenant: str
    rule: StreamRule | None
    period: int
    streams: int = 0
    rows: int = 0
    bytes: int = 0
    oldest: int | None = None


@dataclass(slots=True)
class BlockShare:
    """Whole blocks that would go for a reason.

    Attributes:
        reason: it.
        blocks, rows, bytes: how many, their entries and the bytes of their files.
        oldest: ns, their oldest entry.
    """

    reason: DropReason
    blocks: int = 0
    rows: int = 0
    bytes: int = 0
    oldest: int | None = None


@dataclass(slots=True)
class RetentionReport:
    """What would go.

    Attributes:
        now: the time of day that it is said for, ns.
        rules: those by which something has expired, by tenant.
        blocks: for each reason what would go whole; what has expired in part of a block is only in `rules`.
        partly: blocks with expired entries among others.
        log_bytes: bytes of the log, whose entries are not counted.
        problems: blocks that could not be read, a sentence each.
    """

    now: int
    rules: list[RuleShare] = field(default_factory=list)
    blocks: list[BlockShare] = field(default_factory=list)
    partly: int = 0
    log_bytes: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _File:
    """A block's file."""

    path: Path
    size: int
    day: int
    min_ts: int
    max_ts: int
    generation: int
    rows: int
    """That no delete hides."""
    is_owed: bool
    """Others are owed some of them: it does not go by size."""


@dataclass(frozen=True, slots=True)
class _Delete:
    """A delete that is not carried out, its query read."""

    record: DeleteRecord
    matchers: Sequence[LabelMatcher]
    chooses: Chooser | None

    def tombstone(self, table: StreamTable) -> Tombstone:
        """It for the streams of a table."""
        record = self.record
        streams = table.accepted(self.matchers)
        return Tombstone(record.id, streams, record.first, record.last + 1, record.generation, self.chooses)


@dataclass(slots=True, eq=False)
class _Tenant:
    """One tenant's streams so far, and what of them has expired by rule (the tenant's own period is the last)."""

    name: str
    table: StreamTable = field(default_factory=StreamTable)
    expired: list[set[int]] = field(default_factory=list)
    shares: list[RuleShare] = field(default_factory=list)


def retention_report(
    data_dir: Path,
    options: RetentionOptions,
    now: int | None = None,
    disk: Callable[[Path], Disk] = disk_of,
    compiler: Compiler = no_language,
) -> RetentionReport:
    """What would be removed at a time of day.

    Args:
        data_dir: of a server that may be running.
        options: what is to be kept.
        now: ns; the present time if it is not given.
        disk: tells the space of a file system.
        compiler: reads the queries of deletes.

    Raises:
        OSError: a folder cannot be read.
        StorageError: control.db cannot be read.
    """
    now = time.time_ns() if now is None else now
    report = RetentionReport(now)
    deletes = _deletes(data_dir, compiler, report)
    retention = Retention(options, lambda: now)
    archived = read_archived(data_dir)
    retention.archived = lambda: archived
    tenants: dict[str, _Tenant] = {}
    gone: list[_File] = []
    left: list[_File] = []
    for path, footer in _footers(data_dir, report):
        tenant = tenants.get(footer.tenant)
        if tenant is None:
            tenant = tenants[footer.tenant] = _new_tenant(footer.tenant, options)
        size = path.stat().st_size
        low, high = int(footer.spans.min_ts.min()), int(footer.spans.max_ts.max())
        hides = 0
        try:
            expired, hides = _count(path, footer, tenant, retention, options, deletes.get(footer.tenant, ()))
        except (CorruptBlock, FileNotFoundError) as error:
            report.problems.append(str(error))
            expired = 0
        owed = archived is not None and archived.last_of(footer.origins) >= archived.owed_from
        file = _File(path, size, footer.day, low, high, footer.generation, footer.rows - hides, owed)
        report.partly += 0 < expired < footer.rows
        (gone if expired == footer.rows else left).append(file)
        forget(path)
    for tenant in sorted(tenants.values(), key=lambda each: each.name):
        for share, streams in zip(tenant.shares, tenant.expired, strict=True):
            share.streams = len(streams)
        report.rules += [share for share in tenant.shares if share.rows]
    report.blocks = list(_whole(data_dir, options, gone, left, disk))
    report.log_bytes = sum(path.stat().st_size for path in (data_dir / "wal").glob("*.wal"))
    return report


def _deletes(data_dir: Path, compiler: Compiler, report: RetentionReport) -> dict[str, list[_Delete]]:
    """The deletes that are not carried out, by tenant."""
    found: dict[str, list[_Delete]] = {}
    for record in read_deletes(data_dir):
        if record.is_open:
            try:
                found.setdefault(record.tenant, []).append(_Delete(record, *compiler(record.query)))
            except BadDelete as error:
                report.problems.append(f"the query of delete {record.id} cannot be read: {error}")
    return found


def _new_tenant(name: str, options: RetentionOptions) -> _Tenant:
    rules = options.rules_of(name)
    shares = [RuleShare(name, rule, rule.period) for rule in rules.streams]
    shares.append(RuleShare(name, None, rules.period))
    return _Tenant(name, expired=[set() for _ in shares], shares=shares)


def _footers(data_dir: Path, report: RetentionReport) -> Iterable[tuple[Path, Footer]]:
    """The blocks that there are. One that another replaces, and that a crash left, is none."""
    found: list[tuple[Path, tuple[str, ...]]] = []
    for path in sorted(data_dir.glob("blocks/*/*/*.parquet")):
        try:
            found.append((path, read_footer(path).sources))
        except FileNotFoundError:
            continue  # a server that runs has removed it
        except CorruptBlock as error:
            report.problems.append(str(error))
    replaced = {source for _, sources in found for source in sources}
    for path, _ in found:
        if path.stem in replaced:
            continue
        try:
            yield path, read_footer(path)
        except FileNotFoundError:
            continue


def _count(
    path: Path,
    footer: Footer,
    tenant: _Tenant,
    retention: Retention,
    options: RetentionOptions,
    deletes: Sequence[_Delete],
) -> tuple[int, int]:
    """Adds what of a block has expired to its tenant's shares, without what a delete hides.

    Returns:
        How many entries have expired, hidden or not; how many are hidden.

    Raises:
        CorruptBlock: it cannot be read.
    """
    table = tenant.table
    numbers: I32 = np.array([table.intern(labels) for labels in footer.streams], np.int32)
    said = footer.spans
    floor = retention.floor(tenant.name, table)
    archived = retention.archived()
    if archived is not None:
        floor = floor_since(floor, archived.since(archived.last_of(footer.origins)))
    if floor is None:
        rows = np.zeros(len(said), np.int64)
    else:
        stream = numbers[said.stream]
        rows = np.where(said.max_ts < floor[stream], said.rows, 0).astype(np.int64)
        cut = (said.min_ts < floor[stream]) & (rows == 0)
        rows[cut] = _older(path, footer, np.flatnonzero(cut), floor[stream[cut]])
    expired, hides = int(rows.sum()), 0
    block = _block_of(path, footer, numbers)
    tombstones = reaching((each.tombstone(table) for each in deletes), block)
    if tombstones:
        hides = _leave_out_hidden(rows, block, footer, tombstones, table, floor)
    _add_shares(tenant, footer, numbers, rows, options)
    return expired, hides


def _block_of(path: Path, footer: Footer, numbers: I32) -> Block:
    low, high = stream_bounds(footer)
    return Block(
        path=path,
        day=footer.day,
        generation=footer.generation,
        min_ts=int(low.min()),
        max_ts=int(high.max()),
        rows=footer.rows,
        size=0,
        origins=footer.origins,
        deletes=frozenset(footer.deletes),
        streams=numbers,
        stream_min=low,
        stream_max=high,
    )


def _leave_out_hidden(
    rows: I64, block: Block, footer: Footer, tombstones: Sequence[Tombstone], table: StreamTable, floor: I64 | None
) -> int:
    """Takes hidden entries off `rows`, those of each span that have expired; returns how many the block has."""
    said, total = footer.spans, 0
    for group in np.unique(said.group).tolist():
        here = np.flatnonzero(said.group == group)
        counts = said.rows[here]
        places = spans(said.row[here], counts)
        stream = np.repeat(block.streams[said.stream[here]], counts)
        ts = open_pages(block.path).timestamps(group, places)
        mask = hidden(Times(table, places, stream, ts), block, group, tombstones, table)
        total += int(np.count_nonzero(mask))
        if floor is not None:
            heads = np.concatenate([[0], np.cumsum(counts)[:-1]])
            rows[here] -= np.add.reduceat((mask & (ts < floor[stream])).astype(np.int64), heads)
    return total


def _add_shares(tenant: _Tenant, footer: Footer, numbers: I32, rows: I64, options: RetentionOptions) -> None:
    """Adds expired entries of a block, so many of each span, to the shares of their rules."""
    said, table = footer.spans, tenant.table
    stream = numbers[said.stream]
    some = np.flatnonzero(rows)
    if not len(some):
        return
    size = (said.line_bytes + said.metadata_bytes)[some] * (rows[some] / said.rows[some])
    chosen = rules_of_streams(options.rules_of(tenant.name), table, 0, len(table))[stream[some]]
    for rule in np.unique(chosen).tolist():
        own = np.flatnonzero(chosen == rule)
        share = tenant.shares[rule]
        tenant.expired[rule].update(stream[some[own]].tolist())
        share.rows += int(rows[some[own]].sum())
        share.bytes += int(size[own].sum())
        oldest = int(said.min_ts[some[own]].min())
        share.oldest = oldest if share.oldest is None else min(share.oldest, oldest)


def _older(path: Path, footer: Footer, chosen: I64, floor: I64) -> I64:
    """int64[k], entries of each of the spans `chosen` (ascending) that are older than its floor. Reads their times."""
    said = footer.spans
    found = np.zeros(len(chosen), np.int64)
    for group in np.unique(said.group[chosen]).tolist():
        here = np.flatnonzero(said.group[chosen] == group)
        counts = said.rows[chosen[here]]
        ts = open_pages(path).timestamps(group, spans(said.row[chosen[here]], counts))
        older: Mask = ts < np.repeat(floor[here], counts)
        heads = np.concatenate([[0], np.cumsum(counts)[:-1]])
        found[here] = np.add.reduceat(older.astype(np.int64), heads)
    return found


def _whole(
    data_dir: Path,
    options: RetentionOptions,
    gone: Sequence[_File],
    left: Sequence[_File],
    disk: Callable[[Path], Disk],
) -> Iterable[BlockShare]:
    """What goes whole, by reason, in the order in which the reasons are looked at."""
    yield _share(DropReason.AGE, gone)
    left = sorted(left, key=lambda file: age_order(file.day, file.max_ts, file.generation))
    size = sum(file.size for file in left)
    left = [file for file in left if not file.is_owed]
    if options.max_total_size:
        over = list(until(left, size - options.max_total_size, lambda file: file.size))
        yield _share(DropReason.TOTAL_SIZE, over)
        gone, left = [*gone, *over], left[len(over) :]
    if options.min_free_space or options.min_free_part:
        space = disk(data_dir)
        freed = sum(gain(file.path) for file in gone) + sum(map(gain, (data_dir / "wal").glob("*.wal")))
        gains = {file: gain(file.path) for file in left}
        missing = options.wanted_free(space.total) - space.free - freed
        chosen = list(until([file for file in left if gains[file]], missing, gains.__getitem__))
        enough = sum(gains[file] for file in chosen) >= missing
        yield _share(DropReason.FREE_SPACE, chosen if enough else [])


def _share(reason: DropReason, files: Sequence[_File]) -> BlockShare:
    return BlockShare(
        reason,
        len(files),
        sum(file.rows for file in files),
        sum(file.size for file in files),
        min((file.min_ts for file in files), default=None),
    )
