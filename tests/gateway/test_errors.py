"""Exceptions to answers."""

import pytest

from gateway.auth import BadTenant, NoTenant, Scope
from gateway.errors import failure
from gateway.push.errors import IngestionBlocked, InvalidEntries, MalformedPush, NoStreams, PushTooLarge, RateLimited
from gateway.query.errors import BadParameter, QueryTimeout, TooManyQueries
from logql import ParseError
from storage.errors import CorruptBlock, StorageUnavailable


@pytest.mark.parametrize(
    ("error", "scope", "status", "text"),
    [
        (MalformedPush("bad"), Scope.PUSH, 400, "bad\n"),
        (InvalidEntries("some"), Scope.PUSH, 400, "some\n"),
        (PushTooLarge("big"), Scope.PUSH, 413, "big\n"),
        (NoStreams(), Scope.PUSH, 422, "error at least one valid stream is required for ingestion\n"),
        (RateLimited("slow down"), Scope.PUSH, 429, "slow down\n"),
        (IngestionBlocked("blocked", 260), Scope.PUSH, 260, "blocked\n"),
        (BadParameter("bad"), Scope.QUERY, 400, "bad"),
        (ParseError("bad", 1, 2), Scope.QUERY, 400, "parse error at line 1, col 2: bad"),
        (TooManyQueries(), Scope.QUERY, 429, "too many outstanding requests"),
        (NoTenant(), Scope.QUERY, 401, "no org id\n"),
        (BadTenant("bad"), Scope.QUERY, 400, "bad"),
        (BadTenant("bad"), Scope.PUSH, 400, "bad\n"),
        (CorruptBlock("x.parquet"), Scope.QUERY, 500, "x.parquet"),
        (ValueError("internals"), Scope.QUERY, 500, "internal server error"),
        (ValueError("internals"), Scope.PUSH, 500, "internal server error\n"),
    ],
)
def test_an_exception_has_a_status_and_a_body(error: Exception, scope: Scope, status: int, text: str) -> None:
    answer = failure(error, scope)
    assert (answer.status, answer.text) == (status, text)
    assert answer.expected == (not isinstance(error, ValueError))


def test_a_query_timeout_has_lokis_text() -> None:
    assert failure(QueryTimeout(), Scope.QUERY).status == 504


def test_unavailable_says_when_to_come_back() -> None:
    assert failure(StorageUnavailable("full", 9), Scope.PUSH).headers == {"Retry-After": "9"}


def test_bytes_of_a_request_that_are_quoted_come_back_as_they_were() -> None:
    text = b"bad: \xff".decode("utf-8", "surrogateescape")
    assert failure(MalformedPush(text), Scope.PUSH).response().body == b"bad: \xff\n"
