"""Batch ids: a batch sent twice under one id is stored once. Ids are in the WAL record of their data."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xxhash

from storage.batch import Batch
from storage.control import Control
from storage.labels import labels_text
from storage.record import Request, Sender
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
        sender: the server that passes the batch on, if it is one and says who.
    """

    id: bytes
    digest: bytes
    sender: Sender | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """What a server that passes batches on has brought a tenant.

    Attributes:
        name: of the instance, as it says.
        tenant: whose.
        batches, records: that were stored, and entries in them as they were sent. A batch that came twice counts once.
        last_received: ns, when the last of them came in.
        path: ids of the servers that this one came through.
    """

    name: str
    tenant: str
    batches: int
    records: int
    last_received: int
    path: tuple[str, ...]

    def joined(self, other: Instance) -> Instance:
        """Both as one."""
        later = max(self, other, key=lambda one: one.last_received)
        return Instance(
            self.name,
            self.tenant,
            self.batches + other.batches,
            self.records + other.records,
            later.last_received,
            later.path,
        )


@dataclass(frozen=True, slots=True)
class _Recent:
    """A batch whose id is in the log alone."""

    digest: bytes
    segment: int
    brought: Instance | None


class BatchIds:
    """The ids of stored batches: the latest in memory, older ones in control.db. Used by the writer and the flush."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._lock = threading.Lock()
        """Over the move from memory to control.db: what is counted is in one of them."""
        self._recent: dict[tuple[str, bytes], _Recent] = {}

    def digest_of(self, tenant: str, batch_id: bytes) -> bytes | None:
        """The digest under which a batch id was stored, if it was."""
        recent = self._recent.get((tenant, batch_id))
        return recent.digest if recent is not None else self._control.digest_of(tenant, batch_id)

    def add(self, tenant: str, request: Request, segment: int, at: int) -> None:
        """Notes the id of a request that is durable in a WAL segment since `at` (ns), if it has one."""
        if request.batch_id is None or request.digest is None:
            return
        brought = None
        if request.sender is not None:
            brought = Instance(request.sender.name, tenant, 1, request.sent, at, request.sender.path)
        self._recent[tenant, request.batch_id] = _Recent(request.digest, segment, brought)

    def add_found(self, tenant: str, request: Request, segment: int, at: int) -> None:
        """As `add`, of a request that a replay found: its id may have come to control.db before the stop."""
        if request.batch_id is not None and self._control.digest_of(tenant, request.batch_id) is None:
            self.add(tenant, request, segment, at)

    def persist(self, upto: int) -> None:
        """Moves the ids of segments up to `upto` to control.db; after that the segments may go."""
        done = {key: one for key, one in list(self._recent.items()) if one.segment <= upto}
        if not done:
            return
        brought = _by_instance(one.brought for one in done.values())
        with self._lock:
            self._control.remember(((*key, one.digest) for key, one in done.items()), map(_values, brought.values()))
            for key in done:
                self._recent.pop(key, None)

    def instances(self) -> list[Instance]:
        """What each server that passes batches on has brought, by tenant and name. Raises StorageError."""
        with self._lock:
            rows = self._control.rows("SELECT name, tenant, batches, records, received, path FROM instances")
            recent = [one.brought for one in list(self._recent.values())]
        kept = [
            Instance(name, tenant, batches, records, received, tuple(json.loads(path)))
            for name, tenant, batches, records, received, path in rows
        ]
        found = _by_instance([*kept, *recent])
        return [found[key] for key in sorted(found)]


def _by_instance(brought: Iterable[Instance | None]) -> dict[tuple[str, str], Instance]:
    """All that each has brought, by tenant and name."""
    found: dict[tuple[str, str], Instance] = {}
    for one in brought:
        if one is not None:
            key = (one.tenant, one.name)
            found[key] = found[key].joined(one) if key in found else one
    return found


def _values(one: Instance) -> tuple[str, str, int, int, int, str]:
    """A row of the table `instances`."""
    return one.tenant, one.name, one.batches, one.records, one.last_received, json.dumps(one.path)
