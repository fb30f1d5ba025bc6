"""Forward entries to streams: one batch for each tenant that a message has entries for.

Values are looked at by kernels; Python runs once a path of keys and once a distinct label set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gateway.auth import BadTenant, NoTenant, check_tenant
from gateway.forward.entries import Walked, walk_entries
from gateway.forward.kernels.entry_assign import LINE_TEXT, assign, distinct_rows
from gateway.forward.kernels.entry_heads import EMPTY
from gateway.forward.kernels.entry_lines import fill_lines, room_for_lines
from gateway.forward.kernels.entry_walk import CELL_END, CELL_KIND, CELL_START
from gateway.forward.mapping_partials import Joined, joined_partials
from gateway.forward.mapping_rules import Plan, Rules, compile_rules
from gateway.forward.wire import Buffer
from gateway.push.metadata import put_column
from storage.batch import I32, I64, U8, Batch, Column, Labels, Texts, texts
from storage.build import SEED, TextSpans, columns_of_spans
from storage.rows import join_on, renumber, take_rows

__all__ = ["METADATA_CUT", "NO_TENANT", "Mapped", "Rules", "compile_rules", "map_entries"]

METADATA_CUT = "metadata_cut"
"""A value of an event's metadata, not of its record, that did not fit within the limits."""
NO_TENANT = "no_tenant"
"""A label set named a tenant that cannot be one; its entries are the listener's."""


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """What a message is to the store.

    Attributes:
        batches: tenant -> its entries, with a stream table of their own; labels sorted by name, not validated yet.
        bad: reason -> entries that could not be used, or not in full.
    """

    batches: Mapping[str, Batch]
    bad: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Assigned:
    slot_cells: I64
    line_cells: I64
    forms: I64
    taken: np.ndarray[tuple[int], np.dtype[np.bool_]]
    pair_rows: I64
    starts: I64
    ends: I64
    keys: I32
    cut: int


def map_entries(
    tag: bytes, option: Mapping[str, object], entries: Buffer, rules: Rules, now: int, tenant: str
) -> Mapped:
    """The entries of one message of any mode, as batches.

    Args:
        tag: of the message.
        option: of the message.
        entries: concatenated msgpack entries.
        rules: how they become streams.
        now: ns, the time of entries that have none.
        tenant: the listener's, for entries that name no other.
    """
    parts: dict[str, list[Batch]] = {}
    bad: Counter[str] = Counter()
    tag_text = tag.decode("utf-8", "replace")
    given = option.get(rules.tenant_option) if rules.tenant_option else None
    if isinstance(given, str | bytes) and given:
        name = given.decode("utf-8", "replace") if isinstance(given, bytes) else given
        if _is_tenant(name):
            tenant = name
        else:
            bad[NO_TENANT] += 1
    for walked in walk_entries(entries, now):
        bad.update(walked.bad)
        if len(walked.ts):
            for owner, batch in _map_walked(walked, tag, tag_text, rules, tenant, bad).items():
                parts.setdefault(owner, []).append(batch)
    return Mapped({owner: _concatenated(batches) for owner, batches in parts.items()}, +bad)


def _map_walked(
    walked: Walked, tag: bytes, tag_text: str, rules: Rules, tenant: str, bad: Counter[str]
) -> dict[str, Batch]:
    plan = rules.plan(walked.paths)
    found = _assign(walked, plan, rules)
    joined = None
    if rules.join_partials and rules.form == LINE_TEXT and plan.partials[0] >= 0:
        joined = joined_partials(walked, plan, found.line_cells, found.forms, rules.max_line)
        if joined is not None:
            walked.cells[joined.cells, CELL_KIND] = EMPTY
            found = _assign(walked, plan, rules)
    if found.cut:
        bad[METADATA_CUT] += found.cut
    n = len(walked.ts)
    spans = TextSpans(walked.data, found.starts, found.ends)
    columns, rest = columns_of_spans(n, plan.names, found.pair_rows, found.keys, spans)
    numbers, sets = _label_sets(walked, found, rules, tag_text)
    batch = Batch((), numbers, walked.ts, _lines(walked, plan, found), columns, rest)
    if rules.tag_metadata and tag:
        batch = put_column(batch, rules.tag_metadata, Column(np.zeros(n, np.int32), _tag_texts(tag)))
    if joined is not None:
        batch = _join(batch, joined)
    return _by_tenant(batch, sets, tenant, bad)


def _concatenated(batches: list[Batch]) -> Batch:
    """One batch of several, each with a stream table of its own."""
    if len(batches) == 1:
        return batches[0]
    table: dict[Labels, int] = {}
    for batch in batches:
        for labels in batch.streams:
            table.setdefault(labels, len(table))
    return join_on(list(table), table.__getitem__, batches)


