"""OTLP logs as protobuf: an ExportLogsServiceRequest into columns.

A kernel walks the wire format; Python objects are made per resource, scope and distinct attribute name, and for values
that are neither text, whole number nor boolean. Whatever the kernel is not sure of is left to the protobuf library
(otlp_exact.py), refusals among it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from google.protobuf.message import DecodeError

from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.kernels.otlp import (
    FIELDS,
    NAME_END,
    NAME_START,
    NOT_SURE,
    PAIR_ROW,
    VALUE_END,
    VALUE_START,
    number_names,
    walk,
)
from gateway.push.metadata import put_column, take_column
from gateway.push.otlp_exact import decode_exact, label_set, resource_parts, scope_metadata
from gateway.push.otlp_messages import AnyValue, Resource, Scope
from gateway.push.otlp_rules import AttributeRules, Rules, otlp_name
from gateway.push.otlp_values import LONGEST_DOUBLE, double_texts, text_of
from storage.batch import I32, I64, MAX_COLUMNS, U8, Batch, Column, Labels, Texts, concat_texts, texts
from storage.build import SEED, TextSpans, columns_of_spans

_DROPPED = -1
_RECORD_BYTES, _PAIR_BYTES = 256, 32
"""Bytes of a request for which a walk is given room for one record and for one pair at first. Where that is too little,
the request is walked again with what it takes."""
_FEW = 64
"""Resources, scopes and odd values that it is given room for."""
_FIELD_NAMES = FIELDS[1:]

Counts: TypeAlias = tuple[int, ...]
"""Of resources, scopes, records, pairs, bytes of text, odd values, attributes that are doubles."""


def decode_otlp(raw: bytes, rules: Rules, now: int) -> Batch:
    """The records of an ExportLogsServiceRequest.

    Args:
        raw: the message.
        rules: the tenant's.
        now: ns, the time of a record that has none.

    Returns:
        A batch with a stream for each resource, label sets sorted by name; names of metadata are label names.

    Raises:
        MalformedPush: the message, an id or an attribute's name is refused.
        NoStreams: it has no record.
        PushTooLarge: a label set is too long.
    """
    if rules.labels_by_record:
        return decode_exact(raw, rules, now)
    walked = _walked(np.frombuffer(raw, np.uint8), now)
    if walked is None:  # the kernel is not sure
        return decode_exact(raw, rules, now)
    try:
        streams, shared = walked.parts(raw, rules)
        walked.put_odd_values(raw)
        batch = walked.batch(streams, shared, rules.log)
    except (DecodeError, MalformedPush):  # what the kernel does not look into; the library words the refusal
        return decode_exact(raw, rules, now)
    if not len(batch):
        raise NoStreams
    return batch


def _walked(message: U8, now: int) -> _Walked | None:
    """What the kernel makes of a request; None where it is not sure."""
    size = len(message)
    records, pairs = size // _RECORD_BYTES + 1, size // _PAIR_BYTES + len(_FIELD_NAMES)
    room: Counts = _FEW, _FEW, records, pairs, size, _FEW, records
    while True:
        walked = _Walked(message, room, now)
        if walked.counts[0] == NOT_SURE:
            return None
        if all(count <= there for count, there in zip(walked.counts, room, strict=True)):
            return walked
        room = walked.counts


class _Walked:
    """The columns that the kernel made of a request.

    Attributes:
        counts: how many there are of each kind; of resources NOT_SURE where the kernel is not sure.
    """

    __slots__ = (
        "_data",
        "_doubles",
        "_kinds",
        "_lines",
        "_odd",
        "_pairs",
        "_resource_of",
        "_resources",
        "_scope",
        "_scopes",
        "_ts",
        "_written",
        "counts",
    )

    def __init__(self, message: U8, room: Counts, now: int) -> None:
        """Walks it. It may have more than there was room for, or be none to be sure of: then nothing else holds."""
        resources, scopes, records, pairs, text, odd, doubles = room
        size = len(message)
        self._data: U8 = np.empty(size + text + LONGEST_DOUBLE * doubles, np.uint8)
        self._data[:size] = message
        self._resources: I64 = np.empty((resources, 2), np.int64)
        self._scopes: I64 = np.empty((scopes, 2), np.int64)
        self._resource_of: I32 = np.empty(scopes, np.int32)
        self._scope: I32 = np.empty(records, np.int32)
        self._ts: I64 = np.empty(records, np.int64)
        self._lines: I64 = np.empty((2, records), np.int64)
        self._pairs: I64 = np.empty((5, pairs), np.int64)
        self._kinds: I32 = np.empty(pairs, np.int32)
        self._odd: I64 = np.empty((odd, 3), np.int64)
        self._doubles: I64 = np.empty((doubles, 2), np.int64)
        self.counts: Counts = walk(
            self._data[: size + text],
            size,
            now,
            self._resources,
            self._scopes,
            self._resource_of,
            self._scope,
            self._ts,
            self._lines,
            self._pairs,
            self._kinds,
            self._odd,
            self._doubles,
        )
        resources, scopes, records, pairs, text, odd, doubles = self.counts
        self._written = size + text
        self._resources, self._scopes = self._resources[:resources], self._scopes[:scopes]
        self._resource_of, self._scope = self._resource_of[:scopes], self._scope[:records]
        self._ts, self._lines = self._ts[:records].copy(), self._lines[:, :records]
        self._pairs, self._kinds = self._pairs[:, :pairs], self._kinds[:pairs]
        self._odd, self._doubles = self._odd[:odd], self._doubles[:doubles]

    def parts(self, raw: bytes, rules: Rules) -> tuple[list[Labels], list[dict[str, bytes]]]:
        """The label set of each resource, and the metadata that each scope and its resource give to their records."""
        parts = [resource_parts(Resource.FromString(raw[a:b]), rules) for a, b in self._resources.tolist()]
        shared = [
            parts[resource][1] | scope_metadata(Scope.FromString(raw[a:b]), rules)
            for resource, (a, b) in zip(self._resource_of.tolist(), self._scopes.tolist(), strict=True)
        ]
        return [label_set(labels) for labels, _ in parts], shared

    def put_odd_values(self, raw: bytes) -> None:
        """Writes the values that only Python puts into words behind the others."""
        if len(self._doubles):
            made = double_texts(np.ascontiguousarray(self._doubles[:, 1]).view(np.float64))
            ends = self._written + made.offsets[1:]
            places = self._doubles[:, 0]
            self._pairs[VALUE_START, places], self._pairs[VALUE_END, places] = ends - made.lengths, ends
            self._data[self._written : int(ends[-1])] = made.data[: made.nbytes]
        if len(self._odd):
            self._put_others(raw)

    def _put_others(self, raw: bytes) -> None:
        made: list[bytes] = []
        at = len(self._data)
        for place, start, end in self._odd.tolist():
            text = text_of(AnyValue.FromString(raw[start:end]))
            if place < 0:
                self._lines[0, -1 - place], self._lines[1, -1 - place] = at, at + len(text)
            else:
                self._pairs[VALUE_START, place], self._pairs[VALUE_END, place] = at, at + len(text)
            made.append(text)
            at += len(text)
        self._data = np.concatenate([self._data, np.frombuffer(b"".join(made), np.uint8)])

    def batch(self, streams: list[Labels], shared: list[dict[str, bytes]], rules: AttributeRules) -> Batch:
        """All of it as a Batch."""
        n = len(self._ts)
        names, key = self._keys(rules)
        rows, starts, ends = self._pairs[PAIR_ROW], self._pairs[VALUE_START], self._pairs[VALUE_END]
        if len(key) and key.min() == _DROPPED:
            kept = np.flatnonzero(key != _DROPPED)
            rows, key, starts, ends = rows[kept], key[kept], starts[kept], ends[kept]
        columns, rest = columns_of_spans(n, names, rows, key, TextSpans(self._data, starts, ends))
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum(self._lines[1] - self._lines[0], out=offsets[1:])
        spans = TextSpans(self._data, self._lines[0], self._lines[1])
        lines = spans.gathered(np.arange(n, dtype=np.int64), offsets)
        columns = {name: column for name, column in columns.items() if len(column.values)}
        made = Batch(streams, self._resource_of[self._scope], self._ts, lines, columns, rest)
        return _with_shared(made, shared, self._scope)

    def _keys(self, rules: AttributeRules) -> tuple[list[str], I32]:
        """The names of the metadata, and of each pair the number of its name, or _DROPPED."""
        count = len(self._kinds)
        key: I32 = np.empty(count, np.int32)
        firsts: I64 = np.empty(count, np.int64)
        starts, ends = self._pairs[NAME_START], self._pairs[NAME_END]
        firsts = firsts[: number_names(self._data, starts, ends, self._kinds, SEED, key, firsts)]
        numbers = {name: number for number, name in enumerate(_FIELD_NAMES)}
        table = [_DROPPED, *range(len(_FIELD_NAMES))]
        for start, end in zip(starts[firsts].tolist(), ends[firsts].tolist(), strict=True):
            name = self._data[start:end].tobytes().decode("utf-8", "surrogateescape")
            dropped = rules.action(name) == "drop"
            table.append(_DROPPED if dropped else numbers.setdefault(otlp_name(name), len(numbers)))
        return list(numbers), np.array(table, np.int32)[key]


def _with_shared(batch: Batch, shared: Sequence[dict[str, bytes]], scope: I32) -> Batch:
    """The batch with the metadata that a record has of its scope, which goes before its own.

    Args:
        batch: the records.
        shared: of each scope.
        scope: int32[n], of each record.
    """
    tables: dict[str, tuple[dict[bytes, int], list[int]]] = {}
    for number, metadata in enumerate(shared):
        for name, value in metadata.items():
            values, table = tables.setdefault(name, ({}, [-1] * len(shared)))
            table[number] = values.setdefault(value, len(values))
    columns: dict[str, Column] = {}
    for name, (values, table) in tables.items():
        column = Column(np.array(table, np.int32)[scope], texts(values))
        under = take_column(batch, name)
        columns[name] = column if under is None else _over(column, under)
    if batch.rest is None and len(batch.metadata.keys() | columns) <= MAX_COLUMNS:
        return replace(batch, metadata={**batch.metadata, **columns})
    for name, column in columns.items():
        batch = put_column(batch, name, column)
    return batch


def _over(column: Column, under: Column) -> Column:
    codes = np.where(column.codes >= 0, column.codes + len(under.values), under.codes).astype(np.int32)
    values: Texts = concat_texts([under.values, column.values])
    return Column(codes, values)
