"""What a block's footer says about its rows, as kept in the Parquet key `weir`. FORMAT.md is the specification."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import google_crc32c
import msgspec
import numpy as np
import zstandard

from storage.batch import I32, I64, Labels
from storage.errors import CorruptBlock

VERSION = 1
PACKED_VERSION = 2
"""Of a value of `weir` that is one of version 1, packed."""
PACK_FROM = 256 << 10
"""Bytes from which the value of `weir` is packed. That of 100,000 streams has 29 MB, packed 3 MB: who has a file open
holds it, and each flush writes one."""
_MAX_UNPACKED = 4 << 30
_AT_ONCE = 16_384
"""Streams or numbers that are Python objects at once when a footer is written."""
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
        streams: label sets in canonical text order. Of a packed footer they are unpacked each time they are asked for.
        stream_ids: their stable ids.
        spans: where each stream's rows stand.
        origins: the WAL records whose rows it holds.
        sources: ULIDs of the blocks that it replaces (compaction); empty after a flush.
        deletes: ids of the deletes whose entries were left out of it.
        columns: metadata keys that have a column of their own.
        metadata: what storage.words says of the spans' metadata, as JSON; empty where it is not said.
    """

    tenant: str
    day: int
    generation: int
    streams: Sequence[Labels]
    stream_ids: tuple[int, ...]
    spans: Spans
    origins: tuple[OriginRange, ...]
    sources: tuple[str, ...]
    columns: tuple[str, ...]
    deletes: tuple[str, ...] = ()
    metadata: bytes = b""

    @property
    def rows(self) -> int:
        """Entries of the block."""
        return int(self.spans.rows.sum())


def encode_footer(footer: Footer, data_size: int, data_crc: int) -> dict[bytes, bytes]:
    """The key-value metadata of a Parquet file with so many bytes, of this CRC32C, before its footer."""
    more = {"metadata": msgspec.Raw(footer.metadata)} if footer.metadata else {}
    body = _packed(
        {
            "version": VERSION,
            "tenant": footer.tenant,
            "day": footer.day,
            "generation": footer.generation,
            "streams": _in_pieces(footer.streams, lambda some: [dict(labels) for labels in some]),
            "stream_ids": _in_pieces(footer.stream_ids, lambda some: [f"{number:016x}" for number in some]),
            "spans": _spans_in_pieces(footer.spans),
            "origins": [(item.origin, item.first, item.last) for item in footer.origins],
            "sources": footer.sources,
            "columns": footer.columns,
            "deletes": footer.deletes,
            **more,
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
        plain = unpacked(body)
        said = msgspec.json.decode(plain, type=_Said)
        if said.version != VERSION:
            raise CorruptBlock(f"block {name}: format version {said.version} is not known to this version of Weir")
        ids = tuple([int(number, 16) for number in said.stream_ids])
        return Footer(
            tenant=said.tenant,
            day=said.day,
            generation=said.generation,
            streams=_label_sets(said.streams) if plain is body else _PackedStreams(body, len(ids)),
            stream_ids=ids,
            spans=Spans(**{key: _numbers(said.spans[key], dtype) for key, dtype in _SPAN_TYPES.items()}),
            origins=tuple(OriginRange(*item) for item in said.origins),
            sources=tuple(said.sources),
            columns=tuple(said.columns),
            deletes=tuple(said.deletes),
            metadata=bytes(said.metadata),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptBlock(f"block {name}: the footer's key `weir` cannot be read: {error}") from error


class _Said(msgspec.Struct):
    """What `weir` says, the parts that may be long as their text."""

    version: int
    tenant: str
    day: int
    generation: int
    streams: msgspec.Raw
    stream_ids: list[str]
    spans: dict[str, msgspec.Raw]
    origins: list[tuple[str, int, int]]
    sources: list[str]
    columns: list[str]
    deletes: list[str] = []
    metadata: msgspec.Raw = msgspec.Raw(b"")


def _numbers(text: msgspec.Raw, dtype: type[np.generic]) -> Any:
    return np.array(msgspec.json.decode(text, type=list[int]), dtype)


def _label_sets(text: msgspec.Raw) -> tuple[Labels, ...]:
    found = msgspec.json.decode(text, type=list[dict[str, str]])
    return tuple([tuple(sorted(labels.items())) for labels in found])


class _PackedStreams(Sequence[Labels]):
    """The label sets of a packed footer: as objects, those of many streams would take most of a server's memory."""

    __slots__ = ("_body", "_count")

    def __init__(self, body: bytes, count: int) -> None:
        self._body = body
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Any:
        return iter(self._all())

    @overload
    def __getitem__(self, number: int) -> Labels: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Labels]: ...
    def __getitem__(self, number: int | slice) -> Labels | Sequence[Labels]:
        return self._all()[number]

    def _all(self) -> tuple[Labels, ...]:
        return _label_sets(msgspec.json.decode(unpacked(self._body), type=_Said).streams)


class _Envelope(msgspec.Struct):
    """A packed value. What it replaces stays readable for whoever reads blocks with other tools (docs/parquet.md)."""

    version: int
    sources: Sequence[str] = ()
    packed: str = ""


def _packed(said: dict[str, Any]) -> bytes:
    """The value of `weir`: JSON, packed from a certain size on. A value may be an iterator over parts of its JSON."""
    pieces = [b"{"]
    for key, value in said.items():
        pieces.append((b"," if len(pieces) > 1 else b"") + msgspec.json.encode(key) + b":")
        pieces += value if isinstance(value, Iterator) else (msgspec.json.encode(value),)
    pieces.append(b"}")
    size = sum(map(len, pieces))
    if size < PACK_FROM:
        return b"".join(pieces)
    packer = zstandard.ZstdCompressor(level=3).compressobj(size=size)
    frame = b"".join([*map(packer.compress, pieces), packer.flush()])
    del pieces
    return msgspec.json.encode(_Envelope(PACKED_VERSION, said["sources"], base64.b64encode(frame).decode()))


def _in_pieces(values: Any, said: Callable[[Any], list[Any]]) -> Iterator[bytes]:
    """A JSON array. Its values are made into what is said of them some at a time: all of them would be much memory."""
    for start in range(0, max(len(values), 1), _AT_ONCE):
        yield b"," if start else b"["
        yield msgspec.json.encode(said(values[start : start + _AT_ONCE]))[1:-1]
    yield b"]"


def _spans_in_pieces(spans: Spans) -> Iterator[bytes]:
    for number, name in enumerate(_SPAN_TYPES):
        yield (b"," if number else b"{") + msgspec.json.encode(name) + b":"
        yield from _in_pieces(getattr(spans, name), lambda some: some.tolist())
    yield b"}"


def unpacked(body: bytes) -> bytes:
    """The JSON of version 1 of a value of `weir` whose checksum is right; `body` itself if it is that.

    Raises ValueError, msgspec's errors among them, if it is neither that nor packed.
    """
    # Written by this version, a packed one begins so; anything else is left to who reads it.
    if not body.startswith(b'{"version":2,'):
        return body
    try:
        raw = base64.b64decode(msgspec.json.decode(body, type=_Envelope).packed, validate=True)
        return zstandard.ZstdDecompressor().decompress(raw, max_output_size=_MAX_UNPACKED)
    except (binascii.Error, zstandard.ZstdError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
