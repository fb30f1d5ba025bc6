"""What a block's footer says about its rows, as kept in the Parquet key `weir`. FORMAT.md is the specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import google_crc32c
import msgspec
import numpy as np

from storage.batch import I32, I64, Labels
from storage.errors import CorruptBlock

VERSION = 1
KEY = b"weir"
CRC_KEY = b"weir.crc32c"
DATA_KEY = b"weir.data"
"""Bytes of the file before its footer and their CRC32C, `size:crc`."""


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of rows of one stream within one row group and hour, in row order.

    Attributes:
        group: int32[k], row group.
        stream: int32[k], index into the footer's streams.
        row: int64[k], first row within the row group.
        rows: int64[k].
        min_ts, max_ts: int64[k], ns.
        line_bytes: int64[k].
        metadata_bytes: int64[k], keys and values.
    """

    group: I32
    stream: I32
    row: I64
    rows: I64
    min_ts: I64
    max_ts: I64
    line_bytes: I64
    metadata_bytes: I64

    def __len__(self) -> int:
        return len(self.rows)


_SPAN_TYPES: dict[str, Any] = {
    "group": np.int32,
    "stream": np.int32,
    "row": np.int64,
    "rows": np.int64,
    "min_ts": np.int64,
    "max_ts": np.int64,
    "line_bytes": np.int64,
    "metadata_bytes": np.int64,
}


@dataclass(frozen=True, slots=True)
class OriginRange:
    """The block holds the tenant's rows of this day of the records first..last of an origin."""

    origin: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Footer:
    """A block in figures.

    Attributes:
        tenant: whose.
        day: days since the epoch; every row's ts is of this day (UTC).
        generation: place in order of arrival: rows of a smaller one arrived earlier.
        streams: label sets in canonical text order.
        stream_ids: their stable ids.
        spans: where each stream's rows stand.
        origins: the WAL records whose rows it holds.
        sources: ULIDs of the blocks that it replaces (compaction); empty after a flush.
        deletes: ids of the deletes whose entries were left out of it.
        columns: metadata keys that have a column of their own.
    """

    tenant: str
    day: int
    generation: int
    streams: tuple[Labels, ...]
    stream_ids: tuple[int, ...]
    spans: Spans
    origins: tuple[OriginRange, ...]
    sources: tuple[str, ...]
    columns: tuple[str, ...]
    deletes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Entries of the block."""
        return int(self.spans.rows.sum())


def encode_footer(footer: Footer, data_size: int, data_crc: int) -> dict[bytes, bytes]:
    """The key-value metadata of a Parquet file with so many bytes, of this CRC32C, before its footer."""
    body = msgspec.json.encode(
        {
            "version": VERSION,
            "tenant": footer.tenant,
            "day": footer.day,
            "generation": footer.generation,
            "streams": [dict(labels) for labels in footer.streams],
            "stream_ids": [f"{number:016x}" for number in footer.stream_ids],
            "spans": {name: getattr(footer.spans, name).tolist() for name in _SPAN_TYPES},
            "origins": [(item.origin, item.first, item.last) for item in footer.origins],
            "sources": footer.sources,
            "columns": footer.columns,
            "deletes": footer.deletes,
        }
    )
    data = b"%d:%08x" % (data_size, data_crc)
    return {KEY: body, DATA_KEY: data, CRC_KEY: b"%08x" % google_crc32c.value(body + data)}


def decode_data_crc(metadata: dict[bytes, bytes]) -> tuple[int, int]:
    """(bytes before the footer, their CRC32C), from metadata that decode_footer accepted."""
    size, crc = metadata[DATA_KEY].split(b":")
    return int(size), int(crc, 16)


def decode_footer(metadata: dict[bytes, bytes] | None, name: str) -> Footer:
    """The footer of the file `name`. Raises CorruptBlock naming it."""
    body = (metadata or {}).get(KEY)
    if metadata is None or body is None:
        raise CorruptBlock(f"block {name}: the Parquet footer has no key `weir`; it is not one of Weir's blocks")
    if b"%08x" % google_crc32c.value(body + metadata.get(DATA_KEY, b"")) != metadata.get(CRC_KEY):
        raise CorruptBlock(f"block {name}: the checksum of the footer's keys `weir` and `weir.data` is wrong")
    try:
        said = msgspec.json.decode(body)
        if said["version"] != VERSION:
            raise CorruptBlock(f"block {name}: format version {said['version']} is not known to this version of Weir")
        return Footer(
            tenant=said["tenant"],
            day=said["day"],
            generation=said["generation"],
            streams=tuple(tuple(sorted(labels.items())) for labels in said["streams"]),
            stream_ids=tuple(int(number, 16) for number in said["stream_ids"]),
            spans=Spans(**{key: np.array(said["spans"][key], dtype) for key, dtype in _SPAN_TYPES.items()}),
            origins=tuple(OriginRange(*item) for item in said["origins"]),
            sources=tuple(said["sources"]),
            columns=tuple(said["columns"]),
            deletes=tuple(said.get("deletes", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptBlock(f"block {name}: the footer's key `weir` cannot be read: {error}") from error
