"""Batches as a relay gives them to a sink."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from gateway.relay.sink import Outgoing
from storage.batch import Labels
from storage.build import BatchBuilder

LABELS: Labels = (("app", "shop"),)
FIRST = 1_700_000_000_000_000_000


def outgoing(
    lines: Sequence[str | bytes],
    *,
    uuid: UUID | None = None,
    tenant: str = "fake",
    labels: Labels = LABELS,
    metadata: Sequence[tuple[str, bytes]] = (),
) -> Outgoing:
    """Lines one ns apart."""
    builder = BatchBuilder()
    stream = builder.add_stream(labels)
    for number, line in enumerate(lines):
        builder.add(stream, FIRST + number, line.encode() if isinstance(line, str) else line, metadata)
    return Outgoing("archive", uuid or uuid4(), tenant, builder.build(), len(lines))
