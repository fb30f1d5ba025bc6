"""What the tests of the push decoders share."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from config.limits import Limits
from gateway.push.errors import MalformedPush, NoStreams, PushError, PushTooLarge
from storage.batch import Batch

DATA = Path(__file__).parent / "data"
LIMITS = Limits()
JSON = "application/json"
PROTOBUF = "application/x-protobuf"

STATUS: dict[type[PushError], int] = {MalformedPush: 400, PushTooLarge: 413, NoStreams: 422}


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a data file."""
    return [json.loads(line) for line in (DATA / name).read_text().split("\n") if line]


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes of a case's body."""
    if "b64" in case:
        return base64.b64decode(case["b64"])
    if "gz_b64" in case:
        return gzip.decompress(base64.b64decode(case["gz_b64"]))
    return str(case["body"]).encode()


def rows(batch: Batch) -> list[tuple[Any, int, bytes, dict[str, bytes]]]:
    """(labels, ts, line, metadata) of every entry."""
    lines = batch.lines.tolist()
    out = []
    for row, line in enumerate(lines):
        pairs = {key: value for key, column in batch.metadata.items() if (value := column[row]) is not None}
        if batch.rest is not None:
            first, last = batch.rest.offsets[row : row + 2].tolist()
            for at in range(first, last):
                pairs[batch.rest.names[int(batch.rest.keys[at])]] = batch.rest.values[at]
        out.append((batch.streams[int(batch.stream[row])], int(batch.ts[row]), line, pairs))
    return out
