"""What can go wrong between this machine and a server. gateway/cli maps each class to an exit code."""

from __future__ import annotations


class ClientError(Exception):
    """Base of everything the client raises on purpose; the text is for the person at the terminal."""


class BadArgument(ClientError):  # noqa: N818 - named for what happened
    """An address, a time or a duration that nothing can be made of; no request was sent."""


class Unreachable(ClientError):  # noqa: N818 - named for what happened
    """No whole answer came: no such host, nobody listening, a time-out, a connection that broke half way."""


class ServerRefused(ClientError):  # noqa: N818 - named for what happened
    """The server answered with a status outside 2xx; the text is the answer's body.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text or f"status {status} without a text")
        self.status = status


class BadAnswer(ClientError):  # noqa: N818 - named for what happened
    """The server answered 2xx with something that is not Loki's JSON."""


class CutShort(ClientError):  # noqa: N818 - named for what happened
    """A download failed after some of its lines had been handed over; the cause is the `ClientError` behind it."""
