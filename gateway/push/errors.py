"""What the push door raises. gateway/errors.py alone turns these into statuses.

The text of each is the body of the answer without its final newline. Bytes of the request that it quotes and that are
not UTF-8 stand in it as lone surrogates (PEP 383): the answer has them as they came, as Loki's has.
"""

from __future__ import annotations


class PushError(Exception):
    """Base of everything the push door raises on purpose."""


class MalformedPush(PushError):  # noqa: N818 - named for what came
    """The body, its encoding or its labels cannot be read; nothing of the push was stored (400)."""


class PushTooLarge(PushError):  # noqa: N818 - named for what came
    """The body is over a size limit, as sent or decompressed (413)."""


class NoStreams(PushError):  # noqa: N818 - named for what came
    """The push has no stream at all (422)."""

    def __init__(self, message: str = "error at least one valid stream is required for ingestion") -> None:
        super().__init__(message)


class InvalidEntries(PushError):  # noqa: N818 - named for what came
    """Entries or streams were refused by validation; the others of the push are stored (400)."""


class BadField(PushError):  # noqa: N818 - named for what came
    """A field of an entry of POST /log is missing or wrong; the entry was not stored (400).

    Attributes:
        field: its name; `body` for the whole of it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RateLimited(PushError):  # noqa: N818 - a state, not a mistake: the client is to come back later
    """The push goes past a rate or stream limit (429)."""


class IngestionBlocked(PushError):  # noqa: N818 - a state an operator set
    """The tenant's ingestion is blocked for now.

    Attributes:
        status: the configured HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PushFailed(PushError):  # noqa: N818 - named for what happened
    """The push failed for a reason Loki answers with 500, such as a metadata name that is empty."""
