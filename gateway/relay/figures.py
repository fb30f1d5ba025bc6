"""What a relay tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from storage.outbox.ledger import Tally
from storage.outbox.places import Backlog

State: TypeAlias = Literal["starting", "waiting", "sending", "failing", "stopped", "gone"]
"""waiting: for records; failing: between two tries of a batch; gone: in no setting any more, and still kept for."""


@dataclass(frozen=True, slots=True)
class RelayFigures:
    """One relay.

    Attributes:
        name: of the relay.
        kind: of its sink; empty for one that is gone.
        destination: of its sink, for people: no secrets.
        state: what it does.
        size, target: records in a batch, now and at best.
        totals: by status (pending, sending, failed, refused, archived, removed): all batches there ever were.
        deduplicated: batches of this process that the destination had already.
        given_up: records of this process that were given up, by max_backlog or after failures.
        backlog: what is behind its cursor, sent batches that are not archived yet among it.
        retries: failed tries of this process.
        failures: failed tries in a row, now.
        last_success: ns when a batch was last archived; 0: not since the start.
        last_error: what the last try that failed said; empty once one succeeded.
    """

    name: str
    kind: str
    destination: str
    state: State
    size: int
    target: int
    totals: Mapping[str, Tally]
    deduplicated: int
    given_up: int
    backlog: Backlog
    retries: int
    failures: int
    last_success: int
    last_error: str
