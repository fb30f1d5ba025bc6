"""What the query doors raise besides the language's own errors. gateway/errors.py alone turns these into statuses."""

from __future__ import annotations


class BadParameter(Exception):  # noqa: N818 - named for what happened
    """A parameter cannot be used; the text is Loki's and is the answer's whole body (400)."""


class LogQueryNotInstant(BadParameter):
    """A log query came to the endpoint of instant queries (400)."""

    def __init__(self) -> None:
        super().__init__(
            "log queries are not supported as an instant query type, please change your query to a range query type"
        )


class BodyTooLarge(Exception):  # noqa: N818 - named for what happened
    """A POSTed form is over the limit (413)."""

    def __init__(self) -> None:
        super().__init__("http: request body too large")


class QueryTimeout(Exception):  # noqa: N818 - named for what happened
    """The query's time is over (504); the text is Loki's."""

    def __init__(self) -> None:
        super().__init__(
            "request timed out, decrease the duration of the request or add more label matchers "
            "(prefer exact match over regex match) to reduce the amount of data processed"
        )


class QueryCancelled(Exception):  # noqa: N818 - named for what happened
    """The client went away (499, which nobody reads: it is for the log and the metrics)."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled by the client")


class QueryStopped(Exception):  # noqa: N818 - named for what happened
    """Somebody stopped the query (422: no client tries that again, as it would not get what it asks for)."""

    def __init__(self, number: str) -> None:
        super().__init__(f"the query was stopped: somebody asked for it with DELETE /weir/v1/queries/{number}")
        self.number = number


class UnknownQuery(Exception):  # noqa: N818 - named for what happened
    """No query of that id is waiting or running (404)."""

    def __init__(self, number: str) -> None:
        super().__init__(f"no query {number!r} is waiting or running: it has ended, or never was")


class TooManyQueries(Exception):  # noqa: N818 - named for what happened
    """More queries wait than the queue holds (429)."""

    def __init__(self) -> None:
        super().__init__("too many outstanding requests")


class DeletesDisabled(Exception):  # noqa: N818 - a state an operator set
    """The tenant's deletion_mode is `disabled` (403); the text is Loki's."""

    def __init__(self) -> None:
        super().__init__("deletion is not available for this tenant")


class VolumeDisabled(Exception):  # noqa: N818 - named for what happened
    """The tenant's volume endpoints are off (404); the text is Loki's."""

    def __init__(self) -> None:
        super().__init__("not found")
