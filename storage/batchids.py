"""Batch ids: a batch sent twice under one id is stored once. Ids are in the WAL record of their data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash

from storage.batch import Batch
from storage.control import Control
from storage.labels import labels_text
from storage.rows import metadata_pairs


def batch_digest(batch: Batch) -> bytes:
    """16 bytes that two batches share only if they say the same: labels, times, lines, metadata, in the same order."""
    row, key, names, values = metadata_pairs(batch)
    digest = xxhash.xxh3_128()
    digest.update(np.array([len(batch.streams), len(batch), len(names), len(row)], np.int64).tobytes())
    for labels in batch.streams:
        digest.update(labels_text(labels).encode("utf-8", "surrogateescape") + b"\0")
    digest.update(batch.stream.tobytes())
    digest.update(batch.ts.tobytes())
    lines = batch.lines.compact()
    digest.update(lines.lengths.tobytes())
    digest.update(lines.data.tobytes())
    digest.update("\0".join(names).encode("utf-8", "surrogateescape"))
    digest.update(row.tobytes() + key.tobytes() + values.lengths.tobytes())
    digest.update(values.compact().data.tobytes())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class BatchId:
    """How a sender names a batch.

    Attributes:
        id: 16 bytes, a UUID.
        digest: 16 bytes over what the sender sent (`batch_digest` of the decoded push, before any limit).
    """

    id: bytes
    digest: bytes


class BatchIds:
    """The ids of stored batches: the latest in memory, older ones in control.db. Used by the writer and the flush."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._recent: dict[tuple[str, bytes], tuple[bytes, int]] = {}

    def digest_of(self, tenant: str, batch_id: bytes) -> bytes | None:
        """The digest under which a batch id was stored, if it was."""
        recent = self._recent.get((tenant, batch_id))
        return recent[0] if recent is not None else self._control.digest_of(tenant, batch_id)

    def add(self, tenant: str, batch_id: bytes, digest: bytes, segment: int) -> None:
        """Notes an id whose batch is durable in a WAL segment."""
        self._recent[tenant, batch_id] = (digest, segment)

    def persist(self, upto: int) -> None:
        """Moves the ids of segments up to `upto` to control.db; after that the segments may go."""
        done = [(*key, digest) for key, (digest, segment) in list(self._recent.items()) if segment <= upto]
        if done:
            self._control.remember(done)
            for tenant, batch_id, _ in done:
                self._recent.pop((tenant, batch_id), None)