def _assign(walked: Walked, plan: Plan, rules: Rules) -> _Assigned:
    n, many = len(walked.ts), len(walked.cells)
    slot_cells: I64 = np.empty((n, len(rules.labels)), np.int64)
    line_cells: I64 = np.empty(n, np.int64)
    forms: I64 = np.empty(n, np.int64)
    taken = np.empty(many, np.bool_)
    pair_rows, starts, ends = (np.empty(many, np.int64) for _ in range(3))
    keys: I32 = np.empty(many, np.int32)
    count, cut = assign(
        walked.data,
        walked.rows,
        walked.cells,
        plan.table,
        plan.slots,
        rules.form,
        rules.keep_labels,
        rules.max_label,
        rules.max_pairs,
        rules.max_bytes,
        slot_cells,
        line_cells,
        forms,
        taken,
        pair_rows,
        starts,
        ends,
        keys,
    )
    return _Assigned(
        slot_cells, line_cells, forms, taken, pair_rows[:count], starts[:count], ends[:count], keys[:count], cut
    )


def _lines(walked: Walked, plan: Plan, found: _Assigned) -> Texts:
    names = plan.texts
    room = room_for_lines(walked.data, walked.rows, walked.cells, found.forms, found.line_cells, names.offsets)
    out: U8 = np.empty(room, np.uint8)
    offsets: I64 = np.empty(len(found.forms) + 1, np.int64)
    fill_lines(
        walked.data,
        walked.end,
        walked.rows,
        walked.cells,
        found.forms,
        found.line_cells,
        found.taken,
        walked.floats,
        walked.float_texts.data,
        np.ascontiguousarray(walked.float_texts.offsets),
        names.data,
        names.offsets,
        plan.table,
        out,
        offsets,
    )
    used = int(offsets[-1])
    return Texts(out if used == room else out[:used].copy(), offsets)


def _label_sets(walked: Walked, found: _Assigned, rules: Rules, tag: str) -> tuple[I32, list[tuple[bytes, Labels]]]:
    """The number of each row's set, and the sets: a tenant, empty for the listener's, and labels."""
    n = len(walked.ts)
    numbers: I32 = np.zeros(n, np.int32)
    firsts: I64 = np.zeros(n, np.int64)
    if rules.labels:
        firsts = firsts[: distinct_rows(walked.data, walked.cells, found.slot_cells, SEED, numbers, firsts)]
    else:
        firsts = firsts[:1]
    cells = found.slot_cells[firsts]
    spans = walked.cells[cells[cells >= 0], CELL_START : CELL_END + 1].tolist()
    texts_of = iter([walked.data[start:end].tobytes() for start, end in spans])
    rows = cells.tolist()
    return numbers, [
        rules.label_set(tag, tuple([next(texts_of) if cell >= 0 else None for cell in row])) for row in rows
    ]


def _by_tenant(batch: Batch, sets: list[tuple[bytes, Labels]], tenant: str, bad: Counter[str]) -> dict[str, Batch]:
    owners: dict[bytes, str] = {b"": tenant}
    streams: dict[str, dict[Labels, int]] = {}
    numbers = np.empty(len(sets), np.int32)
    owner = np.empty(len(sets), np.int32)
    tenants: dict[str, int] = {}
    for number, (name, labels) in enumerate(sets):
        if name not in owners:
            text = name.decode("utf-8", "replace")
            owners[name] = text if _is_tenant(text) else tenant
            bad[NO_TENANT] += owners[name] != text
        own = owners[name]
        owner[number] = tenants.setdefault(own, len(tenants))
        table = streams.setdefault(own, {})
        numbers[number] = table.setdefault(labels, len(table))
    if len(tenants) == 1:
        ((own, table),) = streams.items()
        if len(table) == len(sets):  # each set is there once, in the order of its number
            return {own: replace(batch, streams=list(table))}
        return {own: renumber(batch, list(table), numbers)}
    of_row = owner[batch.stream]
    return {
        own: renumber(take_rows(batch, np.flatnonzero(of_row == number)), list(streams[own]), numbers)
        for own, number in tenants.items()
    }


def _tag_texts(tag: bytes) -> Texts:
    return _short_tag(tag) if len(tag) <= _LONGEST_TAG else texts([tag])


_LONGEST_TAG = 256
"""Bytes of a tag that is remembered."""


@lru_cache(maxsize=256)
def _short_tag(tag: bytes) -> Texts:
    """A dictionary of one tag, the same object for all its messages; never written to."""
    return texts([tag])


def _is_tenant(name: str) -> bool:
    try:
        return bool(check_tenant(name))
    except (BadTenant, NoTenant):
        return False


def _join(batch: Batch, joined: Joined) -> Batch:
    lines = batch.lines.tolist()
    kept = np.ones(len(batch), np.bool_)
    for rows in joined.runs:
        head = min(rows)
        lines[head] = b"".join([lines[row] for row in rows])
        kept[[row for row in rows if row != head]] = False
    return take_rows(replace(batch, lines=texts(lines)), np.flatnonzero(kept))
