"""Relays of a server, and what it took in from other servers, as the command line asks. Weir's own API.

Times are Unix times in seconds, 0: not yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.client.answers import decode
from gateway.client.connection import Connection

_PATH = "weir/v1/relay"


class Amounts(msgspec.Struct, frozen=True):
    """Records, or batches, by what became of them since the relay began; docs/api.md has the meanings."""

    total: int
    archived: int
    pending: int
    refused: int
    removed: int


class Behind(msgspec.Struct, frozen=True):
    """What a relay has yet to send; bytes of lines, and those that are kept on disk for it."""

    records: int
    bytes: int
    disk_bytes: int
    oldest_seconds: float


class RelayStatus(msgspec.Struct, frozen=True):
    """One relay; its state is `gone` if it is in no setting any more and something is still kept for it."""

    relay: str
    sink: str
    destination: str
    state: str
    records: Amounts
    batches: Amounts
    backlog: Behind
    batch_size: int
    batch_size_target: int
    retries: int
    failures: int
    last_success: float
    error: str


class Instance(msgspec.Struct, frozen=True):
    """What came from one server; `path` has the servers that it may have come through."""

    instance: str
    tenant: str
    batches: int
    records: int
    last_received: float
    path: list[str]


class Status(msgspec.Struct, frozen=True):
    """A server's relays, and the servers that send to it."""

    instance: str
    relays: list[RelayStatus]
    instances: list[Instance]


class Batch(msgspec.Struct, frozen=True):
    """One batch of a relay."""

    relay: str
    uuid: str
    tenant: str
    records: int
    bytes: int
    status: str
    started: float
    completed: float
    retries: int
    error: str


class Summary(msgspec.Struct, frozen=True):
    """Batches of a relay that have the same status."""

    relay: str
    status: str
    batches: int
    records: int
    bytes: int
    retries: int


class Chosen(msgspec.Struct, frozen=True):
    """What something was done with; how many batches they are is not told of all that a relay has."""

    records: int
    batches: int = 0


class _Batches(msgspec.Struct):
    batches: list[Batch]


class _Summaries(msgspec.Struct):
    summary: list[Summary]


class Relay:
    """The calls, over one connection; each may raise what `Connection.send` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def status(self) -> Status:
        """How the relays are."""
        return decode(self._connection.get(_PATH, []), Status)

    def batches(self, params: Sequence[tuple[str, str]]) -> list[Batch]:
        """Batches, the last first; of `uuid`, `relay`, `status`, `since` (a duration), `limit` what is given."""
        return decode(self._connection.get(f"{_PATH}/batches", params), _Batches).batches

    def summary(self, params: Sequence[tuple[str, str]]) -> list[Summary]:
        """The same batches by relay and status."""
        asked = [*params, ("summary", "true")]
        return decode(self._connection.get(f"{_PATH}/batches", asked), _Summaries).summary

    def retry(self, params: Sequence[tuple[str, str]]) -> Chosen:
        """Sends batches again: of `uuid`, or with `all` those that wait or were refused, of one `relay` or every."""
        return decode(self._connection.send("POST", f"{_PATH}/retry", params).body, Chosen)

    def remove(self, params: Sequence[tuple[str, str]]) -> Chosen:
        """Gives up a batch by its `uuid`, or all that a `relay` has."""
        return decode(self._connection.send("POST", f"{_PATH}/remove", params).body, Chosen)
