"""The one place where an exception becomes a status and a body.

Bodies are plain text, as Loki's. The push door and the admin pages end them with a newline (Go's http.Error), the query
API does not, as in Loki. Two doors have words of their own, and wrap what they raise in `Told`: OTLP answers
google.rpc.Status messages, POST /log answers JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import Enum

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.auth import BadTenant, Forbidden, KeysNotRead, NoTenant, Scope, Unauthenticated
from gateway.export.places import TooManyExports
from gateway.push.errors import (
    BadField,
    IngestionBlocked,
    InvalidEntries,
    MalformedPush,
    NoStreams,
    PushError,
    PushFailed,
    PushTooLarge,
    RateLimited,
)
from gateway.query.errors import (
    BadParameter,
    BodyTooLarge,
    DeletesDisabled,
    QueryCancelled,
    QueryStopped,
    QueryTimeout,
    TooManyQueries,
    UnknownQuery,
    VolumeDisabled,
)
from gateway.relay.errors import UnknownBatch, UnknownRelay
from gateway.relay.way import Loop
from gateway.state import BodyTooSlow, IngestBusy, NotReady
from logql.errors import EvaluationError, LogQLError
from storage.errors import BatchIdConflict, DeleteBegun, StorageError, StorageUnavailable, UnknownDelete

CLIENT_GONE = 499
"""nginx' code for a client that left before the answer; Loki uses it too. Nobody receives it."""

RETRY_AFTER = 5
"""Seconds after which to come back, where the error does not say."""

_CHALLENGE = 'Bearer realm="weir", Basic realm="weir", charset="UTF-8"'
"""How a key can be given (RFC 9110, 11.6.1): a browser asks for a password."""

_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (MalformedPush, 400),
    (BadField, 400),
    (InvalidEntries, 400),
    (PushTooLarge, 413),
    (NoStreams, 422),
    (RateLimited, 429),
    (PushFailed, 500),
    (PushError, 500),
    (EvaluationError, 500),
    (LogQLError, 400),
    (BadParameter, 400),
    (BodyTooLarge, 413),
    (QueryTimeout, 504),
    (QueryStopped, 422),
    (UnknownQuery, 404),
    (UnknownRelay, 404),
    (UnknownBatch, 404),
    (QueryCancelled, CLIENT_GONE),
    (ClientDisconnect, CLIENT_GONE),
    (TooManyQueries, 429),
    (TooManyExports, 429),
    (VolumeDisabled, 404),
    (DeletesDisabled, 403),
    (NoTenant, 401),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (KeysNotRead, 503),
    (BadTenant, 400),
    (BodyTooSlow, 408),
    (NotReady, 503),
    (IngestBusy, 503),
    (StorageUnavailable, 503),
    (BatchIdConflict, 409),
    (Loop, 508),
    (UnknownDelete, 404),
    (DeleteBegun, 400),
    (StorageError, 500),
)
"""Exception class -> status; the first that fits."""


class Wording(Enum):
    """What the body of an error is."""

    TEXT = "text"
    STATUS = "google.rpc.Status"
    JSON = "json"


class Told(Exception):  # noqa: N818 - says how the error in it is told
    """An error that is told in the words of its door.

    Attributes:
        error: what happened.
        wording: of the answer.
    """

    def __init__(self, error: Exception, wording: Wording) -> None:
        super().__init__(str(error))
        self.error = error
        self.wording = wording


@dataclass(frozen=True, slots=True)
class Failure:
    """What to answer.

    Attributes:
        status: HTTP status.
        text: the body, whole; for other wordings than TEXT what it says.
        headers: besides Content-Type and X-Content-Type-Options.
        expected: False for an exception nobody foresaw: its traceback goes to the log.
        wording: what the body is.
        field: the field of the request that is wrong, where the answer names one.
    """

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    expected: bool = True
    wording: Wording = Wording.TEXT
    field: str | None = None

    def response(self) -> Response:
        """The answer; in plain text as Go's http.Error writes it."""
        if self.wording is Wording.STATUS:
            return Response(_status_message(self.text), self.status, self.headers, "application/octet-stream")
        if self.wording is Wording.JSON:
            said = {"status": "refused", "error": self.text} | ({"field": self.field} if self.field else {})
            return Response(json.dumps(said), self.status, self.headers, "application/json")
        if not self.text:
            return Response(status_code=self.status, headers=self.headers)
        body = self.text.encode("utf-8", "surrogateescape")
        headers = {**self.headers, "X-Content-Type-Options": "nosniff"}
        return Response(body, self.status, headers, "text/plain; charset=utf-8")


def failure(error: BaseException, scope: Scope) -> Failure:
    """What to answer when `error` ends a request to a route of `scope`."""
    if isinstance(error, Told):
        return _told(error, failure(error.error, scope))
    if isinstance(error, HTTPException):
        return _of_routing(error)
    status = error.status if isinstance(error, IngestionBlocked) else _status(error)
    if status is None:
        return Failure(500, "internal server error" + _ending(scope), expected=False)
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(error.retry_after if isinstance(error, StorageUnavailable) else RETRY_AFTER)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = _CHALLENGE
    ending = "\n" if isinstance(error, NoTenant | Unauthenticated | Forbidden) else _ending(scope)
    return Failure(status, str(error) + ending, headers)


def _told(error: Told, answer: Failure) -> Failure:
    if answer.expected:
        error.error.__traceback__ = None  # its frames hold the body
    text = answer.text.removesuffix("\n")
    if error.wording is Wording.STATUS and answer.status == 500:
        # Exporters try again after 503 and drop after 500 (Loki does the same).
        headers = answer.headers | {"Retry-After": str(RETRY_AFTER)}
        return replace(answer, status=503, text=text, headers=headers, wording=error.wording)
    named = error.error.field if isinstance(error.error, BadField) else None
    return replace(answer, text=text, wording=error.wording, field=named)


def _status_message(text: str) -> bytes:
    """A google.rpc.Status with nothing but its message, as Loki's."""
    body = text.encode("utf-8", "surrogateescape")
    size, rest = bytearray(), len(body)
    while rest >= 0x80:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    return b"\x12" + bytes([*size, rest]) + body


def _status(error: BaseException) -> int | None:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


def _ending(scope: Scope) -> str:
    return "" if scope is Scope.QUERY else "\n"


def _of_routing(error: HTTPException) -> Failure:
    """404 and 405 as Go's mux has them: a fixed text, and no body at all."""
    if error.status_code == 404:
        return Failure(404, "404 page not found\n")
    if error.status_code == 405:
        return Failure(405, "", dict(error.headers or {}))
    return Failure(error.status_code, error.detail + "\n", dict(error.headers or {}))
