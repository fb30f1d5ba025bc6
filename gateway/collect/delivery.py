"""What becomes of a batch that is sent, and who sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Taken:
    """It is stored, as far as it can be.

    Attributes:
        refused: lines that are not, and never will be.
        reason: why, in the server's words.
        deduplicated: it was stored before.
    """

    refused: int = 0
    reason: str = ""
    deduplicated: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """It is not stored now; the same batch is to be sent again.

    Attributes:
        kind: busy, refused, unreachable: for the figures.
        reason: for people.
        wait: seconds that the server asks for; None: it does not say.
    """

    kind: str
    reason: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Smaller batches may be taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The server has another batch under the id."""

    reason: str


Outcome: TypeAlias = Taken | Again | TooLarge | Conflict


class Delivery(Protocol):
    """The way to a server, for one thread."""

    def send(self, body: bytes, batch_id: UUID) -> Outcome:
        """Sends a batch and waits for what becomes of it; `body` is snappy of a logproto.PushRequest."""

    def close(self) -> None:
        """Gives the connection back."""
