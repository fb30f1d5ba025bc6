"""Structured metadata made fit to be labels: names sanitised, values valid UTF-8 (Loki: distributor, LabelNamer)."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from gateway.push.errors import PushFailed
from gateway.push.kernels.codes import column_facts
from storage.batch import I64, MAX_COLUMNS, Batch, Column, Mask, Pairs, Texts, concat_texts, texts
from storage.build import column_of, columns_of_pairs
from storage.kernels.pairs import add_sizes
from storage.labels import quote
from storage.rows import metadata_pairs

_PLAIN_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*_?")
_OTHER = re.compile(r"[^A-Za-z0-9]+")
_REPLACED = re.compile("[\ufffd\udc80-\udcff]")


def metadata_sizes(batch: Batch) -> tuple[I64, I64]:
    """Bytes of names and values (int64[n]), and pairs (int64[n]), of each entry's structured metadata."""
    sizes = np.zeros(len(batch), np.int64)
    counts = np.zeros(len(batch), np.int64)
    for name, column in batch.metadata.items():
        codes, offsets = np.ascontiguousarray(column.codes), np.ascontiguousarray(column.values.offsets)
        add_sizes(codes, offsets, _name_bytes(name), sizes, counts)
    rest = batch.rest
    if rest is not None:
        names = np.array([_name_bytes(name) for name in rest.names], np.int64)
        ends = np.zeros(len(rest.keys) + 1, np.int64)
        np.cumsum(names[rest.keys] + rest.values.lengths, out=ends[1:])
        sizes += ends[rest.offsets[1:]] - ends[rest.offsets[:-1]]
        counts += np.diff(rest.offsets)
    return sizes, counts


def _name_bytes(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))


def has_metadata(batch: Batch) -> Mask:
    """Which entries have structured metadata."""
    present: Mask = np.zeros(len(batch), np.bool_)
    for column in batch.metadata.values():
        present |= column.codes >= 0
    if batch.rest is not None:
        present |= np.diff(batch.rest.offsets) > 0
    return present


def label_name(name: str) -> str:
    """The label name that OTLP's LabelNamer makes of any text.

    Runs of characters other than ASCII letters and digits become one underscore, but for the underscores of a name
    written `__like_this__`; a leading digit gets `key_` before it.

    Raises:
        PushFailed: nothing but underscores would be left.
    """
    return _cached_label_name(name) if len(name) <= _CACHED_NAME else _label_name(name)


def _label_name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return name
    if not name:
        raise PushFailed("label name is empty")
    if len(name) >= 4 and name.startswith("__") and name.endswith("__"):
        made = f"__{_OTHER.sub('_', name[2:-2])}__"
    else:
        made = _OTHER.sub("_", name)
    if made[0].isdigit():
        made = f"key_{made}"
    if not made.strip("_"):
        raise PushFailed(f"normalization for label name {quote(name)} resulted in invalid name {quote(made)}")
    return made


_CACHED_NAME = 256
"""Names up to this length are remembered: the cache stays under 2 MB whatever is sent."""
_cached_label_name = lru_cache(maxsize=4096)(_label_name)


def sanitise(batch: Batch) -> tuple[Batch, int]:
    """The batch with metadata names that are label names and values that are valid UTF-8.

    Of two names that become one, an entry keeps the value that came later in the push's order of names.

    Returns:
        The batch, and how many names and values of entries were changed.

    Raises:
        PushFailed: an entry has a name that cannot become a label name; Loki fails the whole push for it.
    """
    if not batch.metadata and batch.rest is None:
        return batch, 0
    columns: dict[str, Column] = {}
    changed = 0
    for name, column in batch.metadata.items():
        present, _, plain = _facts(column)
        if not present:
            continue
        made = label_name(name)
        if made in columns and batch.rest is not None:
            return _sanitise_pairs(batch)
        values = column.values if plain else clean_values(column.values)
        cleaned = column if values is column.values else Column(column.codes, values)
        if made != name:
            changed += int(np.count_nonzero(column.codes >= 0))
        if cleaned is not column:
            changed += int(_differing(column.values, values)[column.codes[column.codes >= 0]].sum())
        columns[made] = _overlay(columns[made], cleaned) if made in columns else cleaned
    rest = batch.rest
    if rest is not None:
        used = np.bincount(rest.keys, minlength=len(rest.names))
        names = tuple([label_name(name) for name, times in zip(rest.names, used.tolist(), strict=True) if times])
        if len(names) < len(rest.names) or len({*columns, *names}) < len(columns) + len(names):
            return _sanitise_pairs(batch)
        renamed = np.array([made != name for made, name in zip(names, rest.names, strict=True)], np.bool_)
        changed += int(used[renamed].sum())
        values = clean_values(rest.values)
        if values is not rest.values:
            changed += int(_differing(rest.values, values).sum())
        rest = Pairs(rest.offsets, rest.keys, names, values)
    elif columns.keys() == batch.metadata.keys() and all(columns[name] is batch.metadata[name] for name in columns):
        return batch, 0
    return replace(batch, metadata=columns, rest=rest), changed


def _differing(before: Texts, after: Texts) -> Mask:
    return np.array([old != new for old, new in zip(before.tolist(), after.tolist(), strict=True)], np.bool_)


def _facts(column: Column) -> tuple[bool, bool, bool]:
    """Whether an entry has it, a value is empty, all values are ASCII."""
    values = column.values
    found: tuple[bool, bool, bool] = column_facts(
        np.ascontiguousarray(column.codes), values.data, np.ascontiguousarray(values.offsets)
    )
    return found


def _overlay(under: Column, over: Column) -> Column:
    codes = np.where(over.codes >= 0, over.codes + len(under.values), under.codes).astype(np.int32)
    return Column(codes, concat_texts([under.values, over.values]))


