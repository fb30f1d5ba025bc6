r"""A batch as it is written: one JSON object a line, as `weir export` has it and `weir import` reads it, or text.

No Python object exists per line. Bytes that are not UTF-8 become U+FFFD in JSON; text is for eyes: bytes are
as they came, but for ends of lines within a line, which are shown as \n and \r.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.export.records import Format, Layout
from gateway.query.label_texts import LabelTexts
from gateway.query.several import TENANT_LABEL
from logql import EntryColumns
from logql.entry_columns import columns_of_rows
from storage.batch import Batch, texts, texts_from_arrow

_JSON = Layout(Format.NDJSON)


def with_tenant(batch: Batch, tenant: str) -> Batch:
    """The batch with its tenant in a label of each stream, as in a query of several tenants."""
    streams = [tuple(sorted({**dict(labels), TENANT_LABEL: tenant}.items())) for labels in batch.streams]
    return replace(batch, streams=streams)


def as_json(batch: Batch) -> bytes:
    """The rows as NDJSON, in their order."""
    return b"".join(piece for piece, _ in _JSON.records(_columns(batch)))


def as_text(batch: Batch) -> bytes:
    """The rows as `2026-01-31T15:00:00.123456789Z {app="shop"} the line`, in their order."""
    entries = _columns(batch)
    if not len(entries):
        return b""
    names = LabelTexts()
    labels = texts([names.text(each.together).encode("utf-8", "replace") for each in entries.label_sets])
    times = np.datetime_as_string(entries.ts.astype("datetime64[ns]"), unit="ns", timezone="UTC").astype(bytes)
    lines = entries.lines.to_arrow().take(pa.array(entries.line))
    for end, shown in ((b"\n", b"\\n"), (b"\r", b"\\r")):
        lines = pc.replace_substring(lines, end, shown)
    columns = (pa.array(times, pa.large_binary()), labels.to_arrow().take(pa.array(entries.labels)), lines)
    joined = pc.binary_join_element_wise(*columns, pa.scalar(b" ", pa.large_binary()))
    ended = pc.binary_join_element_wise(joined, pa.scalar(b"", pa.large_binary()), pa.scalar(b"\n", pa.large_binary()))
    return texts_from_arrow(ended).compact().data.tobytes()


def _columns(batch: Batch) -> EntryColumns:
    rows = len(batch)
    return columns_of_rows([batch], np.zeros(rows, np.int64), np.arange(rows))
