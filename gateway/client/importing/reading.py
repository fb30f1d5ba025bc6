"""From bytes of a source to batches of entries: plain lines, JSON a line, or one JSON document."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from itertools import islice

import msgspec

from gateway.client.errors import BadArgument
from gateway.client.importing.entries import Batch, Carry, Rejected, Row
from gateway.client.importing.records import NotEntries, rows_of_document, rows_of_record
from gateway.client.importing.source import BadSource, Source, faults, pieces
from gateway.client.importing.state import Importing
from gateway.client.importing.when import Rule, choose_rule, known_rules
from gateway.client.lines import Labels

_SAMPLE_BYTES = 256 << 10
"""Of the beginning of a source, to see what it is."""
_SAMPLE_LINES = 500


_NO_JSON = (msgspec.MsgspecError, RecursionError)


class Format(StrEnum):
    """What a file is made of."""

    AUTO = "auto"
    TEXT = "text"
    NDJSON = "ndjson"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a JSON line are what; nothing said: those that Weir's export and logcli write.

    Attributes:
        time: of the time.
        line: of the line; None: the whole text, where another field is named.
        labels: that are labels.
        metadata: that are structured metadata.
    """

    time: str | None = None
    line: str | None = None
    labels: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether anything is said."""
        return bool(self.time or self.line or self.labels or self.metadata)


@dataclass(frozen=True, slots=True)
class Reading:
    """How sources are read.

    Attributes:
        form: of the sources.
        labels: that every entry gets.
        file_label: the label that the file's name gets in text and in JSON lines of which fields are named; "" is none.
        fields: of JSON lines.
        rule: where a time stands in a line of text; None: as is found out.
        line_times: whether lines of text are asked for their time.
        file_times: whether lines without one get the file's time rather than that of the import's beginning.
        zone: of times that do not say theirs.
        encoding: of the text; newlines are the byte 10 in it.
        batch_bytes: of a batch, as it is in the source.
        batch_lines: of a batch.
    """

    form: Format = Format.AUTO
    labels: Mapping[str, str] = field(default_factory=dict)
    file_label: str = "filename"
    fields: Fields = field(default_factory=Fields)
    rule: Rule | None = None
    line_times: bool = True
    file_times: bool = True
    zone: tzinfo = UTC
    encoding: str = "utf-8"
    batch_bytes: int = 1 << 20
    batch_lines: int = 20_000

    def batches(self, source: Source, state: Importing) -> Iterator[Batch]:
        """The batches of a source that are not acknowledged yet.

        Raises:
            BadArgument: it is not what the flags say.
            BadSource: it cannot be read.
        """
        try:
            yield from self._batches(source, state)
        except faults(source) as error:
            raise BadSource(f"cannot read {source.name} any further: {error}") from error

    def _batches(self, source: Source, state: Importing) -> Iterator[Batch]:
        sample: list[str] = []
        if source.path is not None:
            with source.open() as file:
                sample = self._sample(file.read(_SAMPLE_BYTES))
        form = self._form(sample)
        if form is Format.JSON:
            yield from self._document(source, state)
            return
        base = state.modified if self.file_times else state.began
        rule: Rule | None = self._rule(sample, base)
        at, carry = state.done, state.carry
        for size in state.sizes:
            stop = None if source.packing or source.path is None else size
            with source.open(at) as file:
                for piece in pieces(file, at, stop, self.batch_bytes, self.batch_lines):
                    if source.path is None and not sample:
                        sample = self._sample(piece)
                        form, rule = self._form(sample), self._rule(sample, base)
                        if form is Format.JSON:
                            raise BadArgument("stdin is one JSON document: give it as a file")
                    lines = self._lines(piece, first=at == 0)
                    if form is Format.NDJSON:
                        rows, rejected = self._records(lines, source)
                    else:
                        rows, carry = self._text(lines, source, rule, base, carry)
                        rejected = []
                    yield Batch(at, at + len(piece), rows, tuple(rejected), carry, len(piece))
                    at += len(piece)

    def _sample(self, head: bytes) -> list[str]:
        """The first lines; a last one that is cut off is left out."""
        whole, newline, _ = head.rpartition(b"\n")
        return self._lines(whole if newline else head, first=True)[:_SAMPLE_LINES]

    def _lines(self, piece: bytes, *, first: bool) -> list[str]:
        if first and self.encoding == "utf-8":
            piece = piece.removeprefix(codecs.BOM_UTF8)
        lines = piece.removesuffix(b"\n").decode(self.encoding, "replace").split("\n")
        return [line.removesuffix("\r") for line in lines] if b"\r\n" in piece or piece.endswith(b"\r") else lines

    def _form(self, sample: Sequence[str]) -> Format:
        """What a source is, by its first line that has text: NDJSON only if it has entries that are known here."""
        if self.form is not Format.AUTO:
            return self.form
        if self.fields.named:
            return Format.NDJSON
        first = next((line for line in sample if line.strip()), "")
        if not first.lstrip().startswith("{"):
            return Format.TEXT
        try:
            record = msgspec.json.decode(first)
        except _NO_JSON:
            # The beginning of a document on several lines, or of one long line.
            return Format.JSON if first.strip() == "{" or '"streams"' in first[:200] else Format.TEXT
        try:
            rows_of_record(record, {}, Fields(), self.zone, first)
        except NotEntries:
            return Format.TEXT
        return Format.NDJSON

    def _rule(self, sample: Sequence[str], base: int) -> Rule | None:
        if not self.line_times or self.rule is not None:
            return self.rule if self.line_times else None
        return choose_rule(known_rules(self.zone, base), sample)

    def _labels(self, source: Source) -> Labels:
        name = {self.file_label: source.name} if self.file_label and source.path is not None else {}
        return tuple(sorted({**name, **self.labels}.items()))

    def _text(
        self, lines: Sequence[str], source: Source, rule: Rule | None, base: int, carry: Carry
    ) -> tuple[list[Row], Carry]:
        """Entries of plain lines. Lines of one time are set a nanosecond apart: equal ones would be one entry."""
        labels = self._labels(source)
        raw, bump = carry.raw, carry.bump
        rows: list[Row] = []
        add = rows.append
        find = rule.find if rule is not None else _no_time
        for line in lines:
            if not line:
                continue
            at = find(line)
            if at is None:
                at = base if raw is None else raw
            if at == raw:
                bump += 1
            else:
                raw, bump = at, 0
            add((labels, [str(at + bump), line]))
        return rows, Carry(raw, bump)

    def _records(self, lines: Sequence[str], source: Source) -> tuple[list[Row], list[Rejected]]:
        extra = dict(self._labels(source)) if self.fields.named else dict(self.labels)
        rows: list[Row] = []
        rejected: list[Rejected] = []
        for line in lines:
            if not line or line.isspace():
                continue
            try:
                rows += rows_of_record(msgspec.json.decode(line), extra, self.fields, self.zone, line)
            except (*_NO_JSON, NotEntries) as error:
                rejected.append(Rejected(line, str(error)))
        return rows, rejected

    def _document(self, source: Source, state: Importing) -> Iterator[Batch]:
        at = state.done
        try:
            with source.open() as file:
                text = file.read().removeprefix(codecs.BOM_UTF8).decode(self.encoding, "replace")
            rows = islice(rows_of_document(msgspec.json.decode(text), dict(self.labels), self.zone), at, None)
            while batch := _cut(rows, self.batch_lines, self.batch_bytes):
                yield Batch(at, at + len(batch), batch, (), Carry(), sum(len(value[1]) for _, value in batch))
                at += len(batch)
        except (*_NO_JSON, NotEntries) as error:
            raise BadArgument(f"{source.name} is no JSON document with log lines: {error}") from error


def _cut(rows: Iterator[Row], most_lines: int, most_bytes: int) -> list[Row]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[1][1]) + 32
        if len(batch) >= most_lines or size >= most_bytes:
            break
    return batch


def _no_time(_: str) -> int | None:
    return None
