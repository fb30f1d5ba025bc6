"""The conformance dataset as the push door stores it: service_name, detected_level and structured metadata are real."""

from __future__ import annotations

import json
from functools import cache

from config.limits import Limits
from gateway.push.decode import decode_push
from gateway.push.streams import TenantStreams
from gateway.push.validate import validate
from storage.batch import Batch
from storage.rows import metadata_pairs
from tests.logql.dataset import DATASET, json_lines
from tests.logql.memory_source import Stored

END = 1_795_172_400_000_000_000
"""ns, of the dataset's window."""


@cache
def pushed_dataset() -> list[Stored]:
    """Every distinct entry in order of arrival."""
    limits = Limits(reject_old_samples=False)
    states = TenantStreams()
    entries: dict[Stored, None] = {}
    for request in json_lines(DATASET):
        body = json.dumps(request["body"]).encode()
        pushed = decode_push(body, "application/json", "", False, limits)
        verdict = validate(pushed, "tenant", limits, END, states)
        if verdict.batch is not None:
            entries.update(dict.fromkeys(_stored(verdict.batch)))
    return list(entries)


def _stored(batch: Batch) -> list[Stored]:
    metadata: list[list[tuple[str, bytes]]] = [[] for _ in range(len(batch))]
    rows, keys, names, values = metadata_pairs(batch)
    for row, key, value in zip(rows.tolist(), keys.tolist(), values.tolist(), strict=True):
        metadata[row].append((names[key], value))
    columns = zip(batch.stream.tolist(), batch.ts.tolist(), batch.lines.tolist(), metadata, strict=True)
    return [Stored(batch.streams[stream], ts, line, tuple(sorted(own))) for stream, ts, line, own in columns]
