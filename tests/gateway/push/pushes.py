"""Decoded pushes for tests, written as the JSON body would have them."""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.batch import Batch, Labels
from storage.build import BatchBuilder

DATA = Path(__file__).parent / "data"
NOW = 1_795_341_600_000_000_000  # 2026-11-22T10:00:00Z
SECOND = 1_000_000_000
HOUR = 3600 * SECOND


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def labels_of(pairs: Mapping[str, str] | Iterable[Sequence[str]]) -> Labels:
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return tuple(sorted(((name, value) for name, value in items if value), key=lambda pair: pair[0]))


def batch_of(streams: Iterable[Mapping[str, Any]]) -> Batch:
    """The batch of `[{"stream": {...} or pairs, "values": [[ts, line, metadata?], ...]}, ...]`."""
    builder = BatchBuilder()
    for stream in streams:
        number = builder.add_stream(labels_of(stream["stream"]))
        for ts, line, *metadata in stream["values"]:
            pairs = metadata[0].items() if metadata else ()
            builder.add(number, int(ts), as_bytes(line), [(key, as_bytes(value)) for key, value in pairs])
    return builder.build()


def one_stream(*values: Sequence[Any], **labels: str) -> Batch:
    return batch_of([{"stream": labels or {"a": "b"}, "values": values}])


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def body_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "gz_b64" in record:
        streams: list[dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(record["gz_b64"])))["streams"]
        return streams
    return list(record["streams"])


def metadata_of(batch: Batch, row: int) -> dict[str, bytes]:
    found = {key: value for key, column in batch.metadata.items() if (value := column[row]) is not None}
    if batch.rest is not None:
        for pair in range(int(batch.rest.offsets[row]), int(batch.rest.offsets[row + 1])):
            found[batch.rest.names[int(batch.rest.keys[pair])]] = batch.rest.values[pair]
    return found


def entries_of(batch: Batch | None) -> list[tuple[Labels, int, bytes, dict[str, bytes]]]:
    if batch is None:
        return []
    return [
        (batch.streams[int(batch.stream[row])], int(batch.ts[row]), batch.lines[row], metadata_of(batch, row))
        for row in range(len(batch))
    ]
