"""Where a relay sends to: the seam between `Relay`, which knows batches and their fate, and what takes them.

A sink knows one destination and no ledger: it is given a batch, says what became of it, and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

from storage.batch import Batch, Labels


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What a relay does, whatever its sink is.

    Attributes:
        name: of the relay, unique on a server; its cursor in the outbox has this name.
        batch_size: records in a batch, at most: the target of the adaptive size.
        batch_interval: ns after which a batch goes though fewer records came; from the oldest of them on.
        batch_size_min: part of `batch_size` that the size does not fall below, 0 < min <= 1.
        batch_size_recovery: part by which the size grows after a success, >= 0.
        selector: LogQL stream selector of what is sent; empty: all.
        add_labels: put on every stream, over what the stream has under these names.
        tenant: at the destination, of everything sent; empty: the tenant that the entries have here.
        notify_after: failures in a row after which an alert is raised.
        on_failure: what becomes of a batch then: kept for as long as it takes, or given up (emitters only).
        holds_retention: entries do not expire before they are sent, and their age counts from then.
        max_backlog: bytes of lines that may wait; above it the oldest batches are given up. 0: no limit.
    """

    name: str
    batch_size: int = 1000
    batch_interval: int = 60_000_000_000
    batch_size_min: float = 0.2
    batch_size_recovery: float = 0.1
    selector: str = ""
    add_labels: Labels = ()
    tenant: str = ""
    notify_after: int = 5
    on_failure: Literal["keep", "discard"] = "keep"
    max_backlog: int = 0
    holds_retention: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A batch on its way.

    Attributes:
        relay: name of the relay.
        uuid: of the batch: the same whenever the same rows are sent again.
        tenant: whose the entries are at the destination.
        batch: the rows, in order of arrival; `streams` has just the label sets that rows have, as they are to arrive.
        records: rows.
    """

    relay: str
    uuid: UUID
    tenant: str
    batch: Batch
    records: int


@dataclass(frozen=True, slots=True)
class Archived:
    """The destination has the batch durably.

    Attributes:
        deduplicated: it said that it had the batch already.
    """

    deduplicated: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """The destination has another batch under this id: a new id is drawn, and the batch sent again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The destination will never take this batch: it is set aside, and later ones go on.

    Attributes:
        reason: what it said.
        too_large: it may take fewer rows at a time: the batch is halved while it has more than one.
    """

    reason: str
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The batch is to be sent again: the network, a full disk, a destination that is busy or wants another key.

    Attributes:
        reason: one sentence.
        retry_after: seconds that the destination asked for.
        too_slow: there was no answer in time: fewer rows at a time may do.
    """

    reason: str
    retry_after: float | None = None
    too_slow: bool = False


Outcome: TypeAlias = Archived | Conflict | Refused | Failed


class Sink(Protocol):
    """One destination. `send` is called for one batch at a time, on the event loop, and blocks nothing there."""

    kind: str
    """`loki`, `file`, `stdout` or `blackhole`: a label of the figures."""
    destination: str
    """Where it sends to, for people: a URL or a path, no secrets in it."""

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Gives a batch away and says what became of it. Raises nothing for what the destination does."""
        ...

    async def close(self) -> None:
        """Lets go of connections and files. Called once, with no send under way."""
        ...