def _sanitise_pairs(batch: Batch) -> tuple[Batch, int]:
    """`sanitise` for a batch with more names than columns of which some become one, or are those of no entry."""
    row, key, names, values = metadata_pairs(batch)
    if not len(row):
        return replace(batch, metadata={}, rest=None), 0
    made: dict[str, int] = {}
    numbers = np.zeros(len(names), np.int32)
    renamed: Mask = np.zeros(len(names), np.bool_)
    for number in np.unique(key).tolist():
        name = label_name(names[number])
        renamed[number] = name != names[number]
        numbers[number] = made.setdefault(name, len(made))
    changed = int(renamed[key].sum())
    cleaned = clean_values(values)
    if cleaned is not values:
        changed += int(_differing(values, cleaned).sum())
    key = numbers[key]
    # Stable, so that of an entry's equal names the last in order stays the last.
    order = np.lexsort((key, row))
    same = (row[order][1:] == row[order][:-1]) & (key[order][1:] == key[order][:-1])
    kept = np.sort(order[np.append(~same, True)])
    columns, rest = columns_of_pairs(len(batch), tuple(made), row[kept], key[kept], cleaned.take(kept))
    return replace(batch, metadata=columns, rest=rest), changed


def clean_values(values: Texts) -> Texts:
    """The values with a space for every U+FFFD and for every byte that is not UTF-8."""
    data = values.data[values.offsets[0] : values.offsets[-1]]
    if not len(data) or data.max() < 0x80 or (b"\xef\xbf\xbd" not in data.tobytes() and _is_utf8(values)):
        return values
    return texts(
        _REPLACED.sub(" ", value.decode("utf-8", "surrogateescape")).encode("utf-8") for value in values.tolist()
    )


def _is_utf8(values: Texts) -> bool:
    bounds = pa.py_buffer(np.ascontiguousarray(values.offsets))
    array = pa.LargeStringArray.from_buffers(len(values), bounds, pa.py_buffer(values.data))
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def take_column(batch: Batch, name: str) -> Column | None:
    """The column of one key, also of one that is among the rest; None where no entry has it."""
    if name in batch.metadata:
        return batch.metadata[name]
    if batch.rest is None or name not in batch.rest.names:
        return None
    at = np.flatnonzero(batch.rest.keys == batch.rest.names.index(name))
    rows = np.repeat(np.arange(len(batch), dtype=np.int64), np.diff(batch.rest.offsets))[at]
    return column_of(len(batch), rows, batch.rest.values.take(at))


def put_column(batch: Batch, name: str, column: Column) -> Batch:
    """The batch with the column of one key added or replaced, and the rarest key moved to the rest where it is full."""
    rest = batch.rest
    if rest is not None and name in rest.names:
        rest = _without(rest, name)
    columns = {**batch.metadata, name: column}
    if len(columns) > MAX_COLUMNS:
        rarest = min(columns, key=lambda key: np.count_nonzero(columns[key].codes >= 0))
        rest = _joined(rest, rarest, columns.pop(rarest))
    return Batch(batch.streams, batch.stream, batch.ts, batch.lines, columns, rest, batch.selection)


def _joined(pairs: Pairs | None, name: str, column: Column) -> Pairs:
    """The pairs with those of a column besides, last in their rows. The name is none that the pairs have."""
    present = column.codes >= 0
    before = np.zeros(len(present) + 1, np.int64)
    np.cumsum(present, out=before[1:])
    codes = column.codes[present]
    if pairs is None:
        return Pairs(before, np.zeros(len(codes), np.int32), (name,), column.values.take(codes))
    offsets = pairs.offsets + before
    added: Mask = np.zeros(int(offsets[-1]), np.bool_)
    added[offsets[1:][present] - 1] = True
    keys = np.empty(len(added), np.int32)
    keys[added], keys[~added] = len(pairs.names), pairs.keys
    places = np.empty(len(added), np.int64)
    places[added], places[~added] = codes + len(pairs.values), np.arange(len(pairs.values))
    values = concat_texts([pairs.values, column.values]).take(places)
    return Pairs(offsets, keys, (*pairs.names, name), values)


def drop_empty_values(batch: Batch) -> Batch:
    """The batch without metadata whose value is "": to a query a label that is empty is one that is not there."""
    if not batch.metadata and batch.rest is None:
        return batch
    metadata: dict[str, Column] = {}
    for name, column in batch.metadata.items():
        used, empty, _ = _facts(column)
        if used and empty:
            lengths = column.values.lengths
            codes = np.where((column.codes >= 0) & (lengths[column.codes] == 0), -1, column.codes).astype(np.int32)
            if codes.max() >= 0:
                metadata[name] = Column(codes, column.values)
        elif used:
            metadata[name] = column
    rest = batch.rest
    if rest is not None and not rest.values.lengths.all():
        rest = _keep(rest, np.flatnonzero(rest.values.lengths > 0))
    elif len(metadata) == len(batch.metadata) and all(metadata[name] is batch.metadata[name] for name in metadata):
        return batch
    return replace(batch, metadata=metadata, rest=rest)


def _without(pairs: Pairs, name: str) -> Pairs:
    if name not in pairs.names:
        return pairs
    return _keep(pairs, np.flatnonzero(pairs.keys != pairs.names.index(name)))


def _keep(pairs: Pairs, kept: I64) -> Pairs:
    rows = np.repeat(np.arange(len(pairs.offsets) - 1), np.diff(pairs.offsets))[kept]
    offsets = np.zeros(len(pairs.offsets), np.int64)
    np.cumsum(np.bincount(rows, minlength=len(pairs.offsets) - 1), out=offsets[1:])
    return Pairs(offsets, pairs.keys[kept], pairs.names, pairs.values.take(kept))
